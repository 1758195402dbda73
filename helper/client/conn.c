/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h. */
#include "helper/client/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/client/name_table.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"

/* If a stream is reset before it was answered (the gateway drains, the carrier fails), another one
 * is opened, at most this often. A session whose peer has never sent anything does not count. */
#define ATTEMPTS_MAX 5

static void request_stream(struct conn *conn);
static bool on_lost(struct relay *relay, int error);
static size_t on_head(struct relay *relay, const uint8_t *data, size_t len);
static void on_relay_ended(struct relay *relay, enum relay_reason reason, int error);

static const struct relay_ops conn_relay_ops = {
    .head = on_head, .lost = on_lost, .ended = on_relay_ended};

/* ---- States ---- */

#define TO(state) (1u << CONN_##state)

static const struct state_table states = {
    .what = "connection",
    .state = {[CONN_NEW] = {"new", TO(OPENING) | TO(FAILED) | TO(OVER)},
              [CONN_OPENING] = {"opening", TO(EAGER) | TO(SUCCEEDED) | TO(FAILED) | TO(OVER)},
              [CONN_EAGER] = {"eager", TO(STARTED) | TO(SUCCEEDED) | TO(FAILED) | TO(OVER)},
              [CONN_STARTED] = {"started", TO(OPEN) | TO(OVER)},
              [CONN_SUCCEEDED] = {"succeeded", TO(OPEN) | TO(OVER)},
              [CONN_OPEN] = {"open", TO(OVER)},
              [CONN_FAILED] = {"failed", TO(OVER)},
              [CONN_OVER] = {"over", 0}}};

/* The only function that changes the state. An invalid transition ends this connection only. */
static bool move(struct conn *conn, enum conn_state to) {
    if (state_move(&states, &conn->state, to))
        return true;
    conn_end(conn, -EPROTO);
    return false;
}

static void tell(const struct conn *conn, enum conn_event event, int error, const char *why) {
    if (conn->conns->tell)
        conn->conns->tell(conn->conns, conn, event, error, why);
}

/* ---- Life ---- */

void conn_init(struct conn *conn, struct conns *conns, const struct conn_ops *ops) {
    memset(conn, 0, sizeof *conn);
    relay_init(&conn->relay, conns->reactor, &conn_relay_ops);
    conn->relay.untrusted = true;
    conn->end = &relay_end_app;
    conn->conns = conns;
    conn->ops = ops;
    conn->began_us = loop_now_us(conns->reactor->loop);
    conns_enter(conns, conn);
}

void conn_set_user(struct conn *conn, const struct ucred *cred, struct account *account) {
    conn->pid = cred->pid;
    conn->uid = conn->relay.uid = cred->uid;
    conn->account = account;
}

static void free_opening(struct loop_garbage *garbage) {
    free(container_of(garbage, struct conn_opening, garbage));
}

static void drop_opening(struct conn *conn) {
    struct conn_opening *opening = conn->opening;
    struct loop *loop = conn->conns->reactor->loop;
    if (!opening)
        return;
    conn->opening = NULL;
    upstream_cancel(&opening->waiter);
    loop_timer_clear(loop, &opening->timer);
    loop_discard(loop, &opening->garbage, free_opening);
}

char *conn_describe(const struct conn *conn, char *out, size_t size) {
    char address[ENDPOINT_TEXT_SIZE];
    endpoint_text(&conn->dest, address, sizeof address);
    if (!conn->name)
        snprintf(out, size, "%s", address);
    else if (conn->dest.family == 0)
        snprintf(out, size, "%s:%u", conn->name, conn->dest.port);
    else
        snprintf(out, size, "%s (%s)", conn->name, address);
    return out;
}

struct log_subject conn_subject(const struct conn *conn, const char *destination) {
    return (struct log_subject){.listener = conn->via,
                                .from = conn->from,
                                .pid = conn->pid,
                                .uid = conn->uid,
                                .has_uid = conn->uid != (uid_t)-1,
                                .destination = destination};
}

static void say_end(struct conn *conn, enum relay_reason reason, int error) {
    char what[CONN_TEXT_SIZE];
    const char *how = reason == RELAY_DONE           ? "closed"
                      : reason == RELAY_STREAM_RESET ? smux_strerror(error)
                                                     : strerror(-error);
    if (!conn->counted) /* a question, a notice, or what was refused */
        return;
    tell(conn, CONN_EVENT_ENDED, error, how);
    if (!log_wants(LOG_DEBUG))
        return;
    const struct log_subject about = conn_subject(conn, conn_describe(conn, what, sizeof what));
    log_of(LOG_DEBUG, &about, "connection to %s ended: %s", what, how);
}

