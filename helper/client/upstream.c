/* SPDX-License-Identifier: MIT */
/* upstream.c - see upstream.h: waiters and streams. It calls upstream_link.c, which calls
 * upstream_session.c; what happens there is reported upwards through upstream_ops. */
#include "helper/client/upstream.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"

/* ---- Waiters, in the order of their arrival ---- */

static void waiter_add(struct upstream *upstream, struct upstream_waiter *waiter) {
    waiter->upstream = upstream;
    list_append(&upstream->waiters, &waiter->link);
}

void upstream_cancel(struct upstream_waiter *waiter) {
    waiter->upstream = NULL;
    list_remove(&waiter->link);
}

static struct upstream_waiter *waiter_of(struct list_link *link) {
    return container_of(link, struct upstream_waiter, link);
}

/* How many waiters are served or failed in one turn: thousands may have waited. */
#define TOLD_PER_TURN 64

static void go_on(struct loop_task *task);

static void fail_waiters(struct upstream *upstream, int error) {
    struct list_link *first;
    while ((first = list_first(&upstream->waiters))) {
        struct upstream_waiter *waiter = waiter_of(first);
        upstream_cancel(waiter);
        waiter->ready(waiter, error, NULL, NULL);
    }
}

static void fail_impatient(struct upstream *upstream) {
    int told = 0;
    upstream->fails = false;
    list_for_each(link, &upstream->waiters) {
        struct upstream_waiter *w = waiter_of(link);
        if (!w->impatient)
            continue;
        if (told++ == TOLD_PER_TURN) {
            upstream->fails = true;
            loop_task_post(upstream->reactor->loop, &upstream->task, go_on);
            return;
        }
        upstream_cancel(w);
        w->ready(w, -ENETUNREACH, NULL, NULL);
    }
}

/* ---- Streams ---- */

/* A negative errno. */
static int error_from_smux(int error) {
    switch (error) {
    case SMUX_ERR_NOMEM:
        return -ENOMEM;
    case SMUX_ERR_STREAM_LIMIT:
        return -EAGAIN;
    default:
        return -ENETUNREACH;
    }
}

/* Opens a stream on a session that still accepts any. 0; -EAGAIN if there is none; or another
 * negative errno. */
static int open_now(struct upstream *upstream, struct upstream_waiter *waiter, struct pump **pump,
                    smux_stream **stream) {
    struct link *link;
    while ((link = upstream_choose(upstream, waiter->cautious)) != NULL) {
        *pump = link->session->pump;
        int error = smux_stream_open((*pump)->session, stream);
        if (error == 0) {
            upstream_cancel(waiter);
            upstream_silence_expect(link->session, waiter);
            pump_kick(*pump);
            return 0;
        }
        if (error != SMUX_ERR_EXHAUSTED && error != SMUX_ERR_GOAWAY &&
            smux_error_tier(error) != SMUX_TIER_SESSION)
            return error_from_smux(error);
        log_about(LOG_INFO, ABOUT(.gateway = upstream->config.name, .peer = (*pump)->carrier->peer),
                  "new session: %s", smux_strerror(error));
        upstream_link_detach(link);
    }
    return -EAGAIN;
}

int upstream_open(struct upstream *upstream, struct upstream_waiter *waiter, struct pump **pump,
                  smux_stream **stream) {
    upstream_cancel(waiter);
    if (upstream->retired)
        return -ECANCELED;
    int error = open_now(upstream, waiter, pump, stream);
    upstream_start_links(upstream);
    if (error != -EAGAIN)
        return error;
    upstream_hurry(upstream);
    if (waiter->impatient ? !upstream_has_hope(upstream) : upstream_is_lost(upstream))
        return -ENETUNREACH;
    waiter_add(upstream, waiter);
    return -EAGAIN;
}

/* ---- Asking the gateway ---- */

int upstream_ping(struct upstream *upstream) {
    struct link *link = upstream_choose(upstream, true);
    if (link) {
        smux_session_ping(link->session->pump->session);
        pump_kick(link->session->pump);
        return 0;
    }
    if (upstream->retired)
        return -ECANCELED;
    upstream_start_links(upstream);
    upstream_hurry(upstream);
    return upstream_has_hope(upstream) ? -EAGAIN : -ENETUNREACH;
}

bool upstream_answer(const struct upstream *upstream, struct upstream_answer *answer) {
    bool any = false;
    smux_session_info info;
    list_for_each(member, &upstream->sessions) {
        const struct upstream_session *session = upstream_session_of(member);
        smux_session_get_info(session->pump->session, &info);
        if (session->state != SESSION_ESTABLISHED || (any && info.last_received_us < answer->at_us))
            continue;
        any = true;
        answer->at_us = info.last_received_us;
        answer->rtt_us = info.rtt_us;
        answer->version = info.version;
        answer->extensions = info.peer_extensions;
        answer->carrier = session->pump->carrier;
    }
    return any;
}

