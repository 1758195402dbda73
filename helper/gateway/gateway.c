/* SPDX-License-Identifier: MIT */
/* gateway.c - see gateway.h: listeners and drain. Sessions are in gateway_session.c. */
#include "helper/gateway/gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/carrier_listener.h"
#include "helper/gateway/gateway_place.h"
#include "helper/gateway/gateway_session.h"
#include "helper/net/log.h"
#include "helper/net/own_addresses.h"
#include "helper/net/resolver.h"

struct gateway_listener {
    struct carrier_listener *listener;
    struct list_link link; /* in gateway.listeners */
};

struct gateway {
    struct gateway_sessions sessions;
    struct list listeners;
    bool draining;
    struct loop_timer drain_timer;
    uint64_t drain_since_us, drain_deadline_us; /* NO_DEADLINE: it is whole */
    struct loop_task drain_task;
    void (*drained)(struct gateway *gateway, void *user);
    void *drained_user;
};

#define NO_DEADLINE UINT64_MAX

static void check_drained(struct gateway_sessions *sessions);

/* A helper counts by itself what its own gateway does for it. */
static void count_in(struct gateway_sessions *sessions) {
    struct metrics_slot *slot = metrics_slot();
    bool own = sessions->config->of_helper;
    sessions->flows = own ? metrics_nowhere() : metrics_series(&slot->flows, "-", NULL);
    sessions->sessions_of = own ? metrics_nowhere() : metrics_series(&slot->peers, "-", NULL);
}

struct gateway *gateway_new(struct reactor *reactor, const struct gateway_config *config,
                            const char **why) {
    struct gateway *gateway = calloc(1, sizeof *gateway);
    *why = "out of memory";
    if (!gateway)
        return NULL;
    gateway->sessions.reactor = reactor;
    gateway->sessions.config = config;
    gateway->sessions.ended = check_drained;
    count_in(&gateway->sessions);
    list_init(&gateway->sessions.all);
    handshakes_init(&gateway->sessions.handshakes);
    handshakes_limit(&gateway->sessions.handshakes, config->max_handshakes,
                     config->max_handshakes_per_source);
    list_init(&gateway->listeners);
    gateway->sessions.resolver = resolver_new(reactor->loop, !config->of_helper, NULL, why);
    if (gateway->sessions.resolver)
        return gateway;
    free(gateway);
    return NULL;
}

/* `busy`: also those with connections that have yet to say for whom they are. */
static void close_listeners(struct gateway *gateway, bool busy) {
    list_for_each(link, &gateway->listeners) {
        struct gateway_listener *entry = container_of(link, struct gateway_listener, link);
        carrier_listener_stop(entry->listener);
        if (!busy && carrier_listener_is_busy(entry->listener))
            continue;
        list_remove(link);
        carrier_listener_close(entry->listener);
        free(entry);
    }
}

void gateway_free(struct gateway *gateway) {
    if (!gateway)
        return;
    close_listeners(gateway, true);
    for (struct list_link *link; (link = list_first(&gateway->sessions.all));)
        pump_end(container_of(link, struct gateway_session, link)->pump, SMUX_ERR_CLOSED,
                 "gateway stopped");
    loop_timer_clear(gateway->sessions.reactor->loop, &gateway->drain_timer);
    loop_task_cancel(gateway->sessions.reactor->loop, &gateway->drain_task);
    gateway_clients_free(&gateway->sessions.clients);
    resolver_free(gateway->sessions.resolver);
    own_addresses_fini(&gateway->sessions.own);
    free(gateway);
}

static void configure_listener(struct gateway *gateway, struct gateway_listener *entry) {
    const struct gateway_config *config = gateway->sessions.config;
    carrier_listener_accept_proxy(entry->listener, &config->accept_proxy,
                                  &gateway->sessions.handshakes,
                                  (uint64_t)config->hello_timeout_ms * 1000u);
}

void gateway_reconfigure(struct gateway *gateway, const struct gateway_config *config) {
    struct gateway_sessions *sessions = &gateway->sessions;
    sessions->config = config;
    handshakes_limit(&sessions->handshakes, config->max_handshakes,
                     config->max_handshakes_per_source);
    list_for_each(link, &gateway->listeners)
        configure_listener(gateway, container_of(link, struct gateway_listener, link));
    gateway_clients_follow(&sessions->clients, config->clients);
    list_for_each(link, &sessions->all)
        gateway_session_know(container_of(link, struct gateway_session, link));
}

struct gateway_load gateway_load(const struct gateway *gateway) {
    struct gateway_load load = {0};
    list_for_each(link, &gateway->sessions.all) {
        load.sessions++;
        load.streams += container_of(link, struct gateway_session, link)->targets;
    }
    return load;
}

const struct gateway_sessions *gateway_sessions(const struct gateway *gateway) {
    return &gateway->sessions;
}

/* ---- Drain ---- */

static void drain_done(struct loop_task *task) {
    struct gateway *gateway = container_of(task, struct gateway, drain_task);
    loop_timer_clear(gateway->sessions.reactor->loop, &gateway->drain_timer);
    gateway->drained(gateway, gateway->drained_user);
}

static bool is_whole(const struct gateway *gateway) {
    return gateway->drain_deadline_us == NO_DEADLINE;
}