/* Leave the list before telling the owner, which frees the memory. */
static void on_relay_ended(struct relay *relay, enum relay_reason reason, int error) {
    struct conn *conn = container_of(relay, struct conn, relay);
    struct conns *conns = conn->conns;
    relay_count_end(&conn->flow, reason, RELAY_TO_PROGRAM);
    move(conn, CONN_OVER);
    conns_leave(conns, conn);
    conns->count -= conn->counted;
    say_end(conn, reason, error);
    if (conn->account)
        conn->account->streams -= conn->counted;
    drop_opening(conn);
    free(conn->name);
    conn->name = NULL;
    conn->ops->ended(conn);
    if (list_is_empty(&conns->all) && conns->emptied)
        conns->emptied(conns);
}

void conn_end(struct conn *conn, int error) {
    relay_abort(&conn->relay, error);
}

/* ---- The outcome ---- */

static void attach_if_ready(struct conn *conn) {
    struct relay *relay = &conn->relay;
    if (!conn_is_started(conn) || !relay_wants_socket(relay))
        return;
    if (relay_attach(relay, relay->watch.fd, conn->end, 0) != 0)
        conn_end(conn, -ENOMEM);
}

void conn_start(struct conn *conn, int fd, bool residue, uint32_t events) {
    struct relay *relay = &conn->relay;
    if (!relay->watch.open)
        relay->watch.fd = fd;
    relay->ahead = residue;
    relay_hear(relay, events);
    if (move(conn, conn->state == CONN_EAGER ? CONN_STARTED : CONN_OPEN))
        attach_if_ready(conn);
}

static void succeed(struct conn *conn, const struct endpoint *local) {
    static const struct endpoint unknown;
    bool told = conn->state != CONN_OPENING;
    if (!move(conn, conn->state == CONN_STARTED ? CONN_OPEN : CONN_SUCCEEDED))
        return;
    drop_opening(conn);
    metrics_flow_opened(&conn->flow, loop_now_us(conn->conns->reactor->loop) - conn->began_us);
    tell(conn, CONN_EVENT_OPEN, 0, NULL);
    if (!told)
        conn->ops->outcome(conn, 0, local ? local : &unknown);
}

static void fail(struct conn *conn, int error, const char *why) {
    char what[CONN_TEXT_SIZE];
    relay_head_over(&conn->relay);
    if (!relay_is_attached(&conn->relay))
        relay_drop_stream(&conn->relay);
    const struct log_subject about = conn_subject(conn, conn_describe(conn, what, sizeof what));
    log_of(LOG_INFO, &about, "connect to %s failed: %s", what, why);
    metrics_flow_refused(&conn->flow, metrics_refusal_of(error));
    tell(conn, CONN_EVENT_FAILED, error, why);
    if (conn->ops->why)
        conn->ops->why(conn, why);
    drop_opening(conn);
    if (conn_is_started(conn))
        conn_end(conn, error);
    else if (move(conn, CONN_FAILED))
        conn->ops->outcome(conn, error, NULL);
}

void conn_fail(struct conn *conn, int error, const char *why) {
    fail(conn, error, why);
}

/* ---- The gateway cannot be reached ---- */

static void start_timer(struct conn *conn);

static void unreachable(struct conn *conn, int error, const char *why) {
    struct conn_opening *opening = conn->opening;
    char text[400];
    if (opening->on_failure == ROUTE_DIRECT && !opening->direct) {
        struct log_subject about = conn_subject(conn, NULL);
        about.gateway = opening->gateway;
        log_of(LOG_INFO, &about, "%s; connecting directly", why);
        opening->direct = true;
        opening->attempts = 0;
        start_timer(conn);
        request_stream(conn);
        return;
    }
    snprintf(text, sizeof text, "gateway %s: %s", opening->direct ? "direct" : opening->gateway,
             why);
    metrics_flow_refused(&conn->flow, REFUSED_NO_GATEWAY);
    fail(conn, error, text);
}

static void on_timeout(struct loop_timer *timer) {
    struct conn *conn = container_of(timer, struct conn_opening, timer)->conn;
    struct conn_opening *opening = conn->opening;
    if (!conn->relay.stream && !opening->direct) {
        upstream_cancel(&opening->waiter);
        unreachable(conn, -ETIMEDOUT, upstream_last_error(conn->opening->upstream));
        return;
    }
    fail(conn, -ETIMEDOUT, "no answer within connect-timeout");
}

static void start_timer(struct conn *conn) {
    struct loop *loop = conn->conns->reactor->loop;
    struct conn_opening *opening = conn->opening;
    loop_timer_set(loop, &opening->timer, loop_now_us(loop) + (uint64_t)opening->timeout_ms * 1000u,
                   on_timeout);
}

