/* SPDX-License-Identifier: MIT */
/* Two sessions in one loop, joined by carriers of any kind (support_carrier.h). On one side is the
 * application's end (A) and the helper's end (B) of a socket pair, on the other the socket of a
 * destination.
 *
 *     app (A) == B -- relay, client session ==== server session, relay -- TCP == far */
#ifndef SUPPORT_RELAY_H
#define SUPPORT_RELAY_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/relay/relay.h"
#include "helper/relay/session_config.h"
#include "support_carrier.h"

/* Not every test uses all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define STREAMS_MAX 8

struct end {
    struct relay relay;
    bool ended;
    enum relay_reason reason;
    int error;
};

static struct world {
    struct reactor reactor;
    struct pump *client, *server;
    bool client_closed, server_closed;
    struct end near[STREAMS_MAX], distant[STREAMS_MAX];
    int app[STREAMS_MAX], far[STREAMS_MAX];
    int accepted; /* streams so far */
    int tcp_for_next;
    /* Set before setup_world, for one test: */
    bool plain_client;   /* the client knows no extensions */
    size_t small_window; /* of a stream, in bytes; 0: 4 MiB */
} world;

static void on_end(struct relay *relay, enum relay_reason reason, int error) {
    struct end *end = container_of(relay, struct end, relay);
    assert_false(end->ended);
    end->ended = true;
    end->reason = reason;
    assert_true(error <= 0);
    end->error = error;
}

static const struct relay_ops end_ops = {.ended = on_end};

static void on_accepted(struct pump *pump, smux_stream *stream) {
    struct relay *relay = &world.distant[world.accepted++].relay;
    relay_init(relay, &world.reactor, &end_ops);
    relay_bind(relay, pump, stream);
    smux_stream_accept(stream);
    assert_int_equal(relay_attach(relay, world.tcp_for_next, &relay_end_tcp, EPOLLIN), 0);
}

static void on_closed(struct pump *pump, int error, const char *why) {
    (void)error;
    assert_non_null(why);
    *(pump == world.client ? &world.client_closed : &world.server_closed) = true;
}

static const struct pump_ops pump_ops_of_test = {.accepted = on_accepted, .closed = on_closed};

/* Takes over the carrier. */
static struct pump *make_pump(struct carrier *carrier, enum smux_role role) {
    smux_config config;
    const struct session_limits limits = {.version = role == SMUX_CLIENT ? 2 : SMUX_VERSION_AUTO,
                                          .keepalive_interval_ms = 10000,
                                          .keepalive_timeout_ms = 30000,
                                          .max_frame_size = 65535,
                                          .max_receive_buffer = 64u << 20,
                                          .max_stream_buffer =
                                              world.small_window ? world.small_window : 4u << 20};
    session_config_fill(&config, &limits);
    config.extensions = role == SMUX_SERVER || !world.plain_client;
    struct pump *pump = pump_new(&world.reactor, carrier, role, &config, &pump_ops_of_test, NULL);
    assert_non_null(pump);
    return pump;
}

static void tcp_pair(int pair[2]) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    assert_int_equal(bind(listener, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&name, len), 0);
    pair[1] = accept(listener, NULL, NULL);
    assert_true(pair[1] >= 0);
    setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* as a dial does */
    close(listener);
}

static int setup_world(void **state) {
    struct carrier *carrier[2];
    (void)state;
    world = (struct world){.plain_client = world.plain_client, .small_window = world.small_window};
    memset(world.app, -1, sizeof world.app);
    memset(world.far, -1, sizeof world.far);
    assert_int_equal(reactor_init(&world.reactor), 0);
    assert_int_equal(carrier_kind->new_pair(world.reactor.loop, carrier), 0);
    world.client = make_pump(carrier[0], SMUX_CLIENT);
    world.server = make_pump(carrier[1], SMUX_SERVER);
    return 0;
}

static int teardown_world(void **state) {
    (void)state;
    if (!world.client_closed)
        pump_end(world.client, SMUX_ERR_CLOSED, "test over");
    if (!world.server_closed)
        pump_end(world.server, SMUX_ERR_CLOSED, "test over");
    for (int i = 0; i < STREAMS_MAX; i++) {
        /* A relay that is only writing kept data needs no session. */
        if (world.near[i].relay.reactor && !world.near[i].ended)
            relay_abort(&world.near[i].relay, -ECANCELED);
        if (world.distant[i].relay.reactor && !world.distant[i].ended)
            relay_abort(&world.distant[i].relay, -ECANCELED);
        if (world.app[i] >= 0)
            close(world.app[i]);
        if (world.far[i] >= 0)
            close(world.far[i]);
    }
    loop_turn(world.reactor.loop, 0);
    assert_int_equal(world.reactor.pool.used_count, 0);
    assert_int_equal(carriers_alive, 0);
    reactor_fini(&world.reactor);
    world.plain_client = false;
    world.small_window = 0;
    return 0;
}

