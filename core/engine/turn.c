/* SPDX-License-Identifier: MIT
 * Which stream sends next, and how much at a time: deficit round robin over the ring of those that
 * have data which may be sent, in bursts (smux_session_set_burst), and before the ring those that
 * have little to say. PROTOCOL.md, "Order of sending".
 */
#include "core/engine/engine.h"

/* A single stream may use frames as large as configured; several streams keep them shorter, unless
 * they send bursts. */
#define CONTENDED_FRAME_MAX 32768u

/* A stream that has no more than this to send may overtake those that have more. */
#define OVERTAKER_MAX 4096u

void smux_session_set_burst(smux_session *s, uint32_t bytes) {
    s->burst = bytes;
}

bool turn_is_due(const smux_session *s) {
    return !list_is_empty(&s->ring) || !list_is_empty(&s->overtakers);
}

smux_stream *turn_first(const smux_session *s) {
    const struct list *list = list_is_empty(&s->overtakers) ? &s->ring : &s->overtakers;
    return stream_of(list_first(list), ring);
}

/* Each stream overtakes once in a round, so it cannot keep the ring from turning. */
void turn_enter(smux_stream *st) {
    smux_session *s = st->session;
    uint8_t round = s->round & ROUND_MASK;
    bool overtakes = st->queued - st->planned <= OVERTAKER_MAX && st->round != round;
    if (overtakes)
        st->round = round;
    st->deficit = 0;
    list_append(overtakes ? &s->overtakers : &s->ring, &st->ring);
    s->ring_len++;
}

void turn_leave(smux_stream *st) {
    smux_session *s = st->session;
    if (!list_is_linked(&st->ring))
        return;
    list_remove(&st->ring);
    s->ring_len--;
    if (s->turn == st)
        s->turn = NULL;
}

static void end_turn(smux_session *s) {
    s->turn = NULL;
    if (s->round_left > 1) {
        s->round_left--;
        return;
    }
    s->round++;
    s->round_left = s->ring_len;
}

uint32_t turn_frame_limit(const smux_session *s) {
    uint32_t max = s->config.max_frame_size;
    bool shorter = s->ring_len > 1 && s->burst <= CONTENDED_FRAME_MAX && max > CONTENDED_FRAME_MAX;
    return shorter ? CONTENDED_FRAME_MAX : max;
}

/* How much the stream may send after the present frame, before the next one has its turn. */
static uint32_t burst_left(const smux_stream *st, uint32_t limit) {
    const smux_session *s = st->session;
    if (s->turn == st)
        return s->turn_left;
    return s->burst > limit ? s->burst - limit : 0;
}

void turn_move_on(smux_stream *st, uint32_t got, uint32_t limit) {
    smux_session *s = st->session;
    bool overtakes = !list_is_empty(&s->overtakers); /* then it is the first of them */
    uint32_t credit = limit + st->deficit, left = burst_left(st, limit);
    turn_leave(st);
    st->deficit = 0;
    bool more = send_data_due(st), goes_on = more && !overtakes && left >= got;
    if (more) {
        /* The next frames make up for what this one did not use. */
        st->deficit = (uint16_t)min_u32(credit - got, limit);
        (goes_on ? list_prepend : list_append)(&s->ring, &st->ring);
        s->ring_len++;
    }
    if (goes_on) {
        s->turn = st;
        s->turn_left = left - got;
    } else if (!overtakes) {
        end_turn(s);
    }
}

void turn_note(const smux_session *s, struct frame *f) {
    f->deficit = f->stream->deficit;
    f->turn_left = s->turn_left;
    f->continues = s->turn == f->stream;
    f->overtakes = !list_is_empty(&s->overtakers);
}

void turn_take_back(const struct frame *f) {
    smux_stream *st = f->stream;
    smux_session *s = st->session;
    turn_leave(st);
    if (!send_data_due(st))
        return;
    st->deficit = (uint16_t)f->deficit;
    list_prepend(f->overtakes ? &s->overtakers : &s->ring, &st->ring);
    s->ring_len++;
    if (f->overtakes)
        return;
    s->turn = f->continues ? st : NULL;
    s->turn_left = f->turn_left;
}
