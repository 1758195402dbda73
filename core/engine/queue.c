/* SPDX-License-Identifier: MIT
 * The bytes waiting on a stream: a list of buffers, lent by the application or made here.
 */
#include "core/engine/engine.h"

#include <string.h>

/* Size of a buffer of the engine's own: small writes share one, large ones fill several. */
#define CHUNK_MIN ((size_t)256 - sizeof(smux_sendbuf) - 16)
#define CHUNK_MAX ((size_t)65536)

enum buffer_state { BUFFER_FREE, BUFFER_QUEUED, BUFFER_RETURNED };

static bool is_own(const smux_sendbuf *b) {
    return b->capacity_ != 0;
}

static void append(smux_stream *st, smux_sendbuf *b) {
    b->next_ = NULL;
    b->done_ = 0; /* bytes of it that have been sent */
    b->stream_ = st;
    b->state_ = BUFFER_QUEUED;
    if (st->tail)
        st->tail->next_ = b;
    else
        st->head = b;
    st->tail = b;
}

static smux_sendbuf *chunk_new(smux_session *s, size_t capacity) {
    smux_sendbuf *b = engine_alloc(s, sizeof *b + capacity);
    if (!b)
        return NULL;
    *b = (smux_sendbuf){.data = (const uint8_t *)(b + 1), .capacity_ = capacity};
    s->chunks += sizeof *b + capacity;
    return b;
}

/* As large as the write or as what is already queued, so that many small writes need few
 * buffers. */
static size_t chunk_size(const smux_stream *st, size_t len) {
    size_t size = len > st->queued ? len : (size_t)st->queued;
    return size < CHUNK_MIN ? CHUNK_MIN : size > CHUNK_MAX ? CHUNK_MAX : size;
}

/* Gives a buffer back to its owner. */
static void release(smux_stream *st, smux_sendbuf *b, int error) {
    smux_session *s = st->session;
    if (is_own(b)) {
        s->chunks -= sizeof *b + b->capacity_;
        engine_free(s, b);
        return;
    }
    b->stream_ = NULL; /* it may end before the event is taken, so the event looks it up */
    b->capacity_ = st->id;
    b->next_ = NULL;
    b->state_ = error ? error : BUFFER_RETURNED; /* for the event to report */
    *s->returned_tail = b;
    s->returned_tail = &b->next_;
}

static void pop(smux_stream *st, int error) {
    smux_sendbuf *b = st->head;
    st->head = b->next_;
    if (!st->head)
        st->tail = NULL;
    b->done_ = 0;
    release(st, b, error);
}

/* A stream with nothing queued always gets this much, so that streams whose peers give no window
 * cannot use up the session's share and stop the others. This lets all streams together queue at
 * most twice the share, or once in version 1, where all wait for the same carrier. */
#define ROOM_MIN 4096u

static uint64_t most_copied(const smux_session *s) {
    return s->config.session_send_buffer * (s->version == 1 ? 1ull : 2ull);
}

/* What counts against the session's share: the queued bytes, or half of the memory they lie in if
 * that is more, because a single byte on each of many streams takes a buffer for each. */
static uint64_t load(const smux_session *s) {
    return s->copied > s->chunks / 2 ? s->copied : s->chunks / 2;
}

static bool overfull(const smux_session *s) {
    return load(s) >= most_copied(s);
}

/* Makes room for open streams by dropping the closed ones that have made no progress for
 * longest. */
static void shed_lingering(smux_session *s) {
    for (int i = 0; i < 16 && overfull(s) && !list_is_empty(&s->lingering); i++) {
        smux_stream *st = stream_of(list_first(&s->lingering), idle);
        if (stream_waits_for_carrier(st)) {
            stream_active(st);
            continue;
        }
        stream_kill(st, SMUX_ERR_IDLE, true, false);
        stream_settle(st);
    }
}

static uint64_t own_room(const smux_stream *st) {
    uint32_t cap = st->session->config.stream_send_buffer;
    return st->queued < cap ? cap - st->queued : 0;
}

uint64_t queue_room(const smux_stream *st) {
    uint64_t cap = st->session->config.session_send_buffer, taken = load(st->session);
    uint64_t own = own_room(st), all = taken < cap ? cap - taken : 0;
    if (!st->queued && all < ROOM_MIN && !overfull(st->session))
        all = ROOM_MIN;
    return own < all ? own : all;
}

