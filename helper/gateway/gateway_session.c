/* SPDX-License-Identifier: MIT */
/* gateway_session.c - see gateway_session.h. */
#include "helper/gateway/gateway_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/gateway/gateway_target.h"
#include "helper/metrics/metrics_flow.h"
#include "helper/net/log.h"
#include "helper/relay/session_config.h"

/* How long a client that is asked to leave may still use the carrier. */
#define LEAVE_US 2000000u

static void free_session(struct loop_garbage *garbage) {
    free(container_of(garbage, struct gateway_session, garbage));
}

/* ---- While the peer is a stranger ---- */

/* The lines that they can cause. */
static struct log_kind begun = {.what = "sessions of clients that need not say who they are"};
static struct log_kind refused = {.what = "sessions refused"};
static struct log_kind silent = {.what = "sessions ended that had sent nothing"};

/* It has proved who it is or, where it need not, has sent a frame. */
static bool is_stranger(const struct gateway_session *session) {
    return !session->known ||
           (!*carrier_identity(session->pump->carrier) && !pump_has_heard(session->pump));
}

static void look_at_stranger(struct gateway_session *session) {
    if (!is_stranger(session))
        handshakes_leave(&session->sessions->handshakes, &session->handshake);
}

static void give_way(struct handshake *handshake, const char *why) {
    struct gateway_session *session = container_of(handshake, struct gateway_session, handshake);
    handshakes_leave(&session->sessions->handshakes, handshake);
    session->failing = STRANGER_GAVE_WAY;
    if (is_stranger(session))
        pump_fail(session->pump, SMUX_ERR_CLOSED, why);
}

static void count_failure(const struct gateway_session *session) {
    static const uint8_t strangers[] = {[CARRIER_FAILED_OTHERWISE] = STRANGER_OTHER,
                                        [CARRIER_FAILED_CLOSED] = STRANGER_CLOSED,
                                        [CARRIER_FAILED_NOT_TLS] = STRANGER_NOT_TLS,
                                        [CARRIER_FAILED_VERSION] = STRANGER_VERSION,
                                        [CARRIER_FAILED_PROTOCOL] = STRANGER_PROTOCOL,
                                        [CARRIER_FAILED_SECRET] = STRANGER_SECRET,
                                        [CARRIER_FAILED_CERTIFICATE] = STRANGER_CERTIFICATE,
                                        [CARRIER_FAILED_REFUSED] = STRANGER_REFUSES};
    const struct pump *pump = session->pump;
    int why = session->failing ? session->failing : strangers[pump->carrier->failure];
    if (why == STRANGER_OTHER && pump->peer_closed)
        why = STRANGER_CLOSED;
    metrics_add(&metrics_slot()->value[WORKER_STRANGERS + why], 1);
}

/* Users of this machine are known by the kernel. */
static int enter_as_stranger(struct gateway_session *session, const struct gateway_source *source) {
    session->handshake.give_way = give_way;
    if (!source || source->kind == GATEWAY_SOURCE_USER)
        return 0;
    return handshakes_enter(&session->sessions->handshakes, &session->handshake, &source->address,
                            false);
}

static void on_hello(struct pump *pump) {
    look_at_stranger(pump->user);
}

static void on_accepted(struct pump *pump, smux_stream *stream) {
    struct gateway_session *session = pump->user;
    look_at_stranger(session);
    session->used_us = loop_now_us(pump->reactor->loop);
    gateway_target_accept(session, stream);
}

/* ---- Whose it is ---- */

/* Every line of the log about this carrier names the client as well. */
static void name_in_log(struct gateway_session *session) {
    char *peer = session->pump->carrier->peer;
    if (session->address_len == 0)
        session->address_len = (uint16_t)strlen(peer);
    peer[session->address_len] = '\0';
    if (session->client)
        snprintf(peer + session->address_len, CARRIER_TEXT_SIZE - session->address_len, " (%s)",
                 session->client->name);
}

static void change_client(struct gateway_session *session, struct gateway_client *client) {
    struct gateway_client *old = session->client;
    if (client == old)
        return;
    session->client = client;
    if (old) {
        old->sessions--;
        old->streams -= session->targets;
    }
    if (client) {
        client->sessions++;
        client->streams += session->targets;
    }
    name_in_log(session);
    gateway_targets_follow(session);
}

static void count(struct gateway_session *session) {
    metrics_session(&session->peer, session->client ? session->client->sessions_of
                                                    : session->sessions->sessions_of);
}

/* Why the peer may have no session; NULL if it may. */
static const char *find_client(struct gateway_session *session, char *why, size_t size) {
    struct gateway_sessions *sessions = session->sessions;
    const struct carrier *carrier = session->pump->carrier;
    const struct client_config *config = client_config_of(sessions->config->clients, carrier);
    if (!config) {
        const char *identity = carrier_identity(carrier);
        snprintf(why, size, "%s%s", *identity ? "no [client] has the identity " : "", identity);
        return *identity ? why : "it has proved no identity that a [client] could have";
    }
    struct gateway_client *client =
        gateway_client_get(&sessions->clients, sessions->reactor->loop, config);
    if (!client)
        return "out of memory";
    change_client(session, client);
    return NULL;
}

