/* SPDX-License-Identifier: MIT
 * Receives bulk data from the kernel straight into the memory of the thread that reads it, which is
 * either the one that receives or one that sleeps. The engine says whose payload comes next, and
 * how much of it is missing. If large frames come for several readers in turn, each is received by
 * itself. If they are all for the same one, the next frames are guessed: writes of one size make
 * the same sequence of frames each time, so room is laid out for headers and, in the reader's
 * memory, for payloads of the same lengths as before. The engine is fed each header first and asked
 * what it means. If that is not what was guessed, the bytes after it are moved to the input, where
 * they would have been received without the guess, at the cost of the same copy.
 */
#include "core/blocking/blk.h"

#include <string.h>

/* Less than this is not worth the trouble. */
#define WORTHWHILE 4096u
/* Copying less than this costs less than a system call of its own. */
#define SEPARATE_MIN 12288u
/* How much more is received, into the input: at least a header and some small frames. */
#define BEHIND 256u

/* ---- Before --------------------------------------------------------------------------------- */

void blk_note_frame(smuxb_session *s, const smuxb_stream *st) {
    struct blk_history *h = &s->history;
    smux_incoming in;
    smux_session_get_incoming(s->engine, &in);
    if (!h->within) {
        if (h->id != st->id)
            memset(h->lens, 0, sizeof h->lens);
        h->id = st->id;
        memmove(h->lens + 1, h->lens, sizeof h->lens - sizeof *h->lens);
        h->lens[0] = (uint16_t)in.frame_len;
    }
    h->within = in.stream != NULL;
}

static void add(struct blk_plan *p, void *to, size_t len) {
    p->iov[p->iovcnt++] = (struct iovec){to, len};
    p->total += len;
}

/* Whether large frames come for several readers. Then each is received by itself, where it belongs,
 * with just enough after it to know what the next one is. */
static bool mixed_bulk(const smuxb_session *s, const smux_incoming *in) {
    if (s->receiving && s->receiving->borrows)
        return false; /* its payload then belongs where the rest is */
    return in->frame_len >= SEPARATE_MIN && (blk_sleeping(s) || !list_is_empty(&s->held));
}

/* The reader that the coming payload is for, if there is one with room: `w` itself, or one that
 * sleeps. */
static struct blk_waiter *target(const smuxb_session *s, const smux_incoming *in,
                                 struct blk_waiter *w) {
    const smuxb_stream *st = in->stream ? smux_stream_user(in->stream) : NULL;
    if (!st || list_is_empty(&st->readers))
        return NULL;
    struct blk_waiter *r = container_of(list_first(&st->readers), struct blk_waiter, home);
    if (r->room == r->got || !r->data)
        return NULL;
    return r == w || (r->where == BLK_ASLEEP && !s->poll_first) ? r : NULL;
}

/* After how many payloads their lengths repeat; 1 if that cannot be told. */
static int period(const uint16_t *lens) {
    for (int p = 1; p + 1 < BLK_HISTORY; p++)
        if (lens[0] == lens[p] && lens[1] == lens[p + 1])
            return p;
    return 1;
}

/* Adds room for the frames expected next, as far as the reader's memory goes, and room in the input
 * in case other frames come. False: one frame does not fit entirely, so nothing may be received
 * after it. */
static bool add_frames(struct blk_plan *p, const uint16_t *lens, uint8_t *to, size_t room,
                       size_t input_room) {
    for (int every = period(lens); p->frames < BLK_FRAMES_MAX && room;) {
        size_t expected = lens[every - 1 - p->frames % every];
        size_t len = expected < room ? expected : room;
        if (!len || input_room < BLK_HEADER_LEN + len + BEHIND)
            break;
        input_room -= BLK_HEADER_LEN + len;
        add(p, p->headers[p->frames++], BLK_HEADER_LEN);
        add(p, to, len);
        to += len;
        room -= len;
        if (len < expected)
            return false;
    }
    return true;
}

static void plan_direct(struct blk_plan *p, const struct blk_history *h, const smux_incoming *in,
                        const struct blk_waiter *r, struct iovec input) {
    size_t room = r->room - r->got;
    uint8_t *to = r->data + r->got;
    bool guess = h->id == r->stream->id && h->lens[1];
    p->id = r->stream->id;
    p->current = in->len < room ? in->len : room;
    add(p, to, p->current);
    if (p->current < in->len)
        return;
    if (!guess || add_frames(p, h->lens, to + p->current, room - p->current, input.iov_len))
        add(p, input.iov_base, BEHIND);
}

static void plan_none(struct blk_plan *p) {
    p->iovcnt = p->frames = 0;
    p->total = p->current = 0;
}

void blk_plan(smuxb_session *s, struct blk_waiter *w, struct blk_plan *p) {
    struct iovec input = blk_input_prepare(s);
    smux_incoming in;
    smux_session_get_incoming(s->engine, &in);
    struct blk_waiter *r = target(s, &in, w);
    plan_none(p);
    if (r)
        plan_direct(p, &s->history, &in, r, input);

    bool bulk = mixed_bulk(s, &in);
    if (p->total >= WORTHWHILE || (p->current && bulk)) {
        s->lent = r != w ? r : NULL;
        return;
    }
    plan_none(p);
    if (bulk && in.len + BEHIND < input.iov_len)
        input.iov_len = in.len + BEHIND;
    add(p, input.iov_base, input.iov_len);
}

/* ---- After ---------------------------------------------------------------------------------- */

/* Whether the header just fed starts the payload that there is room for, of which `len` bytes have
 * come. */
static bool as_expected(const smuxb_session *s, const struct blk_plan *p, size_t room, size_t len) {
    smux_incoming in;
    smux_session_get_incoming(s->engine, &in);
    return in.stream && smux_stream_id(in.stream) == p->id &&
           (in.len == room || (len <= room && len <= in.len));
}

/* Moves `len` bytes that were received into `iov` to the input, in front of those that are already
 * there. */
static void move_to_input(smuxb_session *s, const struct iovec *iov, size_t len) {
    uint8_t *input = blk_input_end(s);
    size_t before = 0;
    const struct iovec *v = iov;
    for (; before < len && v->iov_base != input; v++)
        before += v->iov_len < len - before ? v->iov_len : len - before;
    memmove(input + before, input, len - before);
    for (v = iov; before; v++) {
        size_t n = v->iov_len < before ? v->iov_len : before;
        memcpy(input, v->iov_base, n);
        input += n;
        before -= n;
    }
}

static size_t feed_from(smuxb_session *s, const struct iovec *v, size_t len) {
    size_t n = v->iov_len < len ? v->iov_len : len;
    blk_feed_bytes(s, v->iov_base, n);
    return n;
}

void blk_plan_received(smuxb_session *s, struct blk_plan *p, size_t len) {
    const struct iovec *v = p->iov;
    if (p->current)
        len -= feed_from(s, v++, len);
    for (int i = 0; i < p->frames && len; i++, v += 2) {
        len -= feed_from(s, &v[0], len);
        if (len && !as_expected(s, p, v[1].iov_len, len)) {
            move_to_input(s, &v[1], len);
            break;
        }
        len -= feed_from(s, &v[1], len);
    }
    s->input_len += len;
}
