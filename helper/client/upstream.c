/* SPDX-License-Identifier: MIT */
/* upstream.c - see upstream.h: waiters, sessions, streams. Links are in upstream_link.c. */
#include "helper/client/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"
#include "helper/relay/session_config.h"

/* ---- Waiters, in the order of their coming ---- */

static void waiter_add(struct upstream *upstream, struct upstream_waiter *waiter) {
    waiter->upstream = upstream;
    waiter->next = NULL;
    waiter->prev = upstream->last_waiter;
    if (waiter->prev)
        waiter->prev->next = waiter;
    else
        upstream->first_waiter = waiter;
    upstream->last_waiter = waiter;
}

void upstream_cancel(struct upstream_waiter *waiter) {
    struct upstream *upstream = waiter->upstream;
    if (!upstream)
        return;
    waiter->upstream = NULL;
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        upstream->first_waiter = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        upstream->last_waiter = waiter->prev;
}

/* Those who are told something in one turn, be it good or bad: thousands may have waited. */
#define TOLD_PER_TURN 64

static void go_on(struct loop_task *task);

void upstream_fail_waiters(struct upstream *upstream, int error) {
    struct upstream_waiter *waiter;
    while ((waiter = upstream->first_waiter)) {
        upstream_cancel(waiter);
        waiter->ready(waiter, error, NULL, NULL);
    }
}

void upstream_fail_impatient(struct upstream *upstream) {
    struct upstream_waiter *next;
    int told = 0;
    upstream->fails = false;
    for (struct upstream_waiter *w = upstream->first_waiter; w; w = next) {
        next = w->next;
        if (!w->impatient)
            continue;
        if (told++ == TOLD_PER_TURN) {
            upstream->fails = true;
            loop_task_post(upstream->reactor->loop, &upstream->task, go_on);
            return;
        }
        upstream_cancel(w);
        w->ready(w, ENETUNREACH, NULL, NULL);
    }
}

/* ---- Sessions ---- */

#define TO(state) (1u << SESSION_##state)

static const struct state_table states = {
    .what = "session",
    .state = {[SESSION_NEW] = {"new", TO(ESTABLISHED) | TO(DRAINING) | TO(OVER)},
              [SESSION_ESTABLISHED] = {"established", TO(DRAINING) | TO(OVER)},
              [SESSION_DRAINING] = {"draining", TO(OVER)},
              [SESSION_OVER] = {"over", 0}}};

/* The one way to change its state. A wrong move ends this session alone. */
static bool move(struct upstream_session *session, enum session_state to) {
    if (state_move(&states, &session->state, to))
        return true;
    pump_fail(session->pump, SMUX_ERR_CLOSED, "a bug of this helper, as logged");
    return false;
}

static void free_session(struct loop_garbage *garbage) {
    free(container_of(garbage, struct upstream_session, garbage));
}

static void free_upstream(struct loop_garbage *garbage) {
    struct upstream *upstream = container_of(garbage, struct upstream, garbage);
    loop_task_cancel(upstream->reactor->loop, &upstream->task);
    free(upstream);
}

static void free_if_retired(struct upstream *upstream) {
    if (upstream->retired && !upstream->sessions)
        loop_discard(upstream->reactor->loop, &upstream->garbage, free_upstream);
}

/* A session that lived so long was a good one: the pause before the next begins small again. */
#define STABLE_US 2000000u

/* How often a session that drains is looked at. */
#define DRAIN_LOOK_US 100000u

