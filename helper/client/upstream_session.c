/* SPDX-License-Identifier: MIT */
/* upstream_session.c - one of the sessions of an upstream (upstream.h). */
#include <errno.h>
#include <stdlib.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"
#include "helper/relay/session_config.h"

/* ---- States ---- */

#define TO(state) (1u << SESSION_##state)

static const struct state_table states = {
    .what = "session",
    .state = {[SESSION_NEW] = {"new", TO(ESTABLISHED) | TO(DRAINING) | TO(OVER)},
              [SESSION_ESTABLISHED] = {"established", TO(DRAINING) | TO(OVER)},
              [SESSION_DRAINING] = {"draining", TO(OVER)},
              [SESSION_OVER] = {"over", 0}}};

bool upstream_session_move(struct upstream_session *session, enum session_state to) {
    if (state_move(&states, &session->state, to))
        return true;
    pump_fail(session->pump, SMUX_ERR_CLOSED, "a bug of this helper, as logged");
    return false;
}

static void free_session(struct loop_garbage *garbage) {
    free(container_of(garbage, struct upstream_session, garbage));
}

/* How often a draining session is checked. */
#define DRAIN_LOOK_US 100000u

static void drain_look(struct loop_timer *timer) {
    struct upstream_session *session = container_of(timer, struct upstream_session, timer);
    struct loop *loop = session->upstream->reactor->loop;
    if (pump_streams(session->pump) == 0)
        pump_fail(session->pump, SMUX_ERR_CLOSED, "drained");
    else
        loop_timer_set(loop, &session->timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

void upstream_session_drain(struct upstream_session *session) {
    struct loop *loop = session->upstream->reactor->loop;
    session->link = NULL;
    if (upstream_session_move(session, SESSION_DRAINING))
        loop_timer_set(loop, &session->timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

static void on_goaway(struct pump *pump) {
    struct upstream_session *session = pump->user;
    log_about(LOG_INFO,
              ABOUT(.gateway = session->upstream->config.name, .peer = pump->carrier->peer),
              "session drains");
    if (session->link)
        session->ops->goaway(session);
}

/* Any smux server counts as established after this time, whether it has said hello or not. A
 * gateway of ours says hello; one that has not may only be slow, and a stream opened before its
 * hello could not be reset as such: a plain FIN would make its data look complete. */
#define PLAIN_TRUST_US 250000u

static void established(struct upstream_session *session) {
    struct upstream *upstream = session->upstream;
    if (session->state != SESSION_NEW || !upstream_session_move(session, SESSION_ESTABLISHED))
        return;
    log_about(LOG_INFO,
              ABOUT(.gateway = upstream->config.name, .peer = session->pump->carrier->peer),
              "session begins");
    metrics_session(&session->peer,
                    metrics_series(&metrics_slot()->peers, upstream->config.name, NULL));
    session->ops->established(session);
}

static void on_hello(struct pump *pump) {
    established(pump->user);
}

/* A server that is not ours is believed in behind its carrier's handshake, if that has one. */
static bool waits_for_handshake(const struct upstream_session *session) {
    const struct upstream *upstream = session->upstream;
    uint64_t end_us = session->pump->since_us + upstream->config.dial_timeout_ms * UINT64_C(1000);
    return upstream->plain && !carrier_is_ready(session->pump->carrier) &&
           loop_now_us(upstream->reactor->loop) < end_us;
}

static bool is_plain_and_ready(const struct upstream_session *session) {
    return session->upstream->plain && carrier_is_ready(session->pump->carrier);
}

/* No hello came. What a gateway has said instead proves that there is one; silence proves nothing.
 * */
static void on_hello_due(struct loop_timer *timer) {
    struct upstream_session *session = container_of(timer, struct upstream_session, timer);
    struct loop *loop = session->upstream->reactor->loop;
    if (waits_for_handshake(session))
        loop_timer_set(loop, timer, loop_now_us(loop) + PLAIN_TRUST_US, on_hello_due);
    else if (is_plain_and_ready(session) || pump_has_heard(session->pump))
        established(session);
    else if (session->state == SESSION_NEW)
        pump_fail(session->pump, SMUX_ERR_CLOSED,
                  carrier_is_ready(session->pump->carrier)
                      ? "no hello within dial-timeout, expected a smux-gateway"
                      : "no handshake within dial-timeout, expected a smux-gateway");
}

static uint64_t hello_due_us(const struct upstream_session *session) {
    const struct upstream *upstream = session->upstream;
    return session->pump->since_us +
           (upstream->plain ? PLAIN_TRUST_US : upstream->config.dial_timeout_ms * UINT64_C(1000));
}

static void on_closed(struct pump *pump, int error, const char *why) {
    struct upstream_session *session = pump->user;
    struct upstream *upstream = session->upstream;
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    upstream->streams_past += info.opened;
    upstream->bytes_in_past += info.bytes_in;
    upstream->bytes_out_past += info.bytes_out;
    metrics_session(&session->peer, NULL);
    list_remove(&session->member);
    bool heard = pump_has_heard(pump) || upstream->config.n_addresses == 0 ||
                 (session->state == SESSION_ESTABLISHED && upstream->plain);
    if (heard || !session->link) /* else the link logs it, once */
        log_about(error == SMUX_ERR_CLOSED ? LOG_INFO : LOG_WARNING,
                  ABOUT(.gateway = upstream->config.name, .peer = pump->carrier->peer),
                  "session ended after %llu streams: %s", (unsigned long long)info.opened, why);
    upstream_session_move(session, SESSION_OVER);
    upstream_silence_end(session);
    loop_timer_clear(upstream->reactor->loop, &session->timer);
    loop_discard(upstream->reactor->loop, &session->garbage, free_session);
    session->ops->ended(session, heard,
                        heard || !pump->peer_closed ? why
                                                    : "closed before a gateway has said anything");
}

static const struct pump_ops session_ops = {
    .hello = on_hello, .goaway = on_goaway, .closed = on_closed};

struct upstream_session *upstream_session_new(struct link *link, struct carrier *carrier,
                                              struct backend *backend,
                                              const struct upstream_session_ops *ops) {
    struct upstream *upstream = link->upstream;
    struct upstream_session *session = calloc(1, sizeof *session);
    smux_config smux;
    if (!session)
        return NULL;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a link always has its upstream */
    session_config_fill(&smux, &upstream->config.session);
    smux.max_promised = reactor_promises(upstream->reactor);
    if (upstream->plain)
        smux.linger_timeout_us = SESSION_PLAIN_LINGER_US;
    session->pump = pump_new(upstream->reactor, carrier, SMUX_CLIENT, &smux, &session_ops, session);
    if (!session->pump) {
        int error = errno;
        free(session);
        errno = error;
        return NULL;
    }
    session->upstream = upstream;
    session->link = link;
    session->ops = ops;
    session->backend = backend;
    backend_use(backend);
    list_init(&session->unanswered);
    session->dialled_us = loop_now_us(upstream->reactor->loop) - link->began_us;
    list_prepend(&upstream->sessions, &session->member);
    loop_timer_set(upstream->reactor->loop, &session->timer, hello_due_us(session), on_hello_due);
    upstream_silence_begin(session);
    return session;
}
