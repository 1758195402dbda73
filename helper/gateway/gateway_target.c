/* SPDX-License-Identifier: MIT */
/* gateway_target.c - one stream at the gateway: SOCKS5 request, if its client is to make one, rule
 * check, connection, relay. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/common/helper_protocol.h"
#include "helper/gateway/gateway_target.h"
#include "helper/gateway/target_allow.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"

/* The limit for a client that opens a stream and then does not say where to connect. */
#define REQUEST_TIMEOUT_US 30000000u

#define TARGET_KEEPALIVE_MAX_S 32767 /* the kernel's bound of TCP_KEEPIDLE and TCP_KEEPINTVL */

/* ---- States ---- */

#define TO(state) (1u << TARGET_##state)

static const struct state_table states = {
    .what = "target",
    .state = {[TARGET_REQUEST] = {"request", TO(RESOLVING) | TO(DIALLING) | TO(OVER)},
              [TARGET_RESOLVING] = {"resolving", TO(DIALLING) | TO(OVER)},
              [TARGET_DIALLING] = {"dialling", TO(RELAYING) | TO(OVER)},
              [TARGET_RELAYING] = {"relaying", TO(OVER)},
              [TARGET_OVER] = {"over", 0}}};

/* The only function that changes the state. An invalid transition ends this target only. */
static bool move(struct target *target, enum target_state to) {
    if (state_move(&states, &target->state, to))
        return true;
    relay_abort(&target->relay, -EPROTO);
    return false;
}

/* ---- Life ---- */

static void free_opening(struct loop_garbage *garbage) {
    free(container_of(garbage, struct opening, garbage));
}

static void drop_opening(struct target *target) {
    struct opening *opening = target->opening;
    struct loop *loop = target->relay.reactor->loop;
    if (!opening)
        return;
    target->opening = NULL;
    resolver_cancel(&opening->query);
    dial_cancel(&opening->dial);
    loop_timer_clear(loop, &opening->timer);
    loop_discard(loop, &opening->garbage, free_opening);
}

static void free_target(struct loop_garbage *garbage) {
    free(container_of(garbage, struct target, garbage));
}

static void count_streams(struct gateway_session *session, int change) {
    session->targets += (uint32_t)change;
    if (session->client)
        session->client->streams += (uint32_t)change;
}

static void on_ended(struct relay *relay, enum relay_reason reason, int error) {
    struct target *target = container_of(relay, struct target, relay);
    relay_count_end(&target->flow, reason, RELAY_TO_TARGET);
    if (reason == RELAY_SOCKET_RESET)
        log_about(LOG_DEBUG, ABOUT(.peer = target->session->pump->carrier->peer),
                  "connection to the target ended: %s", strerror(-error));
    access_record_end(target->record, target->session, relay, reason, error);
    target->record = NULL;
    move(target, TARGET_OVER);
    count_streams(target->session, -1);
    drop_opening(target);
    loop_timer_clear(relay->reactor->loop, &target->probes);
    loop_discard(relay->reactor->loop, &target->garbage, free_target);
}

/* ---- The answer ---- */

static void describe(const struct opening *opening, char *out, size_t size) {
    const struct socks5_destination *destination = &opening->socks.destination;
    if (destination->name_len)
        snprintf(out, size, "%s:%u",
                 helper_host_name_valid(destination->name, destination->name_len)
                     ? destination->name
                     : "(bad name)",
                 destination->address.port);
    else
        endpoint_text(&destination->address, out, size);
}

/* The greeting's answer, if still due, and the reply go out as one frame; a plain client gets
 * neither. */
static int answer(struct target *target, int error, const struct endpoint *bound) {
    uint8_t message[SOCKS5_GREETING_ANSWER_LEN + SOCKS5_REPLY_MAX];
    size_t len = 0;
    if (target->opening->plain)
        return 0;
    if (!target->opening->greeting_sent) {
        memcpy(message, socks5_greeting_answer, SOCKS5_GREETING_ANSWER_LEN);
        len = SOCKS5_GREETING_ANSWER_LEN;
    }
    len += socks5_reply_write(message + len, error, bound);
    return relay_say(&target->relay, message, len);
}

