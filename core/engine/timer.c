/* SPDX-License-Identifier: MIT
 * What happens as time passes: keepalives, the detection of silent peers, idle streams.
 */
#include "core/engine/engine.h"

static uint64_t later(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Silence counts only if it is seen twice, this far apart: a process that was stopped or delayed
 * gets the chance to read what has been waiting for it. */
static uint64_t second_look_us(uint64_t patience_us) {
    return patience_us / 4 < 1000000 ? patience_us / 4 : 1000000;
}

/* The same for all streams, so that they come up in the order in which they were first seen
 * inactive. */
static uint64_t streams_second_look_us(const smux_session *s) {
    uint64_t idle_us = s->config.stream_idle_timeout_us, linger_us = s->config.linger_timeout_us;
    return second_look_us(idle_us && (idle_us < linger_us || !linger_us) ? idle_us : linger_us);
}

static bool peer_must_speak(const smux_session *s) {
    return !s->config.keepalive_disabled && (s->peer_keeps_alive || s->peer_extensions);
}

static uint64_t silence_deadline(const smux_session *s) {
    if (!peer_must_speak(s))
        return SMUX_NEVER;
    uint64_t due = later(s->last_received_us, s->config.keepalive_timeout_us);
    uint64_t second =
        s->suspect_us ? later(s->suspect_us, second_look_us(s->config.keepalive_timeout_us)) : 0;
    return due > second ? due : second;
}

/* When the first stream of a list in order of activity is due. */
static uint64_t first_due(const struct list *list, uint64_t after_us) {
    return list_is_empty(list) ? SMUX_NEVER
                               : later(stream_of(list_first(list), idle)->active_us, after_us);
}

static uint64_t idle_deadline(const smux_session *s) {
    return first_due(&s->idle, s->config.stream_idle_timeout_us);
}

static uint64_t linger_deadline(const smux_session *s) {
    return first_due(&s->lingering, s->config.linger_timeout_us);
}

static uint64_t still_deadline(const smux_session *s) {
    return first_due(&s->still, streams_second_look_us(s));
}

static uint64_t hello_deadline(const smux_session *s) {
    bool waits = s->hello_waits || (s->offers && s->terms == TERMS_UNKNOWN && s->table.used);
    return waits && s->hello_until_us ? s->hello_until_us : SMUX_NEVER;
}

static bool event_waits(const smux_session *s) {
    return s->returned || !list_is_empty(&s->events) || s->input_len ||
           (s->error && !s->failed_told && !s->outstanding);
}

uint64_t smux_session_deadline(const smux_session *s) {
    if (event_waits(s))
        return 0;
    if (s->error)
        return SMUX_NEVER;
    uint64_t due = s->config.keepalive_disabled ? SMUX_NEVER : s->keepalive_us;
    const uint64_t others[] = {silence_deadline(s), idle_deadline(s),  linger_deadline(s),
                               still_deadline(s),   hello_deadline(s), window_deadline(s)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        due = others[i] < due ? others[i] : due;
    return due;
}

static void keep_alive(smux_session *s) {
    if (s->config.keepalive_disabled || s->now_us < s->keepalive_us)
        return;
    smux_session_ping(s);
    s->keepalive_us = later(s->now_us, s->config.keepalive_interval_us);
}

static void watch_silence(smux_session *s) {
    if (!peer_must_speak(s) || s->now_us < silence_deadline(s))
        return;
    if (!smux_session_want_read(s)) {
        s->last_received_us = s->now_us; /* this side is the one that does not read */
        s->suspect_us = 0;
    } else if (!s->suspect_us) {
        s->suspect_us = s->now_us;
    } else {
        session_fail_got(s, SMUX_ERR_KEEPALIVE, 0, NULL);
    }
}

/* The first stream of the list waits for its second look; from now on active_us is the time of the
 * first look. */
static void suspect_first(smux_session *s, struct list *list) {
    smux_stream *st = stream_of(list_first(list), idle);
    if (st->flags & F_GIVEN_UP && stream_waits_for_carrier(st)) {
        stream_active(st); /* the carrier is to blame, not the stream */
        return;
    }
    list_remove(&st->idle);
    list_append(&s->still, &st->idle);
    st->active_us = s->now_us;
}

static void end_still_streams(smux_session *s) {
    while (s->now_us >= still_deadline(s)) {
        smux_stream *st = stream_of(list_first(&s->still), idle);
        stream_kill(st, SMUX_ERR_IDLE, true, true);
        stream_settle(st);
    }
    while (s->now_us >= idle_deadline(s))
        suspect_first(s, &s->idle);
    while (s->now_us >= linger_deadline(s))
        suspect_first(s, &s->lingering);
}

void smux_session_tick(smux_session *s, uint64_t now_us) {
    engine_time(s, now_us);
    if (s->error)
        return;
    keep_alive(s);
    watch_silence(s);
    if (s->error)
        return;
    end_still_streams(s);
    window_judge(s);
    if (s->hello_until_us && s->now_us >= s->hello_until_us) {
        send_waiting(s);
        promise_none(s);
    }
}
