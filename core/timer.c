/* SPDX-License-Identifier: MIT
 * What happens as time passes: keepalives, a peer gone silent, idle streams.
 */
#include "core/engine.h"

static uint64_t later(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Silence is believed only when it is seen twice, this far apart: a process that was stopped, or
 * late, gets the chance to read what has been waiting for it. */
static uint64_t second_look_us(const smux_session *s) {
    uint64_t quarter = s->config.keepalive_timeout_us / 4;
    return quarter < 1000000 ? quarter : 1000000;
}

static bool peer_must_speak(const smux_session *s) {
    return !s->config.keepalive_disabled && (s->peer_keeps_alive || s->peer_extensions);
}

static uint64_t silence_deadline(const smux_session *s) {
    if (!peer_must_speak(s))
        return SMUX_NEVER;
    uint64_t due = later(s->last_received_us, s->config.keepalive_timeout_us);
    uint64_t second = s->suspect_us ? later(s->suspect_us, second_look_us(s)) : 0;
    return due > second ? due : second;
}

/* The one that has been still for longest, of a list in that order. */
static uint64_t still_deadline(const struct link *list) {
    if (list_empty(list))
        return SMUX_NEVER;
    const smux_stream *st = stream_of(list->next, idle);
    return later(st->active_us, stream_patience_us(st));
}

uint64_t smux_deadline(const smux_session *s) {
    if (s->error)
        return SMUX_NEVER;
    uint64_t due = s->config.keepalive_disabled ? SMUX_NEVER : s->keepalive_us;
    const uint64_t others[] = {silence_deadline(s), still_deadline(&s->idle),
                               still_deadline(&s->lingering)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        due = others[i] < due ? others[i] : due;
    return due;
}

static void keep_alive(smux_session *s) {
    if (s->config.keepalive_disabled || s->now_us < s->keepalive_us)
        return;
    smux_ping(s);
    s->keepalive_us = later(s->now_us, s->config.keepalive_interval_us);
}

static void watch_silence(smux_session *s) {
    if (!peer_must_speak(s) || s->now_us < silence_deadline(s))
        return;
    if (!smux_want_read(s)) {
        s->last_received_us = s->now_us; /* it is we who do not listen */
        s->suspect_us = 0;
    } else if (!s->suspect_us) {
        s->suspect_us = s->now_us;
    } else {
        session_fail_got(s, SMUX_ERR_KEEPALIVE, 0, NULL);
    }
}

static void end_still_streams(smux_session *s, struct link *list) {
    while (!list_empty(list) && s->now_us >= still_deadline(list)) {
        smux_stream *st = stream_of(list->next, idle);
        stream_kill(st, SMUX_ERR_IDLE, true, true);
        stream_settle(st);
    }
}

void smux_tick(smux_session *s, uint64_t now_us) {
    engine_time(s, now_us);
    if (s->error)
        return;
    keep_alive(s);
    watch_silence(s);
    if (s->error)
        return;
    end_still_streams(s, &s->idle);
    end_still_streams(s, &s->lingering);
}
