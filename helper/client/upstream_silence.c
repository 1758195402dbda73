/* SPDX-License-Identifier: MIT */
/* upstream_silence.c - has a session's gateway stopped answering? (upstream.h)
 *
 * A stopped process, a machine that has lost its power and a path that swallows packets look alike:
 * nothing comes. Half of answer-timeout after a stream was opened, if nothing was heard since, the
 * gateway is asked (a ping); if it does not say anything within the other half, it is silent. Only
 * bytes that arrive count: a target that takes its time to accept a connection does not make its
 * gateway silent. It concerns upstreams with several addresses only, and nothing is decided as long
 * as there is no other address that works or was not tried. */
#include <stdio.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"

static void on_look(struct loop_timer *timer);

static void look_in(struct upstream_session *session, uint64_t us) {
    struct loop *loop = session->upstream->reactor->loop;
    loop_timer_set(loop, &session->silence, loop_now_us(loop) + us, on_look);
}

static uint64_t patience_us(const struct upstream_session *session) {
    return session->upstream->config.answer_timeout_ms * UINT64_C(1000);
}

/* A distant gateway is granted some round trips. */
static uint64_t at_least(uint64_t us, uint64_t round_trips_us) {
    return us > round_trips_us ? us : round_trips_us;
}

static bool concerns(const struct upstream_session *session) {
    return session->backend && session->upstream->backends.listed > 1;
}

/* ---- Those who wait for an answer ---- */

/* How many are told in one turn. */
#define TOLD_PER_TURN 64

static void tell_some(struct loop_task *task) {
    struct upstream_session *session = container_of(task, struct upstream_session, task);
    struct list_link *first;
    for (int told = 0; (first = list_first(&session->unanswered)); told++) {
        if (told == TOLD_PER_TURN) {
            loop_task_post(session->upstream->reactor->loop, task, tell_some);
            return;
        }
        struct upstream_waiter *waiter = container_of(first, struct upstream_waiter, link);
        list_remove(first);
        waiter->silent(waiter);
    }
}

static void is_silent(struct upstream_session *session) {
    const struct upstream *upstream = session->upstream;
    char why[100];
    uint64_t since_us = session->pinged_us ? session->pinged_us : session->opened_us;
    snprintf(why, sizeof why, "no %s within %llu ms",
             session->pinged_us ? "answer to a ping" : "hello",
             (unsigned long long)((loop_now_us(upstream->reactor->loop) - since_us) / 1000u));
    loop_task_post(upstream->reactor->loop, &session->task, tell_some);
    session->ops->silent(session, why);
}

/* ---- Looking ---- */

/* Goes on looking while somebody waits for an answer. */
static void heard(struct upstream_session *session) {
    session->pinged_us = 0;
    session->opened_us = loop_now_us(session->upstream->reactor->loop);
    if (!list_is_empty(&session->unanswered))
        look_in(session, patience_us(session));
}

static void on_look(struct loop_timer *timer) {
    struct upstream_session *session = container_of(timer, struct upstream_session, silence);
    struct upstream *upstream = session->upstream;
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    bool is_new = session->state == SESSION_NEW;
    uint64_t asked_us = session->pinged_us ? session->pinged_us : session->opened_us;
    if (!session->link)
        return;
    if (is_new ? pump_has_heard(session->pump) : info.last_received_us >= asked_us) {
        heard(session);
    } else if (!is_new && !info.peer_extensions) {
        session->pinged_us = 0; /* it answers no pings */
    } else if (!is_new && !session->pinged_us) {
        session->pinged_us = loop_now_us(upstream->reactor->loop);
        smux_session_ping(session->pump->session);
        pump_kick(session->pump);
        look_in(session, at_least(patience_us(session) / 2, 4 * info.rtt_us));
    } else if (backends_have_other(&upstream->backends, session->backend)) {
        is_silent(session);
    } else {
        look_in(session, patience_us(session));
    }
}

void upstream_silence_begin(struct upstream_session *session) {
    session->opened_us = loop_now_us(session->upstream->reactor->loop);
    /* Round trips: one of the TLS handshake, one of the hellos, and as many again. */
    if (concerns(session))
        look_in(session, at_least(patience_us(session), 4 * session->dialled_us));
}

void upstream_silence_expect(struct upstream_session *session, struct upstream_waiter *waiter) {
    if (waiter->silent)
        list_append(&session->unanswered, &waiter->link);
    session->opened_us = loop_now_us(session->upstream->reactor->loop);
    if (concerns(session) && !session->silence.armed)
        look_in(session, patience_us(session) / 2);
}

void upstream_silence_end(struct upstream_session *session) {
    struct loop *loop = session->upstream->reactor->loop;
    struct list_link *first;
    loop_timer_clear(loop, &session->silence);
    loop_task_cancel(loop, &session->task);
    while ((first = list_first(&session->unanswered)))
        list_remove(first);
}