static uint32_t smaller_cap(const smux_config *c) {
    return c->stream_send_buffer < c->session_send_buffer ? c->stream_send_buffer
                                                          : c->session_send_buffer;
}

static uint64_t worthwhile(const smux_stream *st) {
    return st->queued ? smaller_cap(&st->session->config) / 4 : 0;
}

/* A stream that has used up its own share is checked again as its bytes go out. The others wait for
 * the session's share: those with nothing queued for any room at all, the rest until half of it is
 * free. */
static void wait_for_room(smux_stream *st) {
    smux_session *s = st->session;
    list_remove(&st->events);
    if (own_room(st) > worthwhile(st))
        list_append(st->queued ? &s->blocked : &s->starved, &st->events);
}

/* Reports WRITABLE when a quarter is free, not for every byte, or when nothing is left to wait
 * for. */
static void unblock(smux_stream *st) {
    if (!(st->flags & F_BLOCKED))
        return;
    if (queue_room(st) <= worthwhile(st)) {
        wait_for_room(st);
        return;
    }
    st->flags &= (uint16_t)~F_BLOCKED;
    stream_event(st, F_WRITABLE);
}

static void unblock_first(struct list *list) {
    smux_stream *st = stream_of(list_first(list), events);
    list_remove(&st->events);
    unblock(st);
}

void queue_unblock(smux_session *s) {
    uint64_t share = s->config.session_send_buffer;
    /* Wakes no more of these streams than there is room for. */
    for (uint64_t n = load(s); n < most_copied(s) && !list_is_empty(&s->starved); n += ROOM_MIN)
        unblock_first(&s->starved);
    while (load(s) <= share / 2 && !list_is_empty(&s->blocked))
        unblock_first(&s->blocked);
}

void queue_advance(smux_stream *st, size_t n) {
    smux_session *s = st->session;
    st->queued -= n;
    s->queued -= n;
    while (n) {
        size_t left = st->head->len - st->head->done_, step = n < left ? n : left;
        if (is_own(st->head))
            s->copied -= step;
        n -= step;
        st->head->done_ += step;
        if (step == left)
            pop(st, 0);
    }
    unblock(st);
}

void queue_drop(smux_stream *st) {
    smux_session *s = st->session;
    if (st->refs) {
        st->flags |= F_DROP;
        return;
    }
    st->flags &= (uint16_t)~F_DROP;
    s->queued -= st->queued;
    st->queued = 0;
    while (st->head) {
        if (is_own(st->head))
            s->copied -= st->head->len - st->head->done_;
        pop(st, st->error ? st->error : SMUX_ERR_LOCAL_RESET);
    }
    queue_unblock(s);
}

size_t queue_gather(const smux_stream *st, uint64_t from, size_t len, struct iovec *iov,
                    int *iovcnt, int iov_max) {
    const smux_sendbuf *b = st->head;
    size_t got = 0;
    from += b ? b->done_ : 0;
    while (b && from >= b->len) {
        from -= b->len;
        b = b->next_;
    }
    for (; b && got < len && *iovcnt < iov_max; b = b->next_, from = 0) {
        size_t n = b->len - from;
        if (n > len - got)
            n = len - got;
        iov[(*iovcnt)++] = (struct iovec){(void *)(uintptr_t)(b->data + from), n};
        got += n;
    }
    return got;
}

static int may_send(const smux_stream *st) {
    if (st->error)
        return st->error;
    return st->out == OUT_OPEN ? 0 : SMUX_ERR_SHUT;
}

size_t smux_stream_send_room(const smux_stream *st) {
    return may_send(st) ? 0 : (size_t)queue_room(st);
}

/* Appends copies of up to `len` bytes. Returns how many; 0 if memory is short. */
static size_t copy_in(smux_stream *st, const uint8_t *data, size_t len) {
    smux_sendbuf *b = st->tail;
    if (!b || !is_own(b) || b->len == b->capacity_) {
        b = chunk_new(st->session, chunk_size(st, len));
        if (!b)
            return 0;
        append(st, b);
    }
    size_t n = b->capacity_ - b->len;
    if (n > len)
        n = len;
    memcpy((uint8_t *)(b + 1) + b->len, data, n);
    b->len += n;
    return n;
}