static void check_drained(struct gateway_sessions *sessions) {
    struct gateway *gateway = container_of(sessions, struct gateway, sessions);
    if (gateway->draining && list_is_empty(&gateway->sessions.all) &&
        list_is_empty(&gateway->listeners))
        loop_task_post(gateway->sessions.reactor->loop, &gateway->drain_task, drain_done);
}

/* Looks at all sessions a few times a second, only while draining. */
#define DRAIN_LOOK_US 50000u

/* How long a session has no stream before it is ended in a drain without a deadline: a client with
 * extensions ends it by itself when it has been told. */
#define IDLE_US 2000000u

/* How long a session without streams is left to its client, from the beginning of the drain or,
 * without a deadline, from when it had its last. A stream may be on the way from a client that has
 * not been told yet. */
static bool is_overdue(const struct gateway *gateway, const struct gateway_session *session,
                       const smux_session_info *info) {
    uint64_t now_us = loop_now_us(gateway->sessions.reactor->loop);
    if (!is_whole(gateway))
        return now_us >= gateway->drain_since_us + 2 * (uint64_t)info->rtt_us;
    /* hello-timeout ends one that has said nothing */
    return info->frames_in > 0 && now_us >= session->idle_us + IDLE_US;
}

/* Ends the session if it has no stream left, after the last bytes are out. */
static void end_if_idle(struct gateway *gateway, struct gateway_session *session) {
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    if (info.streams > 0 || smux_session_want_write(session->pump->session))
        session->idle_us = 0;
    else if (session->idle_us == 0)
        session->idle_us = loop_now_us(gateway->sessions.reactor->loop);
    if (session->idle_us > 0 && is_overdue(gateway, session, &info))
        pump_fail(session->pump, SMUX_ERR_CLOSED, "drained");
}

/* The streams of a client that cannot be told are refused from then on. */
static void ask_to_leave(const struct gateway *gateway, struct gateway_session *session) {
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    if (session->asked || (is_whole(gateway) && !info.peer_extensions))
        return;
    session->asked = true;
    smux_session_goaway(session->pump->session);
    pump_kick(session->pump);
}

static void drain_look(struct loop_timer *timer) {
    struct gateway *gateway = container_of(timer, struct gateway, drain_timer);
    struct loop *loop = gateway->sessions.reactor->loop;
    close_listeners(gateway, !is_whole(gateway));
    list_for_each(link, &gateway->sessions.all) {
        struct gateway_session *s = container_of(link, struct gateway_session, link);
        ask_to_leave(gateway, s);
        if (loop_now_us(loop) < gateway->drain_deadline_us)
            end_if_idle(gateway, s);
        else
            pump_fail(s->pump, SMUX_ERR_CLOSED, "drain-timeout passed with streams open");
    }
    check_drained(&gateway->sessions);
    if (!list_is_empty(&gateway->sessions.all) || !list_is_empty(&gateway->listeners))
        loop_timer_set(loop, &gateway->drain_timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

void gateway_drain(struct gateway *gateway, uint32_t timeout_ms,
                   void (*drained)(struct gateway *, void *), void *user) {
    struct loop *loop = gateway->sessions.reactor->loop;
    bool whole = timeout_ms == GATEWAY_DRAIN_WHOLE;
    if (gateway->draining && (whole || !is_whole(gateway)))
        return;
    gateway->draining = true;
    gateway->drain_since_us = loop_now_us(loop);
    gateway->drain_deadline_us =
        whole ? NO_DEADLINE : gateway->drain_since_us + (uint64_t)timeout_ms * 1000u;
    gateway->drained = drained;
    gateway->drained_user = user;
    close_listeners(gateway, !whole);
    list_for_each(link, &gateway->sessions.all)
        ask_to_leave(gateway, container_of(link, struct gateway_session, link));
    check_drained(&gateway->sessions);
    loop_timer_set(loop, &gateway->drain_timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

/* ---- Carriers ---- */

int gateway_take(struct gateway *gateway, struct carrier *carrier,
                 const struct gateway_source *source) {
    return gateway_session_new(&gateway->sessions, carrier, source);
}

static struct log_kind refused = {.what = "carriers refused"};

static void on_carrier(void *user, struct carrier *carrier, const struct carrier_peer *peer) {
    struct gateway *gateway = user;
    struct gateway_source source = gateway_source_of(peer);
    const char *why = NULL;
    metrics_add(&metrics_slot()->value[WORKER_CARRIERS], 1);
    int error = gateway_place_make(&gateway->sessions, &source, &why);
    if (error == 0)
        error = gateway_take(gateway, carrier, &source);
    if (error == 0)
        return;
    metrics_add(&metrics_slot()->value[WORKER_CARRIERS_REFUSED], 1);
    log_few(&refused, LOG_WARNING, ABOUT(.peer = carrier->peer), "carrier refused: %s",
            why ? why : strerror(-error));
    carrier_close(carrier);
}

int gateway_listen(struct gateway *gateway, int fd, enum config_scheme scheme,
                   const struct carrier_layer *layer) {
    struct gateway_listener *entry = calloc(1, sizeof *entry);
    if (!entry)
        return -ENOMEM;
    entry->listener = carrier_listener_new(gateway->sessions.reactor->loop, fd, scheme, layer,
                                           on_carrier, gateway);
    if (!entry->listener) {
        int error = -errno;
        free(entry);
        return error;
    }
    configure_listener(gateway, entry);
    list_prepend(&gateway->listeners, &entry->link);
    return 0;
}