/* The first waiter that can be served: a cautious one needs an established session. */
static struct upstream_waiter *first_to_serve(const struct upstream *upstream) {
    bool sure = false;
    for (int i = 0; i < upstream->link_count; i++)
        sure |= upstream_link_is_usable(&upstream->links[i], true);
    list_for_each(link, &upstream->waiters) {
        struct upstream_waiter *waiter = waiter_of(link);
        if (sure || !waiter->cautious)
            return waiter;
    }
    return NULL;
}

static void serve_waiters(struct upstream *upstream) {
    struct upstream_waiter *waiter;
    for (int told = 0; (waiter = first_to_serve(upstream)) != NULL; told++) {
        if (told == TOLD_PER_TURN) {
            loop_task_post(upstream->reactor->loop, &upstream->task, go_on);
            return;
        }
        struct pump *pump = NULL;
        smux_stream *stream = NULL;
        int error = open_now(upstream, waiter, &pump, &stream);
        if (error == -EAGAIN) {
            /* The waiter before may have got the last stream of its session. */
            upstream_start_links(upstream);
            return;
        }
        if (error)
            upstream_cancel(waiter);
        waiter->ready(waiter, error, pump, stream);
    }
}

static bool has_session(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream_link_is_usable(&upstream->links[i], false))
            return true;
    return false;
}

/* Serves or fails the waiters that are left, by what is true now. */
static void go_on(struct loop_task *task) {
    struct upstream *upstream = container_of(task, struct upstream, task);
    if (upstream->fails && !has_session(upstream)) {
        fail_impatient(upstream);
        return;
    }
    upstream->fails = false;
    serve_waiters(upstream);
}

/* ---- What the links report ---- */

/* The last link may have been the last way to get a session. */
static void on_link_over(struct upstream *upstream) {
    if (upstream_is_lost(upstream))
        fail_waiters(upstream, -ENETUNREACH);
}

static void free_if_retired(struct upstream *upstream);

static const struct upstream_ops upstream_ops = {.usable = serve_waiters,
                                                 .failed = fail_impatient,
                                                 .link_over = on_link_over,
                                                 .session_ended = free_if_retired};

static const struct upstream_names_ops names_ops = {.answered = upstream_take_addresses};

/* ---- Life ---- */

static void free_upstream(struct loop_garbage *garbage) {
    struct upstream *upstream = container_of(garbage, struct upstream, garbage);
    loop_task_cancel(upstream->reactor->loop, &upstream->task);
    tls_layer_use(&upstream->tls, NULL);
    upstream_names_fini(upstream);
    free(upstream);
}

static void free_if_retired(struct upstream *upstream) {
    if (upstream->retired && list_is_empty(&upstream->sessions))
        loop_discard(upstream->reactor->loop, &upstream->garbage, free_upstream);
}

struct upstream *upstream_new(struct reactor *reactor, struct resolver_client *names,
                              const struct config_gateway *config, bool plain) {
    unsigned links = config->n_addresses ? config_gateway_sessions(config) : 1;
    struct upstream *upstream = calloc(1, sizeof *upstream + links * sizeof *upstream->links);
    if (!upstream)
        return NULL;
    upstream->reactor = reactor;
    upstream->names = names;
    upstream->ops = &upstream_ops;
    upstream->config = *config;
    upstream->plain = plain;
    list_init(&upstream->sessions);
    list_init(&upstream->waiters);
    upstream->link_count = (int)links;
    if (!upstream_names_init(upstream, &names_ops)) {
        free(upstream);
        return NULL;
    }
    upstream_use_tls(upstream, NULL);
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
        if (upstream_link_adopt(link, carrier, NULL) == 0) {
            upstream_session_move(link->session, SESSION_ESTABLISHED);
            return upstream;
        }
        upstream_names_fini(upstream);
    }
    free(upstream);
    return NULL;
}

void upstream_use_tls(struct upstream *upstream, struct tls_context *context) {
    tls_layer_use(&upstream->tls, context);
}

void upstream_retire(struct upstream *upstream) {
    if (upstream->retired)
        return;
    for (int i = 0; i < upstream->link_count; i++)
        upstream_link_stop(&upstream->links[i]);
    upstream_names_stop(upstream);
    upstream->retired = true;
    fail_waiters(upstream, -ECANCELED);
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
    list_for_each(member, &upstream->sessions)
        streams += pump_streams(upstream_session_of(member)->pump);
    return streams;
}

void upstream_flush(struct upstream *upstream) {
    list_for_each(member, &upstream->sessions)
        pump_flush(upstream_session_of(member)->pump);
}

void upstream_free(struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        upstream_link_stop(&upstream->links[i]);
    fail_waiters(upstream, -ECANCELED);
    list_for_each(member, &upstream->sessions)
        pump_end(upstream_session_of(member)->pump, SMUX_ERR_CLOSED, "helper stops");
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