/* ---- The stream ---- */

/* Is the destination a synthetic address (name_table.h)? Never if no route matches by name. */
static bool is_synthetic(const struct conn *conn) {
    const struct conns *conns = conn->conns;
    return conns->names && conns->config->routes.n_name_rules &&
           name_table_hold(conns->names, &conn->dest);
}

static void send_request(struct conn *conn) {
    struct socks5_destination destination = {.address = endpoint_unmapped(&conn->dest)};
    uint8_t message[SOCKS5_REQUEST_MAX];
    if (conn->opening->by_name) {
        if (is_synthetic(conn))
            destination.address.family = 0;
        destination.name_len = (uint8_t)strlen(conn->name);
        memcpy(destination.name, conn->name, destination.name_len);
    }
    socks5_client_init(&conn->opening->socks);
    relay_expect_head(&conn->relay);
    size_t len = socks5_request_write(message, &destination);
    if (relay_say(&conn->relay, message, len) != 0)
        fail(conn, -ENETUNREACH, "the request cannot be sent");
}

static void stream_ready(struct conn *conn, struct pump *pump, smux_stream *stream) {
    relay_bind(&conn->relay, pump, stream);
    conn->opening->pump = pump;
    if (conn->opening->handshake == ROUTE_PLAIN && !conn->opening->direct)
        succeed(conn, NULL);
    else
        send_request(conn);
    if (!conn_is_over(conn))
        attach_if_ready(conn);
}

static void on_ready(struct upstream_waiter *waiter, int error, struct pump *pump,
                     smux_stream *stream) {
    struct conn *conn = container_of(waiter, struct conn_opening, waiter)->conn;
    if (error)
        unreachable(conn, error, upstream_last_error(conn->opening->upstream));
    else
        stream_ready(conn, pump, stream);
}

static void count(struct conn *conn, const char *route, const char *gateway) {
    relay_count(&conn->relay, &conn->flow, metrics_series(&metrics_slot()->flows, route, gateway),
                RELAY_TO_PROGRAM);
}

/* The program has sent nothing yet, only its request has gone out: another gateway may serve it as
 * well. It may be that the silent one has connected to the target, or still will, and then this
 * connection ends without a byte, as an attempt does that was begun in vain (RFC 8305). */
static void on_silent(struct upstream_waiter *waiter) {
    struct conn *conn = container_of(waiter, struct conn_opening, waiter)->conn;
    if (conn->state != CONN_OPENING || conn->opening->attempts >= ATTEMPTS_MAX)
        return;
    relay_drop_stream(&conn->relay);
    request_stream(conn);
}

static void request_stream(struct conn *conn) {
    struct conn_opening *opening = conn->opening;
    struct upstream_pool *upstreams = conn->conns->upstreams;
    struct pump *pump;
    smux_stream *stream;
    opening->upstream = opening->direct
                            ? upstream_pool_direct(upstreams, conn->account)
                            : upstream_pool_get(upstreams, conn->account, opening->gateway);
    if (!opening->upstream) {
        fail(conn, -ENETUNREACH, "there is no such gateway");
        return;
    }
    snprintf(conn->gateway, sizeof conn->gateway, "%s", upstream_config(opening->upstream)->name);
    count(conn, opening->route, conn->gateway);
    opening->attempts++;
    opening->waiter.ready = on_ready;
    opening->waiter.silent = on_silent;
    opening->waiter.impatient = opening->on_failure == ROUTE_DIRECT;
    opening->waiter.cautious = opening->connect == ROUTE_EAGER || opening->handshake == ROUTE_PLAIN;
    int error = upstream_open(opening->upstream, &opening->waiter, &pump, &stream);
    if (error == 0)
        stream_ready(conn, pump, stream);
    else if (error != -EAGAIN)
        unreachable(conn, error, upstream_last_error(conn->opening->upstream));
}

static bool on_lost(struct relay *relay, int error) {
    struct conn *conn = container_of(relay, struct conn, relay);
    struct conn_opening *opening = conn->opening;
    if (opening && !pump_has_heard(opening->pump))
        opening->attempts--;
    if (!opening || conn->state != CONN_OPENING || opening->attempts >= ATTEMPTS_MAX) {
        fail(conn, -ECONNREFUSED, smux_strerror(error));
        return true;
    }
    request_stream(conn);
    return true;
}