/* Gives slow carriers time to deliver something. */
static void turns(int count) {
    for (int i = 0; i < count; i++)
        loop_turn(world.reactor.loop, carrier_kind->slow ? 1 : 0);
}

/* Runs the loop until the condition holds; fails after 10 s. */
#define until(condition)                                                                           \
    do {                                                                                           \
        int patience = 10000;                                                                      \
        while (!(condition)) {                                                                     \
            loop_turn(world.reactor.loop, 1);                                                      \
            assert_true(patience-- > 0);                                                           \
        }                                                                                          \
    } while (0)

/* Opens a stream whose near end relays the pair of sockets: app[0] is the application's. */
static void attach_near(struct relay *relay, const int app[2]) {
    smux_stream *stream;
    assert_int_equal(send(app[0], "", 1, 0), 1); /* the residue */
    assert_int_equal(smux_stream_open(world.client->session, &stream), 0);
    relay_init(relay, &world.reactor, &end_ops);
    relay_bind(relay, world.client, stream);
    relay->ahead = 1;
    relay->untrusted = true;
    assert_int_equal(relay_attach(relay, app[1], &relay_end_app, EPOLLIN), 0);
}

/* Opens stream number i: application's end in world.app[i], far destination's in world.far[i].
 * False if both sessions end before it has been accepted. */
static bool open_pair_if_it_lives(int i) {
    struct relay *relay = &world.near[i].relay;
    int tcp[2], app[2], one = 1;
    tcp_pair(tcp);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, app), 0);
    world.app[i] = app[0];
    world.far[i] = tcp[0];
    world.tcp_for_next = tcp[1];
    fcntl(app[0], F_SETFL, O_NONBLOCK);
    fcntl(tcp[0], F_SETFL, O_NONBLOCK);
    fcntl(tcp[1], F_SETFL, O_NONBLOCK);
    setsockopt(app[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    attach_near(relay, app);
    until(world.accepted > i || (world.client_closed && world.server_closed));
    if (world.accepted <= i)
        close(tcp[1]);
    return world.accepted > i;
}

static void open_pair(int i) {
    assert_true(open_pair_if_it_lives(i));
}

/* Turns until each side knows that the other one speaks extensions. A relay can have its socket
 * before that: then marks of urgent bytes are not sent yet. */
static void greet_both(void) {
    smux_session_info client, server;
    until((smux_session_get_info(world.client->session, &client),
           smux_session_get_info(world.server->session, &server),
           client.peer_extensions && server.peer_extensions));
}

/* Reads everything there is: bytes, 0 at the end, or minus errno. */
static ssize_t take(int fd, void *data, size_t len) {
    ssize_t n = recv(fd, data, len, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

/* Runs the loop until exactly `text` has arrived. */
static void expect(int fd, const char *text) {
    char got[256];
    size_t have = 0, want = strlen(text);
    while (have < want) {
        ssize_t n = -EAGAIN;
        until((n = take(fd, got + have, want - have)) != -EAGAIN);
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_memory_equal(got, text, want);
}

/* Runs the loop until a read returns something, which must be 0 (end of file) or the negative errno
 * `end`. */
static void expect_end(int fd, ssize_t end) {
    char byte;
    ssize_t n = -EAGAIN;
    until((n = take(fd, &byte, 1)) != -EAGAIN);
    assert_int_equal(n, end);
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Sends zeros from one end until the relay at the other, `writer`, keeps some that its socket does
 * not take. All have crossed the carrier by then. Returns how many were sent, on a session that has
 * carried nothing else. */
static size_t send_until_kept(int from, const struct relay *writer) {
    static const char zeros[100000];
    smux_session_info info = {0};
    size_t sent = 0;
    while (kept_queue_is_empty(&writer->kept)) {
        ssize_t n = send(from, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        until((smux_session_get_info(writer->pump->session, &info), info.bytes_in >= sent));
    }
    return sent;
}

/* Runs the tests over each kind of carrier, over those that play dice with the seeds 1 to `seeds`.
 * Returns how many failed. */
#define run_over_carriers(tests, seeds)                                                            \
    ({                                                                                             \
        int failures = 0;                                                                          \
        for (size_t k = 0; k < sizeof carrier_kinds / sizeof *carrier_kinds; k++) {                \
            carrier_kind = &carrier_kinds[k];                                                      \
            for (unsigned seed = 1; seed <= (carrier_kind->slow ? (seeds) : 1); seed++) {          \
                char group[80];                                                                    \
                snprintf(group, sizeof group, "%s, seed %u", carrier_kind->name, seed);            \
                network = (struct network){.seed = seed};                                          \
                failures += cmocka_run_group_tests_name(group, tests, NULL, NULL);                 \
            }                                                                                      \
        }                                                                                          \
        failures;                                                                                  \
    })

static void close_now(int *fd) {
    close(*fd);
    *fd = -1;
}

#endif
