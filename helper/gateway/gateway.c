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
    uint64_t drain_deadline_us;
    struct loop_task drain_task;
    void (*drained)(struct gateway *gateway, void *user);
    void *drained_user;
};

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

static void stop_listening(struct gateway *gateway) {
    list_for_each(link, &gateway->listeners) {
        struct gateway_listener *entry = container_of(link, struct gateway_listener, link);
        list_remove(link);
        carrier_listener_close(entry->listener);
        free(entry);
    }
}

void gateway_free(struct gateway *gateway) {
    if (!gateway)
        return;
    stop_listening(gateway);
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

static void check_drained(struct gateway_sessions *sessions) {
    struct gateway *gateway = container_of(sessions, struct gateway, sessions);
    if (gateway->draining && list_is_empty(&gateway->sessions.all))
        loop_task_post(gateway->sessions.reactor->loop, &gateway->drain_task, drain_done);
}

/* Ends the session if it has no stream left, after the last bytes are out. */
static void end_if_idle(struct gateway_session *session) {
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    if (info.streams > 0 || smux_session_want_write(session->pump->session))
        return;
    pump_fail(session->pump, SMUX_ERR_CLOSED, "drained");
}

/* Looks at all sessions a few times a second, only while draining. */
#define DRAIN_LOOK_US 50000u

static void drain_look(struct loop_timer *timer) {
    struct gateway *gateway = container_of(timer, struct gateway, drain_timer);
    struct loop *loop = gateway->sessions.reactor->loop;
    list_for_each(link, &gateway->sessions.all) {
        struct gateway_session *s = container_of(link, struct gateway_session, link);
        if (loop_now_us(loop) < gateway->drain_deadline_us)
            end_if_idle(s);
        else
            pump_fail(s->pump, SMUX_ERR_CLOSED, "drain-timeout passed with streams open");
    }
    check_drained(&gateway->sessions);
    if (!list_is_empty(&gateway->sessions.all))
        loop_timer_set(loop, &gateway->drain_timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

void gateway_drain(struct gateway *gateway, uint32_t timeout_ms,
                   void (*drained)(struct gateway *, void *), void *user) {
    struct loop *loop = gateway->sessions.reactor->loop;
    if (gateway->draining)
        return;
    gateway->draining = true;
    gateway->drain_deadline_us = loop_now_us(loop) + (uint64_t)timeout_ms * 1000u;
    gateway->drained = drained;
    gateway->drained_user = user;
    stop_listening(gateway);
    list_for_each(link, &gateway->sessions.all) {
        struct gateway_session *s = container_of(link, struct gateway_session, link);
        smux_session_goaway(s->pump->session);
        pump_kick(s->pump);
    }
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