static void drain_look(struct loop_timer *timer) {
    struct upstream_session *session = container_of(timer, struct upstream_session, timer);
    struct loop *loop = session->upstream->reactor->loop;
    if (pump_streams(session->pump) == 0)
        pump_fail(session->pump, SMUX_ERR_CLOSED, "drained");
    else
        loop_timer_set(loop, &session->timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

/* Its link may connect anew. */
static void leave_link(struct upstream_session *session) {
    struct link *link = session->link;
    session->link = NULL;
    if (!link)
        return;
    link->session = NULL;
    upstream_link_move(link, LINK_IDLE);
}

void upstream_session_detach(struct upstream_session *session) {
    struct loop *loop = session->upstream->reactor->loop;
    if (!session->link)
        return;
    leave_link(session);
    if (move(session, SESSION_DRAINING))
        loop_timer_set(loop, &session->timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

static void on_goaway(struct pump *pump) {
    struct upstream_session *session = pump->user;
    struct link *link = session->link;
    bool soon = loop_now_us(pump->reactor->loop) - pump->since_us < STABLE_US;
    log_info("gateway %s: %s drains", session->upstream->config.name, pump->carrier->peer);
    upstream_session_detach(session);
    if (link)
        upstream_link_drains(link, soon);
}

/* Any smux server is believed in after this time, whether it has said hello or not. A gateway of
 * ours says hello; one that does not may only be slow, and a stream that was begun before could not
 * be reset as such: a plain FIN would make its data look complete. */
#define PLAIN_TRUST_US 250000u

static void established(struct upstream_session *session) {
    struct upstream *upstream = session->upstream;
    struct link *link = session->link;
    if (session->state != SESSION_NEW || !move(session, SESSION_ESTABLISHED))
        return;
    if (pump_has_heard(session->pump))
        link->address = 0; /* the next time from the first again */
    if (link->error[0])
        link->reconnects++;
    log_info("gateway %s: session with %s begins", upstream->config.name,
             session->pump->carrier->peer);
    upstream_serve_waiters(upstream);
}

static void on_hello(struct pump *pump) {
    established(pump->user);
}

/* No hello came. What a gateway has said instead proves that there is one; silence proves nothing.
 * */
static void on_hello_due(struct loop_timer *timer) {
    struct upstream_session *session = container_of(timer, struct upstream_session, timer);
    if (session->upstream->plain || pump_has_heard(session->pump))
        established(session);
    else if (session->state == SESSION_NEW)
        pump_fail(session->pump, SMUX_ERR_CLOSED,
                  "no hello within dial-timeout, expected a smux-gateway");
}

static uint64_t hello_due_us(const struct upstream_session *session) {
    const struct upstream *upstream = session->upstream;
    return session->pump->since_us +
           (upstream->plain ? PLAIN_TRUST_US : upstream->config.dial_timeout_ms * UINT64_C(1000));
}

static void on_closed(struct pump *pump, int error, const char *why) {
    struct upstream_session *session = pump->user;
    struct upstream *upstream = session->upstream;
    struct link *link = session->link;
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    upstream->streams_past += info.opened;
    upstream->bytes_in_past += info.bytes_in;
    upstream->bytes_out_past += info.bytes_out;
    *session->at = session->next;
    if (session->next)
        session->next->at = session->at;
    bool heard = pump_has_heard(pump) || upstream->config.n_addresses == 0 ||
                 (session->state == SESSION_ESTABLISHED && upstream->plain);
    if (heard || !link) /* else the link says it, once */
        log_at(error == SMUX_ERR_CLOSED ? LOG_INFO : LOG_WARNING,
               "gateway %s: session with %s ended: %s", upstream->config.name, pump->carrier->peer,
               why);
    leave_link(session);
    move(session, SESSION_OVER);
    loop_timer_clear(upstream->reactor->loop, &session->timer);
    loop_discard(upstream->reactor->loop, &session->garbage, free_session);
    if (link && heard && loop_now_us(upstream->reactor->loop) - pump->since_us > STABLE_US)
        link->pause_ms = 0;
    if (link)
        upstream_link_lost(
            link, heard,
            heard || error == SMUX_ERR_CLOSED ? why : "closed before a gateway has said anything");
    free_if_retired(upstream);
}

static const struct pump_ops session_ops = {
    .hello = on_hello, .goaway = on_goaway, .closed = on_closed};

struct upstream_session *upstream_session_new(struct link *link, struct carrier *carrier) {
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
        free(session);
        return NULL;
    }
    session->upstream = upstream;
    session->link = link;
    session->at = &upstream->sessions;
    session->next = upstream->sessions;
    if (session->next)
        session->next->at = &session->next;
    upstream->sessions = session;
    loop_timer_set(upstream->reactor->loop, &session->timer, hello_due_us(session), on_hello_due);
    return session;
}

/* ---- Streams ---- */

static uint32_t load_of(const struct link *link) {
    return pump_streams(link->session->pump);
}

/* A session that has failed is about to say so, and then its link pauses. */
static bool is_usable(const struct link *link, bool cautious) {
    return link->state == LINK_UP && !smux_session_error(link->session->pump->session) &&
           (link->session->state == SESSION_ESTABLISHED || !cautious);
}

static struct link *least_loaded(struct upstream *upstream, bool cautious) {
    struct link *best = NULL;
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (is_usable(link, cautious) && (!best || load_of(link) < load_of(best)))
            best = link;
    }
    return best;
}

static void start_idle_links(struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state == LINK_IDLE)
            upstream_link_connect(&upstream->links[i]);
}

static int errno_from_smux(int error) {
    switch (error) {
    case SMUX_ERR_NOMEM:
        return ENOMEM;
    case SMUX_ERR_STREAM_LIMIT:
        return EAGAIN;
    default:
        return ENETUNREACH;
    }
}

/* Opens a stream on a session that still gives any. 0, -EAGAIN if there is none. */
static int open_now(struct upstream *upstream, bool cautious, struct pump **pump,
                    smux_stream **stream) {
    struct link *link;
    while ((link = least_loaded(upstream, cautious)) != NULL) {
        *pump = link->session->pump;
        int error = smux_stream_open((*pump)->session, stream);
        if (error == 0) {
            pump_kick(*pump);
            return 0;
        }
        if (error != SMUX_ERR_EXHAUSTED && error != SMUX_ERR_GOAWAY &&
            smux_error_tier(error) != SMUX_TIER_SESSION)
            return -errno_from_smux(error);
        log_info("gateway %s: new session: %s", upstream->config.name, smux_strerror(error));
        upstream_session_detach(link->session);
    }
    return -EAGAIN;
}

static bool all_failed(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state != LINK_PAUSE && upstream->links[i].state != LINK_OVER)
            return false;
    return true;
}

