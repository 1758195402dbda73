/* SPDX-License-Identifier: MIT
 * The blocks that hold received bytes until somebody reads them.
 */
#include "core/blocking/blk.h"

#include <stdlib.h>
#include <string.h>

struct blk_block {
    uint32_t refs; /* atomic: pieces are released without the mutex */
    uint32_t pins; /* pieces in streams' queues; under the mutex */
    uint32_t size;
    uint8_t data[];
};

/* One recv may fill an input block. Larger blocks would leave the L2 cache before they are read. */
#define INPUT_SIZE (128u * 1024u)
/* Room that is worth a recv; with less, and with the start of the block still in use, the next
 * block is used. */
#define INPUT_ROOM_MIN (64u * 1024u)

/* ---- Blocks --------------------------------------------------------------------------------- */

/* Unused input blocks: malloc would map and unmap them each time. They are kept for the whole
 * process, as smux_blocking.h says, because whoever releases one may hold a loan of a session that
 * is gone. */
#define SPARES 64
static struct blk_block *spares[SPARES];

static struct blk_block *take_spare(void) {
    for (int i = 0; i < SPARES; i++) {
        struct blk_block *b = __atomic_load_n(&spares[i], __ATOMIC_RELAXED);
        if (b && (b = __atomic_exchange_n(&spares[i], NULL, __ATOMIC_ACQUIRE)))
            return b;
    }
    return NULL;
}

