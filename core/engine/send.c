/* SPDX-License-Identifier: MIT
 * Frames to bytes. smux_session_output plans frames and describes them as iovecs;
 * smux_session_output_done retires those that went out and takes the others back, except one that
 * is partly sent. So nothing is committed before the carrier has taken its first byte, and urgent
 * frames overtake bulk data even when the carrier is slow.
 */
#include "core/engine/engine.h"

#include <string.h>

/* ---- What is due ---------------------------------------------------------------------------- */

/* The owed control frames that may go out now. */
static uint16_t owed(const smux_stream *st) {
    return st->flags & (st->session->hello_until_us ? F_OWED & ~F_OWE_RESET : F_OWED);
}

/* CLOSED goes out after the FIN, immediately or later. */
static bool closed_due(const smux_stream *st) {
    return st->flags & F_OWE_CLOSED && st->out == OUT_CLOSED && !st->session->hello_until_us;
}

static bool control_due(const smux_stream *st) {
    return owed(st) || send_fin_due(st) || closed_due(st);
}

/* How many bytes beyond the queued ones the peer's window allows. */
static uint64_t window_room(const smux_stream *st) {
    int64_t waiting = (int64_t)(st->queued - st->planned), allowance = send_allowance(st);
    return allowance > waiting ? (uint64_t)(allowance - waiting) : 0;
}

uint64_t smux_stream_window_room(smux_stream *st) {
    uint64_t room = window_room(st);
    st->awaits_window = room == 0;
    return room;
}

void send_schedule(smux_stream *st) {
    smux_session *s = st->session;
    if (s->error)
        return;
    if (st->awaits_window && st->out == OUT_OPEN && window_room(st)) {
        st->awaits_window = false;
        stream_event(st, F_WRITABLE);
    }
    if (!control_due(st))
        list_remove(&st->control);
    else if (!list_is_linked(&st->control))
        list_append(&s->control, &st->control);
    if (!send_data_due(st))
        turn_leave(st);
    else if (!list_is_linked(&st->ring))
        turn_enter(st);
}

bool smux_session_want_write(const smux_session *s) {
    return !s->error && s->version &&
           (s->begun || s->owes || s->refusals_head < s->refusals_tail ||
            !list_is_empty(&s->control) || turn_is_due(s));
}

/* ---- The plan ------------------------------------------------------------------------------- */

struct output {
    smux_session *s;
    struct iovec *iov;
    int len, max;
    size_t bytes;
};

static bool room_for_frame(const struct output *o) {
    return o->s->frames_len < PLAN_MAX && o->len + 2 <= o->max &&
           o->bytes + FRAME_HEADER_MAX + WIRE_UPDATE_LEN <= SMUX_OUTPUT_MAX;
}

/* Adjacent headers lie side by side and share an iovec. */
static bool joins(const struct output *o, const uint8_t *at) {
    if (o->len == 0)
        return false;
    const struct iovec *last = &o->iov[o->len - 1];
    return (const uint8_t *)last->iov_base + last->iov_len == at;
}

static void emit(struct output *o, uint8_t *at, size_t len) {
    if (joins(o, at))
        o->iov[o->len - 1].iov_len += len;
    else
        o->iov[o->len++] = (struct iovec){at, len};
    o->bytes += len;
}

static uint8_t put_header(smux_session *s, uint8_t *at, uint8_t command, uint16_t length,
                          uint32_t id) {
    wire_pack_header(at, (struct wire_header){(uint8_t)s->version, command, length, id});
    return WIRE_HEADER_LEN;
}

static uint8_t put_reset(smux_session *s, uint8_t *at, uint32_t id) {
    uint8_t len = 0;
    if (s->peer_extensions)
        len = put_header(s, at, WIRE_NOP, 0, id);
    return len + put_header(s, at + len, WIRE_FIN, 0, id);
}

static uint8_t put_closed(smux_session *s, uint8_t *at, uint32_t id) {
    uint8_t len = put_header(s, at, WIRE_NOP, 0, id);
    return len + put_header(s, at + len, WIRE_NOP, 0, id);
}

static uint8_t put_update(smux_session *s, uint8_t *at, const struct frame *f, uint32_t id) {
    uint8_t len = put_header(s, at, WIRE_UPD, WIRE_UPDATE_LEN, id);
    wire_pack_update(at + len, window_update(f->stream));
    return len + WIRE_UPDATE_LEN;
}