int upstream_open(struct upstream *upstream, struct upstream_waiter *waiter, struct pump **pump,
                  smux_stream **stream) {
    if (upstream->retired)
        return -ECANCELED;
    int error = open_now(upstream, waiter->cautious, pump, stream);
    start_idle_links(upstream);
    if (error != -EAGAIN)
        return error;
    upstream_hurry(upstream);
    if (waiter->impatient ? all_failed(upstream) : upstream_is_lost(upstream))
        return -ENETUNREACH;
    waiter_add(upstream, waiter);
    return -EAGAIN;
}

/* The first who waits for no more than there is. */
static struct upstream_waiter *first_to_serve(const struct upstream *upstream) {
    struct upstream_waiter *waiter = upstream->first_waiter;
    bool sure = false;
    for (int i = 0; i < upstream->link_count; i++)
        sure |= is_usable(&upstream->links[i], true);
    while (waiter && waiter->cautious && !sure)
        waiter = waiter->next;
    return waiter;
}

void upstream_serve_waiters(struct upstream *upstream) {
    struct upstream_waiter *waiter;
    for (int told = 0; (waiter = first_to_serve(upstream)) != NULL; told++) {
        if (told == TOLD_PER_TURN) {
            loop_task_post(upstream->reactor->loop, &upstream->task, go_on);
            return;
        }
        struct pump *pump = NULL;
        smux_stream *stream = NULL;
        int error = open_now(upstream, waiter->cautious, &pump, &stream);
        if (error == -EAGAIN) {
            /* Its session may have given its last stream to the one before. */
            start_idle_links(upstream);
            return;
        }
        upstream_cancel(waiter);
        waiter->ready(waiter, -error, pump, stream);
    }
}

static bool has_session(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (is_usable(&upstream->links[i], false))
            return true;
    return false;
}

/* Serves or fails those who are left; what has changed since then counts. */
static void go_on(struct loop_task *task) {
    struct upstream *upstream = container_of(task, struct upstream, task);
    if (upstream->fails && !has_session(upstream)) {
        upstream_fail_impatient(upstream);
        return;
    }
    upstream->fails = false;
    upstream_serve_waiters(upstream);
}

/* ---- Life ---- */

struct upstream *upstream_new(struct reactor *reactor, struct resolver_client *names,
                              const struct config_gateway *config, bool plain) {
    struct upstream *upstream =
        calloc(1, sizeof *upstream + config->connections * sizeof *upstream->links);
    if (!upstream)
        return NULL;
    upstream->reactor = reactor;
    upstream->names = names;
    upstream->config = *config;
    upstream->plain = plain;
    upstream->link_count = config->connections;
    for (int i = 0; i < upstream->link_count; i++)
        upstream->links[i].upstream = upstream;
    return upstream;
}

struct upstream *upstream_new_connected(struct reactor *reactor, struct resolver_client *names,
                                        const struct config_gateway *config,
                                        struct carrier *carrier) {
    struct upstream *upstream = upstream_new(reactor, names, config, false);
    if (upstream) {
        struct link *link = &upstream->links[0];
        link->session = upstream_session_new(link, carrier);
        if (link->session) {
            upstream_link_move(link, LINK_UP);
            move(link->session, SESSION_ESTABLISHED);
            return upstream;
        }
    }
    free(upstream);
    return NULL;
}

void upstream_retire(struct upstream *upstream) {
    if (upstream->retired)
        return;
    for (int i = 0; i < upstream->link_count; i++)
        upstream_link_stop(&upstream->links[i]);
    upstream->retired = true;
    upstream_fail_waiters(upstream, ECANCELED);
    free_if_retired(upstream);
}

bool upstream_is_lost(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state != LINK_OVER)
            return false;
    return true;
}

uint32_t upstream_streams(const struct upstream *upstream) {
    uint32_t streams = 0;
    for (const struct upstream_session *s = upstream->sessions; s; s = s->next)
        streams += pump_streams(s->pump);
    return streams;
}

void upstream_flush(struct upstream *upstream) {
    for (struct upstream_session *s = upstream->sessions; s; s = s->next)
        pump_flush(s->pump);
}

void upstream_free(struct upstream *upstream) {
    struct upstream_session *next;
    for (int i = 0; i < upstream->link_count; i++)
        upstream_link_stop(&upstream->links[i]);
    upstream_fail_waiters(upstream, ECANCELED);
    for (struct upstream_session *s = upstream->sessions; s; s = next) {
        next = s->next;
        pump_end(s->pump, SMUX_ERR_CLOSED, "helper stops");
    }
    if (!upstream->retired)
        free_upstream(&upstream->garbage);
}

const struct config_gateway *upstream_config(const struct upstream *upstream) {
    return &upstream->config;
}

const char *upstream_last_error(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].error[0])
            return upstream->links[i].error;
    return "not connected yet";
}