static bool keep_spare(struct blk_block *b) {
    for (int i = 0; i < SPARES; i++) {
        struct blk_block *none = NULL;
        if (__atomic_compare_exchange_n(&spares[i], &none, b, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

struct blk_block *blk_block_new(size_t size) {
    struct blk_block *b = size == INPUT_SIZE ? take_spare() : NULL;
    if (!b && !(b = malloc(sizeof *b + size)))
        return NULL;
    b->refs = 1;
    b->pins = 0;
    b->size = (uint32_t)size;
    return b;
}

static struct blk_block *hold(struct blk_block *b) {
    __atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

void blk_block_release(struct blk_block *b) {
    if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL))
        return;
    if (b->size != INPUT_SIZE || !keep_spare(b))
        free(b);
}

/* ---- Input ---------------------------------------------------------------------------------- */

static bool unshared(const struct blk_block *b) {
    return __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) == 1;
}

bool blk_input_new(smuxb_session *s) {
    s->input = blk_block_new(INPUT_SIZE);
    return s->input != NULL;
}

struct iovec blk_input_prepare(smuxb_session *s) {
    if (unshared(s->input)) {
        s->input_at = s->input_len = 0;
    } else if (INPUT_SIZE - s->input_len < INPUT_ROOM_MIN) {
        /* There is a next block: otherwise nothing would have been left in this one (may_leave). */
        blk_block_release(s->input);
        s->input = s->next_input;
        s->next_input = NULL;
        s->input_at = s->input_len = 0;
    }
    if (!s->next_input)
        s->next_input = blk_block_new(INPUT_SIZE);
    return (struct iovec){s->input->data + s->input_len, INPUT_SIZE - s->input_len};
}

uint8_t *blk_input_end(const smuxb_session *s) {
    return s->input->data + s->input_len;
}

const uint8_t *blk_input_data(const smuxb_session *s) {
    return s->input->data + s->input_at;
}

/* Whether bytes may stay where they are for now: only if there is another block to go on with. */
static bool may_leave(const smuxb_session *s, const uint8_t *data) {
    return s->next_input && data >= s->input->data && data < s->input->data + INPUT_SIZE;
}

/* ---- To the waiter -------------------------------------------------------------------------- */

static uint8_t *next_byte(const struct blk_waiter *w) {
    return w->data ? w->data + w->got : NULL;
}

bool blk_hand_over(smuxb_session *s, struct blk_waiter *w, const uint8_t *data, size_t len) {
    uint8_t *to = next_byte(w);
    bool leave = may_leave(s, data);
    if (!to && !leave)
        return false;
    w->got += len;
    if (data == to)
        return true; /* it was received where it belongs */
    if (leave)
        w->pieces[w->pieces_len++] = (struct blk_piece){hold(s->input), data, len, to};
    else
        memcpy(to, data, len);
    return true;
}

void blk_copy_pieces(struct blk_waiter *w) {
    for (int i = 0; i < w->pieces_len; i++) {
        struct blk_piece *p = &w->pieces[i];
        memcpy(p->to, p->data, p->len);
        blk_block_release(p->block);
    }
    w->pieces_len = 0;
}

void blk_lend_pieces(const struct blk_waiter *w, smuxb_loan *loan) {
    for (loan->iovcnt = 0; loan->iovcnt < w->pieces_len; loan->iovcnt++) {
        const struct blk_piece *p = &w->pieces[loan->iovcnt];
        loan->iov[loan->iovcnt] = (struct iovec){(void *)(uintptr_t)p->data, p->len};
        loan->blocks_[loan->iovcnt] = p->block;
    }
}

void smuxb_stream_return(smuxb_loan *loan) {
    for (int i = 0; i < loan->iovcnt; i++)
        blk_block_release(loan->blocks_[i]);
    loan->iovcnt = 0;
}

/* ---- Queues --------------------------------------------------------------------------------- */

/* Data of at least this size stays in the input; smaller pieces would keep too much memory in use
 * for what they hold. So would blocks of which little is left: more than PINNED_MAX are kept for
 * queues only if at least half of their room is in use. */
#define PIN_MIN    4096u
#define PINNED_MAX 32u

/* Copies grow with the queue, so that neither many streams with a few bytes nor one stream with
 * many takes much more memory than the data. */
#define COPY_MIN 256u
#define COPY_MAX 16384u

static bool is_input(const struct blk_block *b) {
    return b->size == INPUT_SIZE;
}

static void append(struct blk_queue *q, struct blk_node *node) {
    if (q->tail)
        q->tail->next = node;
    else
        q->head = node;
    q->tail = node;
    q->len += node->piece.len;
}

static bool put_piece(struct blk_queue *q, struct blk_block *block, const uint8_t *data,
                      size_t len) {
    struct blk_node *node = malloc(sizeof *node);
    if (!node)
        return false;
    *node = (struct blk_node){.piece = {.block = block, .data = data, .len = len}};
    append(q, node);
    return true;
}

static bool put_copy(struct blk_queue *q, const uint8_t *data, size_t len) {
    size_t size = q->len < COPY_MIN ? COPY_MIN : q->len < COPY_MAX ? q->len : COPY_MAX;
    struct blk_block *b = blk_block_new(size > len ? size : len);
    if (!b)
        return false;
    if (!put_piece(q, b, b->data, len)) {
        blk_block_release(b);
        return false;
    }
    memcpy(b->data, data, len);
    return true;
}

/* Appends what still fits to the last copy. Readers may hold what lies before it. */
static size_t put_behind(struct blk_queue *q, const uint8_t *data, size_t len) {
    if (!q->tail || is_input(q->tail->piece.block))
        return 0;
    struct blk_piece *p = &q->tail->piece;
    size_t end = (size_t)(p->data + p->len - p->block->data), room = p->block->size - end;
    if (room > len)
        room = len;
    memcpy(p->block->data + end, data, room);
    p->len += room;
    q->len += room;
    return room;
}

static bool may_pin(const smuxb_session *s, const uint8_t *data, size_t len) {
    return len >= PIN_MIN && may_leave(s, data) &&
           (s->pinned < PINNED_MAX || s->pinned_len >= s->pinned * (uint64_t)(INPUT_SIZE / 2));
}

static void pin(smuxb_session *s, struct blk_block *b, size_t len) {
    s->pinned += b->pins++ == 0;
    s->pinned_len += len;
}

/* `len` bytes of a piece are gone, and with `all` the piece itself. */
static void unpin(smuxb_session *s, struct blk_block *b, size_t len, bool all) {
    if (!is_input(b))
        return;
    s->pinned -= all && --b->pins == 0;
    s->pinned_len -= len;
}

bool blk_queue_put(smuxb_session *s, struct blk_queue *q, const uint8_t *data, size_t len) {
    if (may_pin(s, data, len)) {
        if (!put_piece(q, s->input, data, len))
            return false;
        pin(s, hold(s->input), len);
        return true;
    }
    size_t done = put_behind(q, data, len);
    if (done == len || put_copy(q, data + done, len - done))
        return true;
    if (done)
        q->tail->piece.len -= done;
    q->len -= done;
    return false;
}

/* The caller takes over its reference to the block. */
static void remove_head(struct blk_queue *q) {
    struct blk_node *node = q->head;
    q->head = node->next;
    if (!q->head)
        q->tail = NULL;
    free(node);
}

void blk_queue_take(smuxb_session *s, struct blk_queue *q, struct blk_waiter *w) {
    while (q->head && w->got < w->room && w->pieces_len < BLK_PIECES_MAX) {
        struct blk_piece *p = &q->head->piece, *taken = &w->pieces[w->pieces_len++];
        size_t n = p->len < w->room - w->got ? p->len : w->room - w->got;
        *taken = (struct blk_piece){p->block, p->data, n, next_byte(w)};
        w->got += n;
        q->len -= n;
        unpin(s, p->block, n, n == p->len);
        if (n == p->len) {
            remove_head(q);
        } else {
            hold(p->block);
            p->data += n;
            p->len -= n;
        }
    }
}

void blk_queue_drop(smuxb_session *s, struct blk_queue *q) {
    while (q->head) {
        struct blk_block *b = q->head->piece.block;
        unpin(s, b, q->head->piece.len, true);
        remove_head(q);
        blk_block_release(b);
    }
    q->len = 0;
}
