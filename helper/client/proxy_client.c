/* SPDX-License-Identifier: MIT */
/* proxy_client.c - see proxy_client.h. */
#include "helper/client/proxy_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/client/proxy_listener.h"
#include "helper/net/events.h"
#include "helper/net/linger_close.h"
#include "helper/net/log.h"
#include "helper/net/sockaddr.h"
#include "helper/net/state_table.h"
#include "helper/net/stranger.h"

/* The most that is looked at at once for a request; one is hardly ever longer. */
#define PEEK_MAX 2048

/* How long a look-up of a name may take: as long as a connect by default. */
#define LOOKUP_US (ROUTE_DEFAULT_CONNECT_TIMEOUT_MS * UINT64_C(1000))

static struct log_kind bad_requests = {.what = "bad requests of proxy clients"};

/* ---- States ---- */

#define TO(state) (1u << PROXY_##state)

static const struct state_table states = {
    .what = "proxy client",
    .state = {[PROXY_READING] = {"reading", TO(RESOLVING) | TO(OPENING) | TO(OVER)},
              [PROXY_RESOLVING] = {"resolving", TO(OPENING) | TO(OVER)},
              [PROXY_OPENING] = {"opening", TO(OPEN) | TO(OVER)},
              [PROXY_OPEN] = {"open", TO(OVER)},
              [PROXY_OVER] = {"over", 0}}};

/* The only function that changes the state. An invalid transition ends this client only. */
static bool move(struct proxy_client *client, enum proxy_state to) {
    if (state_move(&states, &client->state, to))
        return true;
    conn_end(&client->conn, -EPROTO);
    return false;
}

static void on_outcome(struct conn *conn, int error, const struct endpoint *local);
static void on_ended(struct conn *conn);

static const struct conn_ops client_ops = {.outcome = on_outcome, .ended = on_ended};

/* ---- Life ---- */

static struct loop *loop_of(const struct proxy_client *client) {
    return client->conn.conns->reactor->loop;
}

static struct proxy_client *client_of(struct conn *conn) {
    return container_of(conn, struct proxy_client, conn);
}

static void free_client(struct loop_garbage *garbage) {
    struct proxy_client *client = container_of(garbage, struct proxy_client, garbage);
    free(client->opening);
    free(client);
}

/* The request no longer counts as incomplete. */
static void been_read(struct proxy_client *client) {
    struct proxy_opening *opening = client->opening;
    if (client->read)
        return;
    client->read = true;
    if (client->conn.account)
        client->conn.account->requests--;
    handshakes_leave(&client->listener->shared->hellos, &opening->hello);
    loop_timer_clear(loop_of(client), &opening->timer);
}

/* Releases what only the opening needs; the memory stays. */
static void leave_opening(struct proxy_client *client) {
    if (!client->opening)
        return;
    been_read(client);
    loop_timer_clear(loop_of(client), &client->opening->timer);
    resolver_cancel(&client->opening->query);
}

static void on_ended(struct conn *conn) {
    struct proxy_client *client = client_of(conn);
    move(client, PROXY_OVER);
    leave_opening(client);
    proxy_source_leave(client->source);
    account_put(&conn->conns->upstreams->accounts, conn->account);
    loop_discard(loop_of(client), &client->garbage, free_client);
    proxy_listener_leave(client->listener);
}

/* ---- Answers ---- */

