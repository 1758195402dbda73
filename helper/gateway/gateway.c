/* SPDX-License-Identifier: MIT */
/* gateway.c - see gateway.h: listeners, sessions, drain. */
#include "helper/gateway/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/common/endpoint.h"
#include "helper/net/log.h"
#include "helper/net/own_addresses.h"
#include "helper/net/resolver.h"
#include "helper/relay/session_config.h"

/* After running out of descriptors, accepting pauses: the backlog waits in the kernel. */
#define ACCEPT_PAUSE_US 100000u

/* How long a client that is asked to leave may still use the carrier. */
#define LEAVE_US 2000000u

struct gateway_listener {
    struct gateway *gateway;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct gateway_listener *next;
    bool tcp;
};

struct gateway {
    struct reactor *reactor;
    const struct gateway_config *config;
    struct resolver *resolver;
    struct own_addresses own;
    struct gateway_listener *listeners;
    struct gateway_session *sessions;
    bool draining;
    struct loop_timer drain_timer;
    uint64_t drain_deadline_us;
    struct loop_task drain_task;
    void (*drained)(struct gateway *gateway, void *user);
    void *drained_user;
};

const struct gateway_config *gateway_config_of(const struct gateway *gateway) {
    return gateway->config;
}

struct reactor *gateway_reactor(const struct gateway *gateway) {
    return gateway->reactor;
}

struct gateway_session *gateway_sessions(const struct gateway *gateway) {
    return gateway->sessions;
}

bool gateway_is_own_address(struct gateway *gateway, const struct endpoint *address) {
    return own_addresses_have(&gateway->own, address, loop_now_us(gateway->reactor->loop));
}

struct resolver *gateway_resolver(const struct gateway *gateway) {
    return gateway->resolver;
}

struct gateway *gateway_new(struct reactor *reactor, const struct gateway_config *config,
                            const char **why) {
    struct gateway *gateway = calloc(1, sizeof *gateway);
    *why = "out of memory";
    if (!gateway)
        return NULL;
    gateway->reactor = reactor;
    gateway->config = config;
    gateway->resolver = resolver_new(reactor->loop, !config->of_helper, why);
    if (gateway->resolver)
        return gateway;
    free(gateway);
    return NULL;
}

static void free_listener(struct loop_garbage *garbage) {
    free(container_of(garbage, struct gateway_listener, garbage));
}

static void close_listener(struct gateway_listener *listener) {
    struct loop *loop = listener->gateway->reactor->loop;
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
    while (gateway->sessions)
        pump_end(gateway->sessions->pump, SMUX_ERR_CLOSED, "gateway stopped");
    loop_timer_clear(gateway->reactor->loop, &gateway->drain_timer);
    loop_task_cancel(gateway->reactor->loop, &gateway->drain_task);
    resolver_free(gateway->resolver);
    own_addresses_fini(&gateway->own);
    free(gateway);
}

void gateway_reconfigure(struct gateway *gateway, const struct gateway_config *config) {
    gateway->config = config;
}

/* ---- Drain ---- */

static void drain_done(struct loop_task *task) {
    struct gateway *gateway = container_of(task, struct gateway, drain_task);
    loop_timer_clear(gateway->reactor->loop, &gateway->drain_timer);
    gateway->drained(gateway, gateway->drained_user);
}