/* If no clients are configured, or the program itself is the client, every peer may. */
static bool is_open_to_all(const struct gateway_session *session) {
    return !session->sessions->config->clients || session->source.kind == GATEWAY_SOURCE_NONE;
}

void gateway_session_know(struct gateway_session *session) {
    struct pump *pump = session->pump;
    char text[CARRIER_IDENTITY_MAX + 60];
    const char *why = NULL;
    if (!carrier_is_ready(pump->carrier))
        return;
    if (!is_open_to_all(session))
        why = find_client(session, text, sizeof text);
    else
        change_client(session, NULL);
    session->failing = why ? STRANGER_NO_CLIENT : 0;
    if (why)
        pump_fail(pump, SMUX_ERR_CLOSED, why);
    else if (!session->known && *carrier_identity(pump->carrier))
        log_about(LOG_INFO, ABOUT(.peer = pump->carrier->peer), "session begins");
    else if (!session->known)
        log_few(&begun, LOG_INFO, ABOUT(.peer = pump->carrier->peer), "session begins");
    session->known |= !why;
    if (!why)
        count(session);
    look_at_stranger(session);
}

static void on_ready(struct pump *pump) {
    gateway_session_know(pump->user);
}

static void on_closed(struct pump *pump, int error, const char *why) {
    struct gateway_session *session = pump->user;
    struct gateway_sessions *sessions = session->sessions;
    const struct log_subject about = {.peer = pump->carrier->peer};
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    if (is_stranger(session))
        count_failure(session);
    bool usual = error == SMUX_ERR_CARRIER || error == SMUX_ERR_CLOSED;
    if (!session->known)
        log_few(&refused, LOG_WARNING, &about, "session refused: %s", why);
    else if (is_stranger(session))
        log_few(&silent, usual ? LOG_INFO : LOG_WARNING, &about,
                "session ended after 0 streams: %s", why);
    else
        log_about(usual ? LOG_INFO : LOG_WARNING, &about, "session ended after %llu streams: %s",
                  (unsigned long long)info.accepted, why);
    list_remove(&session->link);
    handshakes_leave(&sessions->handshakes, &session->handshake);
    metrics_session(&session->peer, NULL);
    change_client(session, NULL);
    loop_timer_clear(sessions->reactor->loop, &session->timer);
    resolver_client_free(session->names);
    loop_discard(sessions->reactor->loop, &session->garbage, free_session);
    sessions->ended(sessions);
}

static void set_deadline(struct gateway_session *session, uint64_t after_us,
                         void (*fn)(struct loop_timer *)) {
    struct loop *loop = session->sessions->reactor->loop;
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
    loop_timer_clear(session->sessions->reactor->loop, &session->timer);
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
    const struct gateway_config *config = session->sessions->config;
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    look_at_stranger(session);
    session->failing = STRANGER_SILENT;
    if (!carrier_is_ready(session->pump->carrier))
        pump_fail(session->pump, SMUX_ERR_CLOSED, "no handshake within hello-timeout");
    else if (info.frames_in == 0)
        pump_fail(session->pump, SMUX_ERR_CLOSED, "no frame within hello-timeout");
    else if (config->first_stream_timeout_ms > 0)
        set_deadline(session, (uint64_t)config->first_stream_timeout_ms * 1000u,
                     on_first_stream_due);
}

/* From when it was accepted, wherever it has waited since. */
static void set_hello_deadline(struct gateway_session *session) {
    struct loop *loop = session->sessions->reactor->loop;
    uint64_t since_us = session->source.since_us ? session->source.since_us : loop_now_us(loop);
    uint64_t within_us = (uint64_t)session->sessions->config->hello_timeout_ms * 1000u;
    loop_timer_set(loop, &session->timer, since_us + within_us, on_hello_due);
}

static const struct pump_ops session_ops = {
    .ready = on_ready, .accepted = on_accepted, .hello = on_hello, .closed = on_closed};

int gateway_session_new(struct gateway_sessions *sessions, struct carrier *carrier,
                        const struct gateway_source *source) {
    const struct gateway_config *config = sessions->config;
    struct gateway_session *session = calloc(1, sizeof *session);
    smux_config smux;
    if (!session)
        return -ENOMEM;
    session_config_fill(&smux, &config->session);
    smux.linger_timeout_us = SESSION_PLAIN_LINGER_US;
    smux.max_streams = config->max_streams;
    smux.max_promised = reactor_promises(sessions->reactor);
    session->sessions = sessions;
    int error = enter_as_stranger(session, source);
    if (error == 0) {
        session->pump =
            pump_new(sessions->reactor, carrier, SMUX_SERVER, &smux, &session_ops, session);
        error = -errno;
    }
    if (!session->pump) {
        handshakes_leave(&sessions->handshakes, &session->handshake);
        free(session);
        return error;
    }
    list_prepend(&sessions->all, &session->link);
    session->used_us = loop_now_us(sessions->reactor->loop);
    if (source) {
        session->source = *source;
        set_hello_deadline(session);
    }
    gateway_session_know(session);
    return 0;
}