/* A fresh socket has room for it; if not, its peer is no client. */
static bool say(struct proxy_client *client, const void *data, size_t len) {
    ssize_t n =
        len > 0 ? send(client->conn.relay.watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    return n == (ssize_t)len;
}

/* The client has been told why there is no connection, and can still read it. */
static void part(struct proxy_client *client, int error) {
    struct relay *relay = &client->conn.relay;
    if (!relay->untrusted && relay->watch.open)
        linger_close(loop_of(client), loop_watch_release(loop_of(client), &relay->watch));
    conn_end(&client->conn, error);
}

static void on_outcome(struct conn *conn, int error, const struct endpoint *local) {
    struct proxy_client *client = client_of(conn);
    uint8_t answer[CONNECT_ANSWER_MAX];
    if (client->state == PROXY_OPEN) { /* eager: success was given, but the connect fails */
        conn_end(conn, error);
        return;
    }
    size_t len =
        connect_answer_write((enum connect_protocol)client->protocol, answer, error, local);
    bool said = say(client, answer, len);
    if (error && len > 0 && said) {
        part(client, error);
    } else if (error || !said) {
        conn_end(conn, error ? error : -ECONNRESET);
    } else if (move(client, PROXY_OPEN)) {
        leave_opening(client);
        free(client->opening);
        client->opening = NULL;
        conn_start(conn, -1, false, EPOLLIN); /* what came behind the request is not read yet */
    }
}

/* ---- The destination ---- */

static void open_now(struct proxy_client *client) {
    if (move(client, PROXY_OPENING))
        conn_open(&client->conn);
}

/* The first address that has a route decides, as it would for a program that tries one after the
 * other; without one, the name goes where what has no route goes. */
static void on_resolved(struct resolver_query *query, int error, const struct endpoint *addresses,
                        int count) {
    struct proxy_client *client = container_of(query, struct proxy_opening, query)->client;
    struct conn *conn = &client->conn;
    loop_timer_clear(loop_of(client), &client->opening->timer);
    if (!move(client, PROXY_OPENING))
        return;
    if (error) {
        conn_fail(conn, error, "the name cannot be resolved here");
        return;
    }
    for (int i = 0; i < count; i++)
        if (route_list_match_rule(&conn->conns->config->routes, &addresses[i], NULL)) {
            conn->dest = addresses[i];
            break;
        }
    conn_open(conn);
}

static void on_lookup_timeout(struct loop_timer *timer) {
    struct proxy_client *client = container_of(timer, struct proxy_opening, timer)->client;
    resolver_cancel(&client->opening->query);
    if (move(client, PROXY_OPENING))
        conn_fail(&client->conn, -ETIMEDOUT, "the name is not resolved here in time");
}

static void look_up(struct proxy_client *client) {
    struct conn *conn = &client->conn;
    struct loop *loop = loop_of(client);
    if (!move(client, PROXY_RESOLVING))
        return;
    loop_timer_set(loop, &client->opening->timer, loop_now_us(loop) + LOOKUP_US, on_lookup_timeout);
    resolver_start(conn->conns->upstreams->lookups, &client->opening->query, conn->name,
                   conn->dest.port, on_resolved);
}

/* A name that a route names, or `*`, goes to the gateway as it is. */
static void open_destination(struct proxy_client *client, const struct endpoint *address,
                             const char *name) {
    struct conn *conn = &client->conn;
    const struct route_list *routes = &conn->conns->config->routes;
    been_read(client);
    conn->dest = *address;
    conn->unrouted = client->listener->config.unrouted;
    if (!name) {
        open_now(client);
        return;
    }
    conn->name = strdup(name);
    if (!conn->name)
        conn_end(conn, -ENOMEM);
    else if (route_list_name_chance(routes, name, address->port) == ROUTE_NAME_BY_ADDRESS)
        look_up(client);
    else
        open_now(client);
}

/* ---- The request ---- */

static void reject(struct proxy_client *client, const char *why) {
    const struct log_subject about = conn_subject(&client->conn, NULL);
    int level = client->opening->heard ? LOG_WARNING : LOG_DEBUG; /* browsers connect ahead */
    log_few(&bad_requests, level, &about, "request refused: %s: %s",
            connect_protocol_name((enum connect_protocol)client->opening->request.protocol), why);
    if (client->opening->request.answer_len > 0)
        part(client, -EPROTO);
    else
        conn_end(&client->conn, -EPROTO);
}

static void on_hello_timeout(struct loop_timer *timer) {
    struct proxy_client *client = container_of(timer, struct proxy_opening, timer)->client;
    reject(client, "incomplete after hello-timeout");
}

static void give_way(struct handshake *hello, const char *why) {
    struct proxy_client *client = container_of(hello, struct proxy_opening, hello)->client;
    (void)why; /* it names keys of the gateway's */
    reject(client, "incomplete, and too many newer ones wait");
}

static ssize_t peek(const struct proxy_client *client, uint8_t *data, size_t size) {
    const struct relay *relay = &client->conn.relay;
    bool cut;
    ssize_t n;
    if (relay->untrusted)
        return stranger_peek(relay->watch.fd, relay->uid, data, size, &cut);
    do
        n = recv(relay->watch.fd, data, size, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Takes what was peeked, of a socket that holds at least as much. */
static bool take(const struct proxy_client *client, uint8_t *data, size_t len) {
    const struct relay *relay = &client->conn.relay;
    size_t taken = 0;
    bool descriptors;
    while (taken < len) {
        ssize_t n =
            relay->untrusted
                ? stranger_receive(relay->watch.fd, relay->uid,
                                   &(struct iovec){data + taken, len - taken}, 1, &descriptors)
                : recv(relay->watch.fd, data + taken, len - taken, MSG_DONTWAIT);
        if (n < 0 && (n == -EINTR || (!relay->untrusted && errno == EINTR)))
            continue;
        if (n <= 0)
            return false;
        taken += (size_t)n;
    }
    return true;
}

static void request_complete(struct proxy_client *client) {
    const struct connect_request *request = &client->opening->request;
    const struct socks5_destination *destination = &request->destination;
    client->protocol = request->protocol;
    open_destination(client, &destination->address,
                     destination->name_len ? destination->name : NULL);
}

/* Feeds what is there. True if there may be more to read. */
static bool read_more(struct proxy_client *client) {
    struct connect_request *request = &client->opening->request;
    uint8_t data[PEEK_MAX];
    size_t taken;
    ssize_t n = peek(client, data, sizeof data);
    if (n == -EAGAIN)
        return false;
    if (n <= 0) {
        if (n == 0 && client->opening->heard)
            reject(client, "it ends before it is complete");
        else
            conn_end(&client->conn, (int)n); /* nothing was asked for */
        return false;
    }
    client->opening->heard = true;
    enum socks5_progress progress = connect_request_feed(request, data, (size_t)n, &taken);
    if (!take(client, data, taken) || !say(client, request->answer, request->answer_len)) {
        conn_end(&client->conn, -ECONNRESET);
        return false;
    }
    if (progress == SOCKS5_DONE)
        request_complete(client);
    else if (progress == SOCKS5_BROKEN)
        reject(client, request->why);
    return progress == SOCKS5_MORE;
}

static void on_fd(struct loop_watch *watch, uint32_t events) {
    struct relay *relay = container_of(watch, struct relay, watch);
    struct proxy_client *client = client_of(container_of(relay, struct conn, relay));
    /* Bytes that are there are looked for in any case, but an end is reported only once. */
    relay_hear(relay, events & ~(uint32_t)(EPOLLIN | EPOLLOUT));
    if (client->state == PROXY_READING && events_of(events) & EVENT_READ) {
        while (read_more(client))
            continue;
    } else if (events_of(events) & EVENT_GONE && client->state == PROXY_OPENING) {
        conn_fail(&client->conn, -ECONNRESET, "given up by the client");
    } else if (events_of(events) & EVENT_GONE && client->state == PROXY_RESOLVING) {
        conn_end(&client->conn, -ECONNRESET);
    }
}

/* ---- Accepting ---- */

static void begin_forward(struct proxy_client *client) {
    const struct config_address *to = &client->listener->config.destination;
    struct endpoint destination = {.port = to->port};
    struct sockaddr_storage addr;
    socklen_t len;
    bool literal = sockaddr_literal(to, &addr, &len);
    if (literal)
        endpoint_from_sockaddr(&destination, (struct sockaddr *)&addr, len);
    open_destination(client, &destination, literal ? NULL : to->host);
}

static void begin_reading(struct proxy_client *client) {
    struct loop *loop = loop_of(client);
    const struct proxy_listener *listener = client->listener;
    connect_request_init(&client->opening->request, listener->logins ? &listener->login : NULL);
    loop_timer_set(loop, &client->opening->timer,
                   loop_now_us(loop) + listener->config.hello_timeout_ms * UINT64_C(1000),
                   on_hello_timeout);
}

static struct proxy_client *make(struct proxy_listener *listener) {
    struct proxy_client *client = calloc(1, sizeof *client);
    struct proxy_opening *opening = calloc(1, sizeof *opening);
    if (client && opening) {
        client->opening = opening;
        client->listener = listener;
        opening->client = client;
        opening->hello.give_way = give_way;
        return client;
    }
    free(client);
    free(opening);
    return NULL;
}

/* NULL, or why it is one too many. */
static const char *enter(struct proxy_client *client, const struct proxy_peer *peer) {
    struct proxy_listener *listener = client->listener;
    if (peer->is_unix)
        return NULL;
    client->source = proxy_source_enter(&listener->sources, &peer->address);
    if (!client->source)
        return "out of memory";
    if (client->source->count > listener->config.max_per_source)
        return "more connections of one source than max-connections-per-source";
    return handshakes_enter(&listener->shared->hellos, &client->opening->hello, &peer->address,
                            false) == 0
               ? NULL
               : "out of memory";
}

static void drop(struct proxy_client *client) {
    handshakes_leave(&client->listener->shared->hellos, &client->opening->hello);
    proxy_source_leave(client->source);
    free(client->opening);
    free(client);
}

static void set_up(struct proxy_client *client, const struct proxy_peer *peer,
                   struct account *account) {
    struct conn *conn = &client->conn;
    conn_init(conn, client->listener->shared->conns, &client_ops);
    conn_set_user(conn, &peer->cred, account);
    conn->via = client->listener->text;
    conn->relay.untrusted = peer->is_unix;
    conn->end = peer->is_unix ? &relay_end_local : &relay_end_tcp;
    if (!peer->is_unix) {
        memcpy(client->from, peer->text, sizeof client->from);
        conn->from = client->from;
    }
    if (account)
        account->requests++;
    client->listener->connections++;
}

const char *proxy_client_new(struct proxy_listener *listener, int fd, const struct proxy_peer *peer,
                             struct account *account) {
    struct proxy_client *client = make(listener);
    const char *why = client ? enter(client, peer) : "out of memory";
    if (why) {
        if (client)
            drop(client);
        return why;
    }
    set_up(client, peer, account);
    int error = loop_watch_add(loop_of(client), &client->conn.relay.watch, fd,
                               client->conn.end->mask, on_fd);
    if (error) {
        if (peer->is_unix)
            stranger_close(fd, peer->cred.uid);
        else
            close(fd);
        conn_end(&client->conn, error);
    } else if (listener->config.kind == CONFIG_FORWARD) {
        begin_forward(client);
    } else {
        begin_reading(client);
    }
    return NULL;
}