/* That this process is short of descriptors or memory is of no use to the application. */
static int error_for_client(int error) {
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
        return -ENETUNREACH;
    default:
        return error;
    }
}

/* `error`: a negative errno or SOCKS5_DENIED; `why` is for the log. */
static void refuse(struct target *target, int error, const char *why) {
    char what[SOCKS5_NAME_MAX + 8];
    describe(target->opening, what, sizeof what);
    log_about(LOG_INFO,
              ABOUT(.peer = target->relay.pump->carrier->peer,
                    .stream = smux_stream_id(target->relay.stream), .destination = what),
              "connect to %s failed: %s", what, why);
    access_record_failed(target->record, error == SOCKS5_DENIED ? "denied" : "failed", why);
    metrics_flow_refused(&target->flow,
                         error == SOCKS5_DENIED ? REFUSED_DENIED : metrics_refusal_of(error));
    if (target->opening->plain) {
        relay_abort(&target->relay, error == SOCKS5_DENIED ? -EACCES : error_for_client(error));
        return;
    }
    answer(target, error_for_client(error), NULL);
    relay_hang_up(&target->relay);
}

/* ---- The connection ---- */

static void on_dial_fd(struct loop_watch *watch, uint32_t events) {
    struct relay *relay = container_of(watch, struct relay, watch);
    struct target *target = container_of(relay, struct target, relay);
    if (target->state == TARGET_DIALLING)
        dial_event(&target->opening->dial, events);
}

static const struct gateway_config *config_of(const struct target *target) {
    return target->session->sessions->config;
}

/* The programs' own SO_KEEPALIVE does not reach this far. A target that is silent for `silence_ms`
 * is probed, and again after every sixth of it; the system's settings say how many probes may stay
 * unanswered. */
static void set_keep_alive(int fd, uint32_t silence_ms) {
    int on = 1, idle_s = (int)(silence_ms / 1000 + (silence_ms % 1000 != 0));
    if (idle_s > TARGET_KEEPALIVE_MAX_S)
        idle_s = TARGET_KEEPALIVE_MAX_S;
    int interval_s = idle_s < 12 ? 1 : idle_s / 6;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
}

static void on_probes_due(struct loop_timer *timer) {
    const struct target *target = container_of(timer, struct target, probes);
    if (target->relay.watch.open && config_of(target)->target_keepalive_ms)
        set_keep_alive(target->relay.watch.fd, config_of(target)->target_keepalive_ms);
}

/* The kernel counts from the last segment received, so setting this after half of the silence is
 * early enough: most connections have ended by then, and are spared three system calls. */
static void keep_alive_later(struct target *target) {
    struct loop *loop = target->relay.reactor->loop;
    uint64_t silence_us = (uint64_t)config_of(target)->target_keepalive_ms * 1000u;
    if (silence_us)
        loop_timer_set(loop, &target->probes, loop_now_us(loop) + silence_us / 2, on_probes_due);
}

/* Does this target want to know for whom the connection is, and how is it told? */
static enum proxy_version proxy_version(const struct target *target, const struct endpoint *to) {
    const struct gateway_client *client = target->session->client;
    const struct socks5_destination *asked = &target->opening->socks.destination;
    const struct proxy_config *proxy = &config_of(target)->proxy;
    if (client && client->config && client->config->proxy.version != PROXY_NONE)
        proxy = &client->config->proxy;
    if (proxy->version == PROXY_NONE)
        return PROXY_NONE;
    bool chosen = proxy->to.n_rules == 0 ||
                  route_list_match_rule(&proxy->to, to, asked->name_len ? asked->name : NULL);
    return chosen ? (enum proxy_version)proxy->version : PROXY_NONE;
}