static void check_drained(struct gateway *gateway) {
    if (gateway->draining && !gateway->sessions)
        loop_task_post(gateway->reactor->loop, &gateway->drain_task, drain_done);
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
    struct loop *loop = gateway->reactor->loop;
    for (struct gateway_session *s = gateway->sessions, *next; s; s = next) {
        next = s->next;
        if (loop_now_us(loop) < gateway->drain_deadline_us)
            end_if_idle(s);
        else
            pump_fail(s->pump, SMUX_ERR_CLOSED, "drain-timeout passed with streams open");
    }
    check_drained(gateway);
    if (gateway->sessions)
        loop_timer_set(loop, &gateway->drain_timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

void gateway_drain(struct gateway *gateway, uint32_t timeout_ms,
                   void (*drained)(struct gateway *, void *), void *user) {
    struct loop *loop = gateway->reactor->loop;
    if (gateway->draining)
        return;
    gateway->draining = true;
    gateway->drain_deadline_us = loop_now_us(loop) + (uint64_t)timeout_ms * 1000u;
    gateway->drained = drained;
    gateway->drained_user = user;
    stop_listening(gateway);
    for (struct gateway_session *s = gateway->sessions; s; s = s->next) {
        smux_session_goaway(s->pump->session);
        pump_kick(s->pump);
    }
    check_drained(gateway);
    loop_timer_set(loop, &gateway->drain_timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

/* ---- Sessions ---- */

static void free_session(struct loop_garbage *garbage) {
    free(container_of(garbage, struct gateway_session, garbage));
}

static void on_accepted(struct pump *pump, smux_stream *stream) {
    struct gateway_session *session = pump->user;
    session->used_us = loop_now_us(pump->reactor->loop);
    gateway_target_accept(session, stream);
}

static void on_closed(struct pump *pump, int error, const char *why) {
    struct gateway_session *session = pump->user;
    struct gateway *gateway = session->gateway;
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    log_at(error == SMUX_ERR_CARRIER || error == SMUX_ERR_CLOSED ? LOG_INFO : LOG_WARNING,
           "%s: session ended after %llu streams: %s", pump->carrier->peer,
           (unsigned long long)info.accepted, why);
    if (session->prev)
        session->prev->next = session->next;
    else
        gateway->sessions = session->next;
    if (session->next)
        session->next->prev = session->prev;
    loop_timer_clear(gateway->reactor->loop, &session->timer);
    resolver_client_free(session->names);
    loop_discard(gateway->reactor->loop, &session->garbage, free_session);
    check_drained(gateway);
}

static void set_deadline(struct gateway_session *session, uint64_t after_us,
                         void (*fn)(struct loop_timer *)) {
    struct loop *loop = session->gateway->reactor->loop;
    loop_timer_set(loop, &session->timer, loop_now_us(loop) + after_us, fn);
}

/* Streams that crossed the request to leave are served to their end. */
static void on_leave_due(struct loop_timer *timer) {
    struct gateway_session *session = container_of(timer, struct gateway_session, timer);
    if (pump_streams(session->pump) == 0)
        pump_fail(session->pump, SMUX_ERR_CLOSED, "gave its place to another carrier");
    else
        set_deadline(session, LEAVE_US, on_leave_due);
}

void gateway_session_dismiss(struct gateway_session *session, bool kindly) {
    session->leaving = true;
    smux_session_goaway(session->pump->session);
    if (kindly) {
        pump_kick(session->pump);
        set_deadline(session, LEAVE_US, on_leave_due);
        return;
    }
    loop_timer_clear(session->gateway->reactor->loop, &session->timer);
    pump_flush(session->pump);
    pump_fail(session->pump, SMUX_ERR_CLOSED, "gave its place to another carrier");
}

/* A client that has opened no stream holds a place that others could use. */
static void on_first_stream_due(struct loop_timer *timer) {
    struct gateway_session *session = container_of(timer, struct gateway_session, timer);
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    if (info.accepted > 0)
        return;
    smux_session_goaway(session->pump->session);
    pump_flush(session->pump);
    pump_fail(session->pump, SMUX_ERR_CLOSED, "no stream within first-stream-timeout");
}

static void on_hello_due(struct loop_timer *timer) {
    struct gateway_session *session = container_of(timer, struct gateway_session, timer);
    const struct gateway_config *config = session->gateway->config;
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    if (info.frames_in == 0)
        pump_fail(session->pump, SMUX_ERR_CLOSED, "no frame within hello-timeout");
    else if (config->first_stream_timeout_ms > 0)
        set_deadline(session, (uint64_t)config->first_stream_timeout_ms * 1000u,
                     on_first_stream_due);
}

static const struct pump_ops session_ops = {.accepted = on_accepted, .closed = on_closed};

int gateway_take(struct gateway *gateway, int fd, bool tcp, const char *peer,
                 const struct gateway_source *source) {
    const struct gateway_config *config = gateway->config;
    struct gateway_session *session = calloc(1, sizeof *session);
    struct carrier *carrier = carrier_new_socket(fd, tcp, peer);
    smux_config smux;
    if (!session || !carrier)
        goto fail;
    session_config_fill(&smux, config->version, config->max_receive_buffer,
                        config->max_stream_buffer, config->max_frame_size,
                        config->keepalive_interval_ms, config->keepalive_timeout_ms);
    smux.linger_timeout_us = SESSION_PLAIN_LINGER_US;
    smux.max_streams = config->max_streams;
    smux.max_promised = reactor_promises(gateway->reactor);
    session->gateway = gateway;
    session->pump = pump_new(gateway->reactor, carrier, SMUX_SERVER, &smux, &session_ops, session);
    if (!session->pump)
        goto fail;
    session->next = gateway->sessions;
    if (gateway->sessions)
        gateway->sessions->prev = session;
    gateway->sessions = session;
    session->used_us = loop_now_us(gateway->reactor->loop);
    if (source) {
        session->source = *source;
        set_deadline(session, (uint64_t)config->hello_timeout_ms * 1000u, on_hello_due);
    }
    log_info("%s: session begins", peer);
    return 0;
fail:;
    int saved = errno ? errno : ENOMEM;
    if (carrier)
        carrier->ops->free(carrier);
    free(session);
    return -saved;
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
    loop_watch_mask(listener->gateway->reactor->loop, &listener->watch, EPOLLIN | LOOP_LEVEL);
}

static void pause_accepting(struct gateway_listener *listener, int error) {
    struct loop *loop = listener->gateway->reactor->loop;
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
    int error = gateway_place_make(gateway, &source, &why);
    if (error == 0)
        error = gateway_take(gateway, fd, listener->tcp, peer, &source);
    if (error) {
        log_error("%s: carrier refused: %s", peer, why ? why : strerror(-error));
        close(fd);
    }
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
    int error = loop_watch_add(gateway->reactor->loop, &listener->watch, fd, EPOLLIN | LOOP_LEVEL,
                               on_listener);
    if (error) {
        free(listener);
        return error;
    }
    listener->next = gateway->listeners;
    gateway->listeners = listener;
    return 0;
}