static uint8_t put_data(smux_session *s, uint8_t *at, const struct frame *f, uint32_t id) {
    uint8_t len = 0;
    if (f->urgent && s->peer_extensions)
        len = put_header(s, at, WIRE_NOP, 0, id);
    return len + put_header(s, at + len, WIRE_PSH, (uint16_t)f->payload, id);
}

/* A FIN before the SYN opens the stream small; a plain peer ignores it. */
static uint8_t put_syn(smux_session *s, uint8_t *at, const struct frame *f, uint32_t id) {
    uint8_t len = f->small ? put_header(s, at, WIRE_FIN, 0, id) : 0;
    return len + put_header(s, at + len, WIRE_SYN, 0, id);
}

static uint8_t put_frame(smux_session *s, uint8_t *at, const struct frame *f) {
    uint32_t id = f->stream ? f->stream->id : f->id;
    switch ((enum frame_kind)f->kind) {
    case FRAME_SYN:
        return put_syn(s, at, f, id);
    case FRAME_FIN:
    case FRAME_HELLO:
    case FRAME_WINDOWS:
        return put_header(s, at, WIRE_FIN, 0, id);
    case FRAME_DATA:
        return put_data(s, at, f, id);
    case FRAME_RESET:
    case FRAME_REFUSE:
        return put_reset(s, at, id);
    case FRAME_CLOSED:
        return put_closed(s, at, id);
    case FRAME_UPDATE:
        return put_update(s, at, f, id);
    case FRAME_GOAWAY:
    case FRAME_NOP:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_CREDIT:
    case FRAME_SYNC:
    case FRAME_SYNCED:
        break;
    }
    return put_header(s, at, WIRE_NOP, 0, id);
}

static void plan(struct output *o, struct frame f) {
    smux_session *s = o->s;
    f.header_at = (uint16_t)s->headers_len;
    f.header_len = put_frame(s, s->headers + s->headers_len, &f);
    emit(o, s->headers + s->headers_len, f.header_len);
    s->headers_len += f.header_len;
    if (f.stream)
        f.stream->refs++;
    s->frames[s->frames_len++] = f;
}

/* A frame that is partly sent goes first, however urgent the others are. */
static void plan_begun(struct output *o) {
    smux_session *s = o->s;
    struct frame *f = &s->frames[0];
    s->headers_len = s->begun ? f->header_len : 0;
    if (!s->begun)
        return;
    uint32_t payload_done = 0;
    if (s->begun < f->header_len)
        emit(o, s->headers + f->header_at + s->begun, f->header_len - s->begun);
    else
        payload_done = s->begun - f->header_len;
    if (f->payload > payload_done)
        o->bytes += queue_gather(f->stream, payload_done, f->payload - payload_done, o->iov,
                                 &o->len, o->max);
}

static const struct {
    uint16_t owed;
    uint8_t kind;
    uint32_t id;
} session_frames[] = {
    {OWE_HELLO, FRAME_HELLO, WIRE_HELLO},    {OWE_WINDOWS, FRAME_WINDOWS, WIRE_FULL},
    {OWE_CREDIT, FRAME_CREDIT, WIRE_CREDIT}, {OWE_SYNCED, FRAME_SYNCED, WIRE_SYNCED},
    {OWE_GOAWAY, FRAME_GOAWAY, WIRE_GOAWAY}, {OWE_PONG, FRAME_PONG, WIRE_PONG},
    {OWE_PING, FRAME_PING, WIRE_PING},       {OWE_NOP, FRAME_NOP, 0},
};

static void plan_session_frames(struct output *o) {
    smux_session *s = o->s;
    for (size_t i = 0; s->owes && i < sizeof session_frames / sizeof *session_frames; i++) {
        uint32_t id = session_frames[i].id;
        bool was_tight = s->told_tight;
        if (!(s->owes & session_frames[i].owed) || !room_for_frame(o))
            continue;
        if (session_frames[i].kind == FRAME_PING) {
            s->ping_seq = (s->ping_seq + 1) & WIRE_SEQ_MASK;
            s->ping_pending = true;
            s->ping_us = s->now_us;
            id |= s->ping_seq;
        } else if (session_frames[i].kind == FRAME_PONG) {
            id |= s->pong_seq;
        } else if (session_frames[i].kind == FRAME_WINDOWS) {
            s->told_tight = s->tight;
            id = s->tight ? WIRE_SMALL : WIRE_FULL;
        }
        s->owes &= (uint16_t)~session_frames[i].owed;
        plan(o, (struct frame){.kind = session_frames[i].kind, .id = id, .small = was_tight});
    }
    while (s->refusals_head < s->refusals_tail && room_for_frame(o))
        plan(o, (struct frame){.kind = FRAME_REFUSE, .id = s->refusals[s->refusals_head++]});
}