/* Goes before the first byte of the client's. The socket is fresh: its buffer has room for it. */
static int send_proxy_header(const struct target *target) {
    const struct gateway_session *session = target->session;
    uint8_t out[PROXY_HEADER_MAX];
    struct sockaddr_storage addr;
    socklen_t addr_len = sizeof addr;
    struct proxy_header header = {.source = session->source.address};
    int fd = target->relay.watch.fd;
    if (config_of(target)->of_helper)
        return 0;
    if (getpeername(fd, (struct sockaddr *)&addr, &addr_len) == 0)
        endpoint_from_sockaddr(&header.destination, (struct sockaddr *)&addr, addr_len);
    header.client = session->client ? session->client->name : NULL;
    header.identity = carrier_identity(session->pump->carrier);
    size_t len = proxy_header_write(out, proxy_version(target, &header.destination), &header);
    ssize_t n = len > 0 ? send(fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static void on_dialled(struct dial *dial, int error, uint32_t events) {
    struct target *target = container_of(dial, struct opening, dial)->target;
    struct relay *relay = &target->relay;
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    struct endpoint bound = {0};
    int one = 1;
    if (error == 0 && !dial->broken)
        error = send_proxy_header(target);
    if (error) {
        refuse(target, error, strerror(-error));
        return;
    }
    /* Data that arrives in frames has been gathered already; waiting for more would only add
     * delay. */
    setsockopt(relay->watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    keep_alive_later(target);
    if (getsockname(relay->watch.fd, (struct sockaddr *)&addr, &len) == 0)
        endpoint_from_sockaddr(&bound, (struct sockaddr *)&addr, len);
    if (answer(target, 0, &bound) != 0) {
        relay_abort(relay, -ENOMEM);
        return;
    }
    if (!move(target, TARGET_RELAYING))
        return;
    access_record_connected(target->record, relay->watch.fd);
    metrics_flow_opened(&target->flow, loop_now_us(relay->reactor->loop) - target->dialled_us);
    if (dial->broken)
        relay_broke(relay, dial->broken);
    drop_opening(target);
    relay_attach(relay, -1, &relay_end_tcp, events);
}

static uint64_t time_left_us(const struct opening *opening) {
    uint64_t now_us = loop_now_us(opening->target->relay.reactor->loop);
    return opening->deadline_us > now_us ? opening->deadline_us - now_us : 0;
}

/* The address that the program chose goes first. */
static void order_addresses(struct dial *dial, const struct endpoint *chosen) {
    struct dial_address preferred;
    preferred.len = endpoint_to_sockaddr(chosen, &preferred.addr);
    dial_order(dial, chosen->family ? &preferred : NULL);
}

/* Dials those of the addresses that the rules allow. */
static void dial_allowed(struct target *target, const struct endpoint *addresses, int count) {
    struct opening *opening = target->opening;
    struct dial *dial = &opening->dial;
    const char *name = opening->socks.destination.name_len ? opening->socks.destination.name : NULL;
    dial->count = 0;
    for (int i = 0; i < count && dial->count < DIAL_ADDRESSES_MAX; i++) {
        struct endpoint address = endpoint_unmapped(&addresses[i]);
        struct dial_address *to = &dial->addresses[dial->count];
        if (!target_allow_has(target->session, &address, name))
            continue;
        to->len = endpoint_to_sockaddr(&address, &to->addr);
        dial->count++;
    }
    if (dial->count == 0) {
        refuse(target, SOCKS5_DENIED, "not in the allow list");
        return;
    }
    if (!move(target, TARGET_DIALLING))
        return;
    order_addresses(dial, &opening->socks.destination.address);
    access_record_dialled(target->record, &dial->addresses[0]);
    dial->loop = target->relay.reactor->loop;
    dial->watch = &target->relay.watch;
    dial->on_fd = on_dial_fd;
    dial->done = on_dialled;
    dial->reset_on_close = true; /* as relay_end_tcp expects it */
    target->dialled_us = loop_now_us(dial->loop);
    dial_start(dial, time_left_us(opening));
}

/* A client learns whether a name exists only if a rule covers that name. Of other names it learns
 * only that no rule allows them, whatever the name server says. */
static void refuse_name(struct target *target, int error, const char *why) {
    const struct socks5_destination *destination = &target->opening->socks.destination;
    bool covered = route_list_name_chance(target_allow(target->session), destination->name,
                                          destination->address.port) == ROUTE_NAME_COVERED;
    metrics_flow_refused(&target->flow, covered ? REFUSED_NAME : REFUSED_DENIED);
    refuse(target, covered ? error : SOCKS5_DENIED, why);
}

static void on_resolved(struct resolver_query *query, int error, const struct endpoint *addresses,
                        int count) {
    struct target *target = container_of(query, struct opening, query)->target;
    loop_timer_clear(target->relay.reactor->loop, &target->opening->timer);
    if (error)
        refuse_name(target, error, "the name cannot be resolved");
    else
        dial_allowed(target, addresses, count);
}

static void on_name_timeout(struct loop_timer *timer) {
    struct target *target = container_of(timer, struct opening, timer)->target;
    refuse_name(target, -ETIMEDOUT, "the name was not resolved within connect-timeout");
}

/* Names that no rule could allow are not looked up. */
static void look_up(struct target *target) {
    struct opening *opening = target->opening;
    struct gateway_session *session = target->session;
    const struct socks5_destination *destination = &opening->socks.destination;
    const struct route_list *allow = target_allow(target->session);
    if (route_list_name_chance(allow, destination->name, destination->address.port) ==
        ROUTE_NAME_NEVER) {
        refuse(target, SOCKS5_DENIED, "not in the allow list");
        return;
    }
    if (!session->names)
        session->names = resolver_client_new(session->sessions->resolver);
    if (!session->names) {
        refuse_name(target, -ENOMEM, "out of memory");
        return;
    }
    if (!move(target, TARGET_RESOLVING))
        return;
    loop_timer_set(target->relay.reactor->loop, &opening->timer, opening->deadline_us,
                   on_name_timeout);
    resolver_start(session->names, &opening->query, destination->name, destination->address.port,
                   on_resolved);
}

static void open_destination(struct target *target) {
    struct opening *opening = target->opening;
    const struct socks5_destination *destination = &opening->socks.destination;
    struct loop *loop = target->relay.reactor->loop;
    char what[SOCKS5_NAME_MAX + 8];
    describe(opening, what, sizeof what);
    access_record_destination(target->record, what);
    const char *limit = gateway_client_admit(target->session->client, loop_now_us(loop));
    loop_timer_clear(loop, &opening->timer);
    if (limit) {
        access_record_failed(target->record, "limited", limit);
        metrics_flow_refused(&target->flow, REFUSED_LIMITED);
        refuse(target, -EADDRNOTAVAIL, limit); /* as when a host has no local port left */
        return;
    }
    opening->deadline_us =
        loop_now_us(loop) + (uint64_t)config_of(target)->connect_timeout_ms * 1000u;
    if (destination->name_len == 0)
        dial_allowed(target, &destination->address, 1);
    else if (!helper_host_name_valid(destination->name, destination->name_len))
        refuse(target, -EHOSTUNREACH, "the host name has characters that no host name has");
    else
        look_up(target);
}

/* ---- The request ---- */

static void bad_request(struct target *target) {
    metrics_flow_refused(&target->flow, REFUSED_BAD_REQUEST);
    struct socks5_server *socks = &target->opening->socks;
    log_about(LOG_INFO,
              ABOUT(.peer = target->relay.pump->carrier->peer,
                    .stream = smux_stream_id(target->relay.stream)),
              "bad SOCKS5 request: %s", socks->why);
    access_record_failed(target->record, "bad-request", socks->why);
    if (socks->reply) {
        uint8_t message[SOCKS5_REPLY_MAX];
        if (!target->opening->greeting_sent)
            relay_say(&target->relay, socks5_greeting_answer, SOCKS5_GREETING_ANSWER_LEN);
        size_t len = socks5_reply_write(message, -EOPNOTSUPP, NULL);
        message[1] = socks->reply;
        relay_say(&target->relay, message, len);
    }
    relay_hang_up(&target->relay);
}

/* Its client is ready to hear of the target, of which no byte is sent before. */
static void open_plain(struct target *target) {
    relay_head_over(&target->relay);
    open_destination(target);
}

static size_t on_head(struct relay *relay, const uint8_t *data, size_t len) {
    struct target *target = container_of(relay, struct target, relay);
    struct opening *opening = target->opening;
    size_t taken = 0;
    if (opening->plain) {
        open_plain(target);
        return 0;
    }
    if (!data) {
        relay_abort(relay, -EPIPE);
        return 0;
    }
    switch (socks5_server_feed(&opening->socks, data, len, &taken)) {
    case SOCKS5_BROKEN:
        bad_request(target);
        return len;
    case SOCKS5_DONE:
        relay_head_over(relay);
        open_destination(target);
        return taken;
    case SOCKS5_MORE:
        break;
    }
    if (opening->socks.greeted && !opening->greeting_sent) {
        opening->greeting_sent = true;
        relay_say(relay, socks5_greeting_answer, SOCKS5_GREETING_ANSWER_LEN);
    }
    return taken;
}

static void on_request_timeout(struct loop_timer *timer) {
    struct target *target = container_of(timer, struct opening, timer)->target;
    log_about(LOG_INFO,
              ABOUT(.peer = target->relay.pump->carrier->peer,
                    .stream = smux_stream_id(target->relay.stream)),
              "no SOCKS5 request within 30 s");
    metrics_flow_refused(&target->flow, REFUSED_TIMEOUT);
    relay_abort(&target->relay, -ETIMEDOUT);
}

static void on_silence(struct loop_timer *timer) {
    open_plain(container_of(timer, struct opening, timer)->target);
}

/* A client that sends nothing may be one that the target speaks first to. */
static void wait_for_client(struct opening *opening) {
    const struct gateway_config *config = config_of(opening->target);
    struct loop *loop = opening->target->relay.reactor->loop;
    uint64_t wait_us = REQUEST_TIMEOUT_US;
    opening->plain = config->handshake == ROUTE_PLAIN;
    if (opening->plain) {
        gateway_config_target(config, &opening->socks.destination);
        wait_us = config->silent_client_delay_ms * UINT64_C(1000);
    }
    loop_timer_set(loop, &opening->timer, loop_now_us(loop) + wait_us,
                   opening->plain ? on_silence : on_request_timeout);
}

static void limit_bytes(struct target *target) {
    struct gateway_client *client = target->session->client;
    if (client)
        relay_limit(&target->relay, &target->limit, &client->from_targets, &client->to_targets);
    else if (target->relay.limit)
        relay_limit(&target->relay, &target->limit, NULL, NULL);
}

void gateway_targets_follow(struct gateway_session *session) {
    list_for_each(link, &session->pump->sinks) {
        struct pump_sink *sink = container_of(link, struct pump_sink, bound);
        limit_bytes(container_of(sink, struct target, relay.sink));
    }
}

static const struct relay_ops target_ops = {.head = on_head, .ended = on_ended};

void gateway_target_accept(struct gateway_session *session, smux_stream *stream) {
    struct target *target = calloc(1, sizeof *target);
    struct opening *opening = calloc(1, sizeof *opening);
    struct reactor *reactor = session->sessions->reactor;
    if (!target || !opening) {
        free(target);
        free(opening);
        smux_stream_reset(stream);
        pump_kick(session->pump);
        return;
    }
    target->session = session;
    count_streams(session, 1);
    target->record = access_record_begin(smux_stream_id(stream), loop_now_us(reactor->loop));
    target->opening = opening;
    opening->target = target;
    socks5_server_init(&opening->socks);
    relay_init(&target->relay, reactor, &target_ops);
    relay_count(&target->relay, &target->flow, gateway_session_flows(session), RELAY_TO_TARGET);
    target->relay.half_closed_us = config_of(target)->half_closed_timeout_ms * UINT64_C(1000);
    limit_bytes(target);
    relay_bind(&target->relay, session->pump, stream);
    relay_expect_head(&target->relay);
    smux_stream_accept(stream);
    wait_for_client(opening);
}