static void block(smux_stream *st) {
    if (st->flags & (F_BLOCKED | F_WRITABLE))
        return;
    st->flags |= F_BLOCKED;
    wait_for_room(st);
}

ssize_t smux_stream_sendv(smux_stream *st, const struct iovec *iov, int iovcnt) {
    int error = may_send(st);
    if (error)
        return error;
    if (iovcnt < 0)
        return SMUX_ERR_ARGUMENT;
    shed_lingering(st->session);
    uint64_t room = queue_room(st);
    size_t taken = 0;
    bool memory = true, all = true;
    for (int i = 0; i < iovcnt && memory && all; i++) {
        const uint8_t *data = iov[i].iov_base;
        size_t len = iov[i].iov_len;
        if (len > room - taken) {
            len = (size_t)(room - taken);
            all = false;
        }
        for (size_t done = 0, n; done < len; done += n, taken += n) {
            n = copy_in(st, data + done, len - done);
            if (!n) {
                memory = false;
                break;
            }
        }
    }
    st->queued += taken;
    st->session->queued += taken;
    st->session->copied += taken;
    if (!all || (taken && !memory))
        block(st);
    if (taken)
        send_schedule(st);
    return taken || memory ? (ssize_t)taken : SMUX_ERR_NOMEM;
}

ssize_t smux_stream_send(smux_stream *st, const void *data, size_t len) {
    struct iovec iov = {(void *)(uintptr_t)data, len};
    return smux_stream_sendv(st, &iov, 1);
}

int smux_stream_send_borrowed(smux_stream *st, smux_sendbuf *b) {
    int error = may_send(st);
    if (error)
        return error;
    if (!b->len || !b->data || b->state_ != BUFFER_FREE)
        return SMUX_ERR_ARGUMENT;
    b->capacity_ = 0;
    append(st, b);
    st->queued += b->len;
    st->session->queued += b->len;
    send_schedule(st);
    return 0;
}

int smux_stream_mark_urgent(smux_stream *st, size_t behind) {
    int error = may_send(st);
    if (error)
        return error;
    if (behind >= st->queued - st->planned)
        return SMUX_ERR_ARGUMENT;
    st->flags |= F_URGENT;
    st->urgent_end = (uint32_t)(st->bytes_out + st->queued - behind);
    return 0;
}

/* Replaces the buffer that *at points to by `with` (NULL: nothing). */
static void replace(smux_stream *st, smux_sendbuf **at, smux_sendbuf *previous,
                    smux_sendbuf *with) {
    smux_sendbuf *b = *at;
    if (with) {
        with->next_ = b->next_;
        with->stream_ = st;
        with->state_ = BUFFER_QUEUED;
    }
    *at = with ? with : b->next_;
    if (st->tail == b)
        st->tail = with ? with : previous;
}

int smux_session_send_cancel(smux_session *s, smux_sendbuf *b, size_t *left) {
    smux_stream *st = b->stream_;
    if (b->state_ != BUFFER_QUEUED || !st || st->session != s)
        return SMUX_ERR_ARGUMENT;
    if (s->outstanding)
        return SMUX_ERR_BUSY;
    smux_sendbuf **at = &st->head, *previous = NULL, *rest = NULL;
    uint64_t before = 0; /* bytes of the queue ahead of b */
    for (; *at != b; previous = *at, at = &(*at)->next_)
        before += (*at)->len - (*at)->done_;
    size_t skip = b->done_, have = b->len - skip;
    /* The begun frame covers the first `planned` bytes of the queue. */
    size_t keep = st->planned > before ? (size_t)(st->planned - before) : 0;
    if (keep > have)
        keep = have;
    if (keep) {
        rest = chunk_new(s, keep);
        if (!rest)
            return SMUX_ERR_NOMEM;
        memcpy(rest + 1, b->data + skip, keep);
        rest->len = keep;
    }
    replace(st, at, previous, rest);
    s->copied += keep;
    b->done_ = 0;
    st->queued -= have - keep;
    s->queued -= have - keep;
    b->state_ = BUFFER_FREE;
    b->stream_ = NULL;
    st->flags &= (uint16_t)~F_URGENT; /* the positions have moved */
    if (left)
        *left = have - keep;
    unblock(st);
    queue_unblock(s);
    send_schedule(st);
    stream_fail_behind(st);
    stream_settle(st);
    return 0;
}
