/* SPDX-License-Identifier: MIT */
/* A whole helper inside the test process, and a gateway whose answers the test determines. */
#ifndef SUPPORT_HELPER_H
#define SUPPORT_HELPER_H

#include "support_states.h"

#include "helper/client/helper.h"
#include "support_resolver.h"

/* The settings of a route. */
enum { ROUTE_OF_TEST_EAGER = 1, ROUTE_OF_TEST_PLAIN = 2, ROUTE_OF_TEST_DIRECT = 4 };

static struct helper helper;

static struct played {
    int listener; /* the gateway's */
    int target;   /* a listener that the helper can reach directly */
    uint16_t target_port;
    struct pump *server;
    struct relay relay; /* of the last stream */
    bool has_stream;
    int descriptors; /* before all */
} played;

/* ---- The gateway ---- */

static size_t on_asked(struct relay *relay, const uint8_t *data, size_t len) {
    (void)relay;
    (void)data;
    return len;
}

static void on_asker_gone(struct relay *relay, enum relay_reason reason, int error) {
    (void)relay;
    (void)reason;
    (void)error;
    played.has_stream = false;
}

static const struct relay_ops played_relay_ops = {.head = on_asked, .ended = on_asker_gone};

static void gateway_stream(struct pump *pump, smux_stream *stream) {
    if (played.has_stream)
        relay_abort(&played.relay, -ECANCELED);
    played.has_stream = true;
    relay_init(&played.relay, &helper.reactor, &played_relay_ops);
    relay_bind(&played.relay, pump, stream);
    relay_expect_head(&played.relay);
    smux_stream_accept(stream);
}

static void gateway_closed(struct pump *pump, int error, const char *why) {
    (void)error;
    (void)why;
    if (pump == played.server)
        played.server = NULL;
}

static const struct pump_ops gateway_ops = {.accepted = gateway_stream, .closed = gateway_closed};

static void gateway_serves(void) {
    int fd = accept4(played.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (played.server)
        pump_end(played.server, SMUX_ERR_CLOSED, "another one comes");
    played.server = gateway_pump(&helper.reactor, fd, &gateway_ops);
}

static void gateway_closes_carrier(void) {
    int fd = accept4(played.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    if (played.server)
        pump_end(played.server, SMUX_ERR_CLOSED, "gateway stops");
}

static void gateway_drains(void) {
    if (!played.server)
        return;
    smux_session_goaway(played.server->session);
    pump_kick(played.server);
}

static void gateway_says(const void *data, size_t len) {
    if (played.has_stream)
        relay_say(&played.relay, data, len);
}

static void gateway_accepts(void) {
    gateway_says("\5\0\5\0\0\1\177\0\0\1\0\11", 12);
}

static void gateway_accepts_and_speaks(void) {
    gateway_says("\5\0\5\0\0\1\177\0\0\1\0\11hello", 17);
}

static void gateway_refuses(void) {
    gateway_says("\5\0\5\5\0\1\177\0\0\1\0\11", 12);
}

static void gateway_says_half(void) {
    gateway_says("\5\0\5", 3);
}

static void gateway_talks_nonsense(void) {
    gateway_says("HTTP/1.1 400", 12);
}

static void gateway_ends_stream(void) {
    if (played.has_stream)
        smux_stream_close_write(played.relay.stream);
    if (played.server)
        pump_kick(played.server);
}

static void gateway_resets_stream(void) {
    if (played.has_stream)
        relay_abort(&played.relay, -ECANCELED);
}

/* For the table of steps. */
#define GATEWAY_STEPS                                                                              \
    STEP(gateway_serves), STEP(gateway_closes_carrier), STEP(gateway_drains),                      \
        STEP(gateway_accepts), STEP(gateway_accepts_and_speaks), STEP(gateway_refuses),            \
        STEP(gateway_says_half), STEP(gateway_talks_nonsense), STEP(gateway_ends_stream),          \
        STEP(gateway_resets_stream)

/* ---- Life ---- */

static void begin_helper(unsigned route) {
    struct config *config = malloc(sizeof *config);
    struct config_error error;
    const char *why;
    char text[600];
    uint16_t port;
    memset(&world, 0, sizeof world);
    memset(&played, 0, sizeof played);
    asked = NULL;
    played.descriptors = open_descriptors();
    played.listener = listen_on(&port);
    played.target = listen_on(&played.target_port);
    int len = snprintf(
        text, sizeof text,
        "[gateway main]\naddress = tcp://127.0.0.1:%u\ndial-timeout = 600s\nretry-min = 500s\n"
        "retry-max = 500s\n"
        "[route test]\ndestinations = 127.0.0.1:%u\ngateway = main\nconnect-timeout = 600s\n"
        "connect = %s\nhandshake = %s\non-failure = %s\n",
        port, played.target_port, route & ROUTE_OF_TEST_EAGER ? "eager" : "confirm",
        route & ROUTE_OF_TEST_PLAIN ? "none" : "socks5",
        route & ROUTE_OF_TEST_DIRECT ? "direct" : "refuse");
    config_init(config);
    if (!config_parse(config, "test", text, (size_t)len, &error))
        fail_msg("%s", error.text);
    assert_true(helper_init(&helper, config, &why));
    world.reactor.loop = helper.reactor.loop;
}

/* All connections have ended. */
static void finish_helper(void) {
    assert_null(conns_first(&helper.conns));
    assert_int_equal(helper.conns.count, 0);
    close(played.listener);
    gateway_resets_stream();
    if (played.server)
        pump_end(played.server, SMUX_ERR_CLOSED, "test over");
    turns(3);
    close(played.target);
    helper_fini(&helper);
    /* The closer's threads may still be closing descriptors. */
    for (int patience = 10000; open_descriptors() != played.descriptors && patience > 0; patience--)
        usleep(1000);
    assert_int_equal(open_descriptors(), played.descriptors);
    assert_int_equal(state_wrong_moves, 0);
}

static struct endpoint destination(void) {
    return (struct endpoint){AF_INET, played.target_port, 0, {127, 0, 0, 1}};
}

#endif