static size_t on_head(struct relay *relay, const uint8_t *data, size_t len) {
    struct conn *conn = container_of(relay, struct conn, relay);
    struct socks5_client *socks = &conn->opening->socks;
    size_t taken = len;
    if (!data) {
        fail(conn, -ECONNREFUSED, "the gateway ended the stream without an answer");
        return 0;
    }
    switch (socks5_client_feed(socks, data, len, &taken)) {
    case SOCKS5_MORE:
        break;
    case SOCKS5_BROKEN:
        relay_head_over(relay);
        fail(conn, -ECONNREFUSED, socks->why);
        break;
    case SOCKS5_DONE:
        relay_head_over(relay);
        if (socks->error == 0) {
            succeed(conn, &socks->bound);
            break;
        }
        if (socks->reply == SOCKS5_NOT_ALLOWED)
            metrics_flow_refused(&conn->flow, REFUSED_DENIED);
        fail(conn, socks->error,
             socks->reply == SOCKS5_NOT_ALLOWED ? "not allowed by the gateway"
                                                : strerror(-socks->error));
    }
    return taken;
}

/* ---- The route ---- */

/* Of a destination that no route has: from this machine, as if the program had connected itself. */
static const struct route direct_route = {.name = "-",
                                          .gateway = "direct",
                                          .connect_timeout_ms = ROUTE_DEFAULT_CONNECT_TIMEOUT_MS,
                                          .on_failure = ROUTE_DIRECT};

static struct conn_opening *opening_new(struct conn *conn, const struct route *route) {
    struct conn_opening *opening = calloc(1, sizeof *opening);
    if (!opening)
        return NULL;
    opening->direct = route == &direct_route;
    opening->conn = conn;
    opening->timeout_ms = route->connect_timeout_ms;
    opening->connect = route->connect;
    opening->on_failure = route->on_failure;
    opening->handshake = route->handshake;
    memcpy(opening->gateway, route->gateway, sizeof opening->gateway);
    memcpy(opening->route, route->name, sizeof opening->route);
    return opening;
}

/* Replaces a synthetic address by its host name, and describes the target in *target. */
static bool restore_name(struct conn *conn, struct endpoint *target) {
    *target = conn->dest;
    if (!is_synthetic(conn))
        return true;
    target->family = 0; /* a synthetic address is never a target itself */
    if (conn->name)
        return true;
    const char *name = name_table_find(conn->conns->names, &conn->dest);
    if (!name) {
        count(conn, "-", "-");
        metrics_flow_refused(&conn->flow, REFUSED_NAME);
        fail(conn, -EHOSTUNREACH, "this address stands for no host name that is known");
        return false;
    }
    conn->name = strdup(name);
    if (!conn->name)
        fail(conn, -ENETUNREACH, "out of memory");
    return conn->name;
}

void conn_open(struct conn *conn) {
    struct conns *conns = conn->conns;
    const struct route_list *routes = &conns->config->routes;
    struct endpoint target;
    if (!restore_name(conn, &target))
        return;
    const struct route_rule *rule = route_list_match_rule(routes, &target, conn->name);
    const struct route *route = rule                             ? &routes->route[rule->route]
                                : conn->unrouted == ROUTE_DIRECT ? &direct_route
                                                                 : NULL;
    count(conn, route ? route->name : "-", route ? route->gateway : "-");
    if (!route) {
        metrics_flow_refused(&conn->flow, REFUSED_NO_ROUTE);
        fail(conn, target.family || conn->via ? -EACCES : -EHOSTUNREACH,
             "no route of this helper leads there");
        return;
    }
    if (conns->count >= conns->config->helper.max_streams) {
        metrics_flow_refused(&conn->flow, REFUSED_LIMITED);
        fail(conn, -EAGAIN, "more connections than max-streams");
        return;
    }
    if (conn->account && conn->account->streams >= conns_streams_per_user(conns)) {
        metrics_flow_refused(&conn->flow, REFUSED_LIMITED);
        fail(conn, -EAGAIN, "more connections of one user than max-streams-per-user");
        return;
    }
    if (!move(conn, CONN_OPENING))
        return;
    conn->opening = opening_new(conn, route);
    if (!conn->opening) {
        fail(conn, -ENETUNREACH, "out of memory");
        return;
    }
    conn->counted = true;
    conns->count++;
    if (conn->account)
        conn->account->streams++;
    conns->routed_total++;
    tell(conn, CONN_EVENT_BEGUN, 0, NULL);
    conn->opening->by_name =
        conn->name && (!target.family || (rule && rule->kind == ROUTE_RULE_NAME));
    start_timer(conn);
    if (conn->opening->connect == ROUTE_EAGER) {
        move(conn, CONN_EAGER);
        conn->ops->outcome(conn, 0, &(struct endpoint){0});
    }
    if (!conn_is_over(conn))
        request_stream(conn);
}