static void plan_closed(struct output *o, smux_stream *st) {
    st->flags &= (uint16_t)~F_OWE_CLOSED;
    plan(o, (struct frame){.kind = FRAME_CLOSED, .stream = st});
}

static void plan_fin(struct output *o, smux_stream *st) {
    stream_set_out(st, OUT_CLOSED);
    plan(o, (struct frame){.kind = FRAME_FIN, .stream = st});
}

static const struct {
    uint16_t owed;
    uint8_t kind;
} stream_frames[] = {
    {F_OWE_SYN, FRAME_SYN}, {F_OWE_UPDATE, FRAME_UPDATE}, {F_OWE_RESET, FRAME_RESET}};

static void plan_control(struct output *o) {
    smux_session *s = o->s;
    while (!list_is_empty(&s->control) && room_for_frame(o)) {
        smux_stream *st = stream_of(list_first(&s->control), control);
        for (size_t i = 0; i < sizeof stream_frames / sizeof *stream_frames; i++)
            if (owed(st) & stream_frames[i].owed && room_for_frame(o)) {
                st->flags &= (uint16_t)~stream_frames[i].owed;
                plan(o, (struct frame){.kind = stream_frames[i].kind,
                                       .stream = st,
                                       .small = i == 0 && promise_plan_syn(st)});
            }
        if (send_fin_due(st) && !(st->flags & F_OWED) && room_for_frame(o))
            plan_fin(o, st);
        if (closed_due(st) && room_for_frame(o))
            plan_closed(o, st);
        if (!control_due(st))
            list_remove(&st->control);
    }
    /* After all the updates that it asks about. */
    if (s->owes & OWE_SYNC && list_is_empty(&s->control) && room_for_frame(o)) {
        s->owes &= (uint16_t)~OWE_SYNC;
        s->sync_pending = true;
        plan(o, (struct frame){.kind = FRAME_SYNC, .id = WIRE_SYNC});
    }
}

/* How many bytes from the first unplanned one up to and including the urgent byte. */
static uint32_t until_urgent(const smux_stream *st) {
    return st->urgent_end - ((uint32_t)st->bytes_out + st->planned);
}

/* Gathers `want` bytes of the stream's queue and puts their header before them. If there are too
 * few iovecs: nothing when the next plan will have more, otherwise what fits. */
static uint32_t plan_data(struct output *o, smux_stream *st, uint32_t want) {
    smux_session *s = o->s;
    int end = o->len + !joins(o, s->headers + s->headers_len);
    uint32_t got = (uint32_t)queue_gather(st, st->planned, want, o->iov, &end, o->max);
    if (got < want && o->len > 0 && s->ring_len > 1)
        return 0;
    bool urgent = st->flags & F_URGENT && got == until_urgent(st);
    if (urgent)
        st->flags &= (uint16_t)~F_URGENT;
    struct frame f = {.kind = FRAME_DATA, .stream = st, .payload = got, .urgent = urgent};
    turn_note(s, &f);
    plan(o, f);
    o->len = end;
    o->bytes += got;
    st->planned += got;
    return got;
}

/* Sends one frame of the stream whose turn it is. False if the plan is full. */
static bool plan_turn(struct output *o) {
    smux_session *s = o->s;
    smux_stream *st = turn_first(s);
    uint32_t limit = turn_frame_limit(s), credit = limit + st->deficit;
    uint32_t want = min_u32(min_u32(s->config.max_frame_size, credit), st->queued - st->planned);
    want = min_u32(want, (uint64_t)send_allowance(st));
    if (st->flags & F_URGENT)
        want = min_u32(want, until_urgent(st));
    if (o->bytes + FRAME_HEADER_MAX + want > SMUX_OUTPUT_MAX)
        return false;
    uint32_t got = plan_data(o, st, want);
    if (!got)
        return false;
    turn_move_on(st, got, limit);
    if (send_fin_due(st) && !(st->flags & F_OWED)) {
        if (room_for_frame(o))
            plan_fin(o, st);
        send_schedule(st); /* the FIN, or the CLOSED after it, may remain */
    }
    return true;
}

int smux_session_output(smux_session *s, struct iovec *iov, int iov_max, uint64_t now_us) {
    struct output o = {s, iov, 0, iov_max, 0};
    engine_time(s, now_us);
    if (s->outstanding)
        smux_session_output_done(s, 0);
    if (!iov || iov_max < 4)
        return SMUX_ERR_ARGUMENT;
    if (!smux_session_want_write(s))
        return 0;
    plan_begun(&o);
    plan_session_frames(&o);
    plan_control(&o);
    while (list_is_empty(&s->control) && turn_is_due(s) && room_for_frame(&o))
        if (!plan_turn(&o))
            break;
    s->outstanding = o.len > 0;
    return o.len;
}

