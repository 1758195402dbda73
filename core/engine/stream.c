/* SPDX-License-Identifier: MIT
 * Streams: their two half-states, and how they open, close and end.
 */
#include "core/engine/engine.h"

#include <string.h>

/* The transitions that each half may make. Any other is a bug in the engine and is refused. */
static const uint8_t in_moves[] = {
    [IN_OPEN] = 1 << IN_EOF | 1 << IN_DEAD,
    [IN_EOF] = 1 << IN_CLOSED | 1 << IN_DEAD,
    [IN_CLOSED] = 1 << IN_DEAD,
    [IN_DEAD] = 0,
};
static const uint8_t out_moves[] = {
    [OUT_OPEN] = 1 << OUT_CLOSING | 1 << OUT_DEAD,
    [OUT_CLOSING] = 1 << OUT_CLOSED | 1 << OUT_DEAD,
    [OUT_CLOSED] = 1 << OUT_CLOSING | 1 << OUT_DEAD, /* back if a planned FIN did not go out */
    [OUT_DEAD] = 0,
};

void stream_set_in(smux_stream *st, enum in_state to) {
    uint64_t before = promise_held(st);
    if (in_moves[st->in] & 1 << to)
        st->in = (uint8_t)to;
    promise_note(st, before);
}

void stream_set_out(smux_stream *st, enum out_state to) {
    if (out_moves[st->out] & 1 << to)
        st->out = (uint8_t)to;
}

static smux_stream *take_memory(smux_session *s) {
    smux_stream *st = s->spares;
    if (!st)
        return engine_alloc(s, sizeof *st);
    s->spares = st->user;
    s->spares_len--;
    return st;
}

static void give_memory(smux_session *s, smux_stream *st) {
    if (s->spares_len >= SPARES_MAX) {
        engine_free(s, st);
        return;
    }
    st->user = s->spares;
    s->spares = st;
    s->spares_len++;
}

void stream_free_spares(smux_session *s) {
    for (smux_stream *st; (st = s->spares); engine_free(s, st))
        s->spares = st->user;
}

int stream_new(smux_session *s, uint32_t id, uint16_t flags, uint32_t first, smux_stream **stream) {
    if (!first || s->table.used >= s->config.max_streams)
        return SMUX_ERR_STREAM_LIMIT;
    smux_stream *st = take_memory(s);
    if (!st)
        return SMUX_ERR_NOMEM;
    memset(st, 0, sizeof *st);
    st->session = s;
    st->id = id;
    st->flags = flags;
    st->round = (s->round - 1u) & ROUND_MASK;
    st->peer_window = flags & F_LOCAL ? WIRE_INITIAL_WINDOW : s->peer_first;
    if (table_put(s, st)) {
        give_memory(s, st);
        return SMUX_ERR_NOMEM;
    }
    window_start(st, first);
    promise_balance(s);
    stream_active(st);
    *stream = st;
    return 0;
}

/* Forgets the stream if its payload is being received. */
static void forget_payload(smux_session *s, const smux_stream *st) {
    if (s->payload_stream != st)
        return;
    s->payload_stream = NULL;
    /* The rest of its PSH will arrive for a stream that is gone. */
    if (s->peer_extensions && st->in == IN_OPEN)
        s->payload_orphan = st->id;
}

void stream_free(smux_stream *st) {
    smux_session *s = st->session;
    queue_drop(st);
    window_end(st);
    forget_payload(s, st);
    turn_leave(st);
    list_remove(&st->control);
    list_remove(&st->events);
    list_remove(&st->idle);
    table_remove(s, st->id);
    give_memory(s, st);
    promise_balance(s);
}

void stream_active(smux_stream *st) {
    smux_session *s = st->session;
    bool lingers = st->flags & F_GIVEN_UP;
    if (st->out == OUT_DEAD ||
        !(lingers ? s->config.linger_timeout_us : s->config.stream_idle_timeout_us))
        return;
    st->active_us = s->now_us;
    list_remove(&st->idle);
    list_append(lingers ? &s->lingering : &s->idle, &st->idle);
}

void stream_event(smux_stream *st, uint16_t flag) {
    if (st->flags & F_GIVEN_UP)
        return;
    st->flags |= flag;
    list_remove(&st->events); /* it may be in `blocked` */
    list_append(&st->session->events, &st->events);
}

static void leave_backlog(smux_stream *st) {
    if (!(st->flags & (F_LOCAL | F_ACCEPTED))) {
        st->flags |= F_ACCEPTED;
        st->session->backlog--;
    }
}

void stream_owe_nothing(smux_stream *st) {
    st->flags &= (uint16_t)~F_OWED;
    list_remove(&st->control);
}

