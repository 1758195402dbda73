/* SPDX-License-Identifier: MIT */
/* gateway.c - see gateway.h: listeners and drain. Sessions are in gateway_session.c. */
#include "helper/gateway/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/common/endpoint.h"
#include "helper/carrier/carrier_socket.h"
#include "helper/gateway/gateway_place.h"
#include "helper/gateway/gateway_session.h"
#include "helper/net/log.h"
#include "helper/net/own_addresses.h"
#include "helper/net/resolver.h"

/* After running out of descriptors, accepting pauses: the backlog waits in the kernel. */
#define ACCEPT_PAUSE_US 100000u

struct gateway_listener {
    struct gateway *gateway;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct gateway_listener *next;
    bool tcp;
};

struct gateway {
    struct gateway_sessions sessions;
    struct gateway_listener *listeners;
    bool draining;
    struct loop_timer drain_timer;
    uint64_t drain_deadline_us;
    struct loop_task drain_task;
    void (*drained)(struct gateway *gateway, void *user);
    void *drained_user;
};

static void check_drained(struct gateway_sessions *sessions);

struct gateway *gateway_new(struct reactor *reactor, const struct gateway_config *config,
                            const char **why) {
    struct gateway *gateway = calloc(1, sizeof *gateway);
    *why = "out of memory";
    if (!gateway)
        return NULL;
    gateway->sessions.reactor = reactor;
    gateway->sessions.config = config;
    gateway->sessions.ended = check_drained;
    gateway->sessions.resolver = resolver_new(reactor->loop, !config->of_helper, why);
    if (gateway->sessions.resolver)
        return gateway;
    free(gateway);
    return NULL;
}

static void free_listener(struct loop_garbage *garbage) {
    free(container_of(garbage, struct gateway_listener, garbage));
}

static void close_listener(struct gateway_listener *listener) {
    struct loop *loop = listener->gateway->sessions.reactor->loop;
    loop_timer_clear(loop, &listener->timer);
    loop_watch_close(&listener->watch);
    loop_discard(loop, &listener->garbage, free_listener);
}

static void stop_listening(struct gateway *gateway) {
    while (gateway->listeners) {
        struct gateway_listener *listener = gateway->listeners;
        gateway->listeners = listener->next;
        close_listener(listener);
    }
}

void gateway_free(struct gateway *gateway) {
    if (!gateway)
        return;
    stop_listening(gateway);
    while (gateway->sessions.first)
        pump_end(gateway->sessions.first->pump, SMUX_ERR_CLOSED, "gateway stopped");
    loop_timer_clear(gateway->sessions.reactor->loop, &gateway->drain_timer);
    loop_task_cancel(gateway->sessions.reactor->loop, &gateway->drain_task);
    resolver_free(gateway->sessions.resolver);
    own_addresses_fini(&gateway->sessions.own);
    free(gateway);
}

void gateway_reconfigure(struct gateway *gateway, const struct gateway_config *config) {
    gateway->sessions.config = config;
}

/* ---- Drain ---- */

static void drain_done(struct loop_task *task) {
    struct gateway *gateway = container_of(task, struct gateway, drain_task);
    loop_timer_clear(gateway->sessions.reactor->loop, &gateway->drain_timer);
    gateway->drained(gateway, gateway->drained_user);
}

static void check_drained(struct gateway_sessions *sessions) {
    struct gateway *gateway = container_of(sessions, struct gateway, sessions);
    if (gateway->draining && !gateway->sessions.first)
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
    for (struct gateway_session *s = gateway->sessions.first, *next; s; s = next) {
        next = s->next;
        if (loop_now_us(loop) < gateway->drain_deadline_us)
            end_if_idle(s);
        else
            pump_fail(s->pump, SMUX_ERR_CLOSED, "drain-timeout passed with streams open");
    }
    check_drained(&gateway->sessions);
    if (gateway->sessions.first)
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
    for (struct gateway_session *s = gateway->sessions.first; s; s = s->next) {
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

struct gateway_session *gateway_first_session(const struct gateway *gateway) {
    return gateway->sessions.first;
}

/* ---- Listeners ---- */

static void peer_text(const struct sockaddr_storage *addr, socklen_t len, int fd, char *out,
                      size_t size) {
    struct endpoint endpoint;
    struct ucred cred = {0};
    socklen_t cred_len = sizeof cred;
    if (endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)addr, len))
        endpoint_text(&endpoint, out, size);
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
        snprintf(out, size, "unix:pid=%d,uid=%u", (int)cred.pid, (unsigned)cred.uid);
    else
        snprintf(out, size, "unix");
}

static void on_listener(struct loop_watch *watch, uint32_t events);

static void resume(struct loop_timer *timer) {
    struct gateway_listener *listener = container_of(timer, struct gateway_listener, timer);
    loop_watch_mask(listener->gateway->sessions.reactor->loop, &listener->watch,
                    EPOLLIN | LOOP_LEVEL);
}

static void pause_accepting(struct gateway_listener *listener, int error) {
    struct loop *loop = listener->gateway->sessions.reactor->loop;
    log_error("carriers cannot be accepted: %s; pausing", strerror(error));
    loop_watch_mask(loop, &listener->watch, LOOP_LEVEL);
    loop_timer_set(loop, &listener->timer, loop_now_us(loop) + ACCEPT_PAUSE_US, resume);
}

static void admit(struct gateway_listener *listener, int fd, const struct sockaddr_storage *addr,
                  socklen_t len) {
    struct gateway *gateway = listener->gateway;
    char peer[CARRIER_TEXT_SIZE];
    peer_text(addr, len, fd, peer, sizeof peer);
    struct gateway_source source = gateway_source_of(addr, fd);
    const char *why = NULL;
    int error = gateway_place_make(&gateway->sessions, &source, &why);
    struct carrier *carrier = NULL;
    if (error == 0)
        carrier = carrier_new_socket(gateway->sessions.reactor->loop, fd, listener->tcp, peer);
    if (carrier)
        error = gateway_take(gateway, carrier, &source);
    else if (error == 0)
        error = -errno;
    if (error == 0)
        return;
    log_error("%s: carrier refused: %s", peer, why ? why : strerror(-error));
    if (carrier)
        carrier_close(carrier);
    else
        close(fd);
}

static void on_listener(struct loop_watch *watch, uint32_t events) {
    struct gateway_listener *listener = container_of(watch, struct gateway_listener, watch);
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    (void)events;
    int fd = accept4(watch->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        admit(listener, fd, &addr, len);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        pause_accepting(listener, errno);
}

int gateway_listen(struct gateway *gateway, int fd, bool tcp) {
    struct gateway_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    listener->gateway = gateway;
    listener->tcp = tcp;
    int error = loop_watch_add(gateway->sessions.reactor->loop, &listener->watch, fd,
                               EPOLLIN | LOOP_LEVEL, on_listener);
    if (error) {
        free(listener);
        return error;
    }
    listener->next = gateway->listeners;
    gateway->listeners = listener;
    return 0;
}