/* ---- What went out ------------------------------------------------------------------------- */

/* The plan no longer refers to the frame's stream. */
static void unref(smux_stream *st) {
    if (!st)
        return;
    if (--st->refs == 0) {
        if (st->flags & F_DROP)
            queue_drop(st);
        stream_settle(st);
    }
}

static void retire(smux_session *s, const struct frame *f) {
    smux_stream *st = f->stream;
    s->count.frames_out++;
    if (f->kind == FRAME_DATA) {
        st->planned -= f->payload;
        st->bytes_out += f->payload;
        s->count.bytes_out += f->payload;
        queue_advance(st, f->payload);
        stream_active(st);
        stream_fail_behind(st);
    }
    unref(st);
}

static void take_back_data(const struct frame *f) {
    smux_stream *st = f->stream;
    st->planned -= f->payload;
    if (f->urgent && !(st->flags & F_URGENT)) {
        st->flags |= F_URGENT;
        st->urgent_end = (uint32_t)st->bytes_out + st->planned + f->payload;
    }
    turn_take_back(f);
}

/* A reset made meanwhile relied on the FIN, because a plain peer knows nothing else. */
static void take_back_fin(smux_stream *st) {
    stream_set_out(st, OUT_CLOSING);
    if (st->out == OUT_DEAD && st->error != SMUX_ERR_PEER_RESET)
        send_owe_reset(st);
}

static void take_back_sync(smux_session *s) {
    s->owes |= OWE_SYNC;
    s->sync_pending = false;
}

static void take_back(smux_session *s, const struct frame *f) {
    smux_stream *st = f->stream;
    if (f->kind == FRAME_DATA)
        take_back_data(f);
    else if (f->kind == FRAME_FIN)
        take_back_fin(st);
    else if (f->kind == FRAME_CLOSED && st->out != OUT_DEAD)
        st->flags |= F_OWE_CLOSED;
    else if (f->kind == FRAME_REFUSE)
        s->refusals_head--;
    else if (f->kind == FRAME_SYN)
        promise_take_back_syn(st, f->small);
    else if (f->kind == FRAME_WINDOWS)
        s->told_tight = f->small;
    else if (f->kind == FRAME_SYNC)
        take_back_sync(s);
    for (size_t i = 0; i < sizeof stream_frames / sizeof *stream_frames; i++)
        if (st && f->kind == stream_frames[i].kind)
            st->flags |= stream_frames[i].owed;
    for (size_t i = 0; i < sizeof session_frames / sizeof *session_frames; i++)
        if (!st && f->kind == session_frames[i].kind)
            s->owes |= session_frames[i].owed;
    if (!st)
        return;
    if (control_due(st) && !list_is_linked(&st->control))
        list_prepend(&s->control, &st->control);
    unref(st);
}

void send_void_plan(smux_session *s) {
    uint32_t len = s->frames_len;
    s->frames_len = s->begun = 0;
    s->outstanding = false;
    for (uint32_t i = 0; i < len; i++) {
        if (s->frames[i].kind == FRAME_DATA)
            s->frames[i].stream->planned -= s->frames[i].payload;
        unref(s->frames[i].stream);
    }
}

void smux_session_output_done(smux_session *s, size_t n) {
    uint32_t i = 0, len = s->frames_len, begun = s->begun;
    if (!s->outstanding)
        return;
    s->outstanding = false;
    if (s->error) {
        send_void_plan(s);
        return;
    }
    for (; i < len; i++) {
        struct frame *f = &s->frames[i];
        uint32_t left = f->header_len + f->payload - (i ? 0 : begun);
        if (n < left)
            break;
        n -= left;
        retire(s, f);
    }
    s->begun = i < len ? (uint32_t)n + (i ? 0 : begun) : 0;
    uint32_t keep = i + (s->begun > 0);
    while (len > keep)
        take_back(s, &s->frames[--len]);
    s->frames_len = s->begun > 0;
    if (s->begun) {
        s->frames[0] = s->frames[i];
        memmove(s->headers, s->headers + s->frames[0].header_at, s->frames[0].header_len);
        s->frames[0].header_at = 0;
    }
    if (s->refusals_head == s->refusals_tail)
        s->refusals_head = s->refusals_tail = 0;
    queue_unblock(s);
}