void stream_kill(smux_stream *st, int error, bool tell_peer, bool tell_application) {
    smux_session *s = st->session;
    if (st->out == OUT_DEAD)
        return;
    /* A peer without extensions is told by a FIN, unless it has had one; a peer whose hello may
     * still come is told twice rather than not at all. */
    if (tell_peer && (s->peer_extensions || s->hello_until_us || st->out != OUT_CLOSED))
        send_owe_reset(st);
    st->error = error;
    stream_set_in(st, IN_DEAD);
    stream_set_out(st, OUT_DEAD);
    window_release(st, st->unread);
    window_end(st);
    turn_leave(st);
    list_remove(&st->idle);
    st->flags &= (uint16_t) ~(F_BLOCKED | F_WRITABLE | F_OWE_UPDATE | F_OWE_CLOSED);
    list_remove(&st->events);
    queue_drop(st);
    if (!tell_peer)
        stream_owe_nothing(st);
    send_schedule(st);
    if (tell_application)
        stream_event(st, F_TOLD_RESET);
}

void stream_fail_behind(smux_stream *st) {
    if (st->flags & F_FAILING && !st->queued)
        stream_kill(st, SMUX_ERR_LOCAL_RESET, true, true);
}

void stream_settle(smux_stream *st) {
    if (st->flags & F_GIVEN_UP && !st->refs && !(st->flags & (F_OWED | F_OWE_CLOSED)) &&
        (st->out == OUT_CLOSED || st->out == OUT_DEAD))
        stream_free(st);
}

int smux_stream_open(smux_session *s, smux_stream **stream) {
    *stream = NULL;
    if (s->error)
        return s->error;
    if (s->peer_goaway || s->goaway != GOAWAY_NONE)
        return SMUX_ERR_GOAWAY;
    if (s->next_id >= WIRE_RESERVED)
        return SMUX_ERR_EXHAUSTED;
    int error = stream_new(s, s->next_id, F_LOCAL | F_OWE_SYN, promise_open(s), stream);
    if (error)
        return error;
    s->next_id += 2;
    s->count.opened++;
    send_schedule(*stream);
    return 0;
}

void smux_stream_accept(smux_stream *st) {
    leave_backlog(st);
}

int smux_stream_close_write(smux_stream *st) {
    if (st->error)
        return st->error;
    if (st->out == OUT_OPEN) {
        stream_set_out(st, OUT_CLOSING);
        st->flags &= (uint16_t) ~(F_BLOCKED | F_WRITABLE);
        list_remove(&st->events);
        send_schedule(st);
    }
    return 0;
}

/* From now on only the engine uses the stream. */
static void give_up(smux_stream *st) {
    uint64_t before = promise_held(st);
    leave_backlog(st);
    st->flags |= F_GIVEN_UP;
    promise_note(st, before);
    st->flags &= (uint16_t) ~(F_BLOCKED | F_WRITABLE | F_TOLD_RESET);
    list_remove(&st->events);
}

void smux_stream_close(smux_stream *st) {
    (void)smux_stream_close_write(st);
    if (st->out != OUT_DEAD)
        send_owe_closed(st);
    give_up(st);
    /* A peer that waits for window must be able to go on, or it will not learn of the close. */
    window_release(st, st->unread);
    window_consumed(st);
    list_remove(&st->idle);
    stream_active(st);
    send_schedule(st);
    stream_settle(st);
}

void smux_stream_reset(smux_stream *st) {
    give_up(st);
    stream_kill(st, SMUX_ERR_LOCAL_RESET, !st->session->error, false);
    stream_settle(st);
}

int smux_stream_reset_behind(smux_stream *st) {
    if (st->error)
        return st->error;
    (void)smux_stream_close_write(st);
    st->flags |= F_FAILING;
    send_schedule(st); /* the FIN is no longer due */
    stream_fail_behind(st);
    return 0;
}

uint32_t smux_stream_id(const smux_stream *st) {
    return st->id;
}

smux_session *smux_stream_session(const smux_stream *st) {
    return st->session;
}

void smux_stream_set_user(smux_stream *st, void *user) {
    st->user = user;
}

void *smux_stream_user(const smux_stream *st) {
    return st->user;
}

void smux_stream_get_info(const smux_stream *st, smux_stream_info *info) {
    int64_t allowance = send_allowance(st);
    *info = (smux_stream_info){
        .id = st->id,
        .error = st->error,
        .local = st->flags & F_LOCAL,
        .accepted = st->flags & (F_LOCAL | F_ACCEPTED),
        .read_closed = st->in != IN_OPEN,
        .write_closed = st->out != OUT_OPEN,
        .bytes_in = st->bytes_in,
        .bytes_out = st->bytes_out,
        .unread = st->unread,
        .queued = st->queued,
        .recv_window = st->session->version == 2 ? st->window : 0,
        .send_window = allowance > 0 ? allowance : 0,
        .active_us = st->active_us,
    };
}

smux_stream *smux_session_next_stream(const smux_session *s, const smux_stream *previous) {
    smux_stream *st = table_next(s, previous);
    while (st && st->flags & F_GIVEN_UP)
        st = table_next(s, st);
    return st;
}
