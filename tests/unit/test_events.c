/* SPDX-License-Identifier: MIT */
/* Edges that come early or together: events that epoll reports before, when or after a relay gets
 * its socket, in one event or several, are all handled; every byte and the right end get
 * through. */
#include "support_relay.h"

#include <poll.h>

#include "helper/net/dial.h"

/* ---- One function for all ---- */

static void every_event_bit_has_one_meaning_for_readers_and_writers(void **state) {
    static const uint32_t bits[] = {EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLHUP, EPOLLERR};
    (void)state;
    for (unsigned set = 0; set < 64; set++) {
        uint32_t all = 0;
        for (unsigned i = 0; i < 6; i++)
            all |= set >> i & 1 ? bits[i] : 0;
        uint8_t flags = events_of(all);
        assert_int_equal(!!(flags & EVENT_READ), !!(all & ~(uint32_t)EPOLLOUT));
        assert_int_equal(!!(flags & EVENT_WRITE), !!(all & EPOLLOUT));
        assert_int_equal(!!(flags & EVENT_URGENT), !!(all & EPOLLPRI));
        assert_int_equal(!!(flags & EVENT_EOF), !!(all & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)));
        assert_int_equal(!!(flags & EVENT_GONE), !!(all & (EPOLLHUP | EPOLLERR)));
        assert_int_equal(!!(flags & EVENT_ERROR), !!(all & EPOLLERR));
    }
}

/* ---- Relays that get their socket after everything has happened to it ---- */

enum ending { STAYS, CLOSES, RESETS, ENDINGS };

static void end_it(int *fd, enum ending ending) {
    struct linger linger = {.l_onoff = 1};
    if (ending == STAYS)
        return;
    if (ending == RESETS)
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close_now(fd);
}

/* Without a turn of the loop. */
static void wait_for_end(int fd, enum ending ending) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    if (ending != STAYS)
        assert_int_equal(poll(&p, 1, 10000), 1);
}

/* The watch as a dial leaves it: all its edges have been reported. */
static uint32_t seen;
static void on_early(struct loop_watch *watch, uint32_t events) {
    (void)watch;
    seen |= events;
}

/* The target sends and ends before its relay is attached; `together`: in one event, else one by
 * one. */
static void attach_late(const char *text, enum ending ending, bool together) {
    int tcp[2], error = 0;
    socklen_t len = sizeof error;
    struct relay *relay = &world.distant[0].relay;
    smux_stream *stream;
    tcp_pair(tcp);
    fcntl(tcp[0], F_SETFL, O_NONBLOCK);
    world.far[0] = tcp[1];
    world.tcp_for_next = -1;
    world.app[0] = -1;
    assert_int_equal(smux_stream_open(world.server->session, &stream), 0);
    relay_init(relay, &world.reactor, &end_ops);
    world.accepted = 1;
    relay_bind(relay, world.server, stream);
    assert_int_equal(loop_watch_add(world.reactor.loop, &relay->watch, tcp[0],
                                    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, on_early),
                     0);
    seen = 0;
    if (!together)
        turns(1);
    if (text[0])
        say(world.far[0], text);
    if (!together)
        turns(1);
    end_it(&world.far[0], ending);
    wait_for_end(relay->watch.fd, ending);
    turns(1);
    if (seen & EPOLLERR) /* as a dial does */
        getsockopt(relay->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        relay_broke(relay, -error);
    assert_int_equal(relay_attach(relay, -1, &relay_end_tcp, seen), 0);
}

/* What the other side of the stream has received. */
static struct peer_of_stream {
    char text[256];
    size_t len;
    bool eof, reset;
} heard;

static size_t on_heard(struct relay *relay, const uint8_t *data, size_t len) {
    (void)relay;
    if (!data) {
        heard.eof = true;
    } else {
        assert_true(heard.len + len < sizeof heard.text);
        memcpy(heard.text + heard.len, data, len);
        heard.len += len;
    }
    return len;
}

static void on_heard_end(struct relay *relay, enum relay_reason reason, int error) {
    struct end *end = container_of(relay, struct end, relay);
    (void)error;
    end->ended = true;
    heard.reset = reason == RELAY_STREAM_RESET;
}

static const struct relay_ops heard_ops = {.head = on_heard, .ended = on_heard_end};

static void on_stream(struct pump *pump, smux_stream *stream) {
    struct relay *relay = &world.near[0].relay;
    relay_init(relay, &world.reactor, &heard_ops);
    relay_bind(relay, pump, stream);
    relay_expect_head(relay);
    smux_stream_accept(stream);
}

static void on_session_end(struct pump *pump, int error, const char *why) {
    (void)error;
    (void)why;
    *(pump == world.client ? &world.client_closed : &world.server_closed) = true;
}

static const struct pump_ops heard_pump_ops = {.accepted = on_stream, .closed = on_session_end};

/* The server of this session opens the stream: its relay is the one under test. */
static int setup_heard(void **state) {
    setup_world(state);
    world.client->ops = world.server->ops = &heard_pump_ops;
    memset(&heard, 0, sizeof heard);
    return 0;
}

static void everything_before_the_relay_had_its_socket_is_passed_on(void **state) {
    static const char *const texts[] = {"", "5byte", "twelve bytes"};
    for (unsigned i = 0; i < 3 * ENDINGS * 2; i++) {
        const char *text = texts[i % 3];
        enum ending ending = i / 3 % ENDINGS;
        if (i > 0)
            setup_heard(state);
        attach_late(text, ending, i / (3 * ENDINGS));
        until(world.near[0].relay.reactor); /* the stream has arrived */
        until(heard.len == strlen(text));
        if (ending == CLOSES)
            until(heard.eof);
        if (ending == RESETS)
            until(heard.reset);
        turns(20);
        assert_memory_equal(heard.text, text, strlen(text));
        assert_int_equal(heard.eof, ending == CLOSES);
        assert_int_equal(heard.reset, ending == RESETS);
        if (i + 1 < 3 * ENDINGS * 2)
            teardown_world(state);
    }
}

/* ---- Dials ---- */

static struct dialled {
    struct dial dial;
    struct loop_watch watch;
    bool done;
    int error, broken;
    uint32_t events;
} dialled;

static void on_dial_fd(struct loop_watch *watch, uint32_t events) {
    (void)watch;
    dial_event(&dialled.dial, events);
}

static void on_dialled(struct dial *dial, int error, uint32_t events) {
    dialled.done = true;
    dialled.error = error;
    dialled.broken = dial->broken;
    dialled.events = events;
}

/* Dials a listener that ends the connection before the loop has looked at it. */
static void dial_to(enum ending ending, const char *text) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
    memset(&dialled, 0, sizeof dialled);
    dialled.dial.loop = world.reactor.loop;
    dialled.dial.watch = &dialled.watch;
    dialled.dial.on_fd = on_dial_fd;
    dialled.dial.done = on_dialled;
    dialled.dial.count = 1;
    memcpy(&dialled.dial.addresses[0].addr, &name, len);
    dialled.dial.addresses[0].len = len;
    dial_start(&dialled.dial, 5000000);
    int fd = accept(listener, NULL, NULL);
    say(fd, text);
    end_it(&fd, ending);
    wait_for_end(dialled.watch.fd, ending);
    until(dialled.done);
    if (fd >= 0)
        close(fd);
    close(listener);
}

static void a_dial_passes_on_all_events_that_came_with_its_success(void **state) {
    char got[100];
    (void)state;
    for (enum ending ending = STAYS; ending < ENDINGS; ending++) {
        dial_to(ending, "twelve bytes");
        assert_int_equal(dialled.error, 0);
        assert_int_equal(dialled.broken, ending == RESETS ? -ECONNRESET : 0);
        assert_true(dialled.events & EPOLLIN);
        assert_int_equal(!!(dialled.events & EPOLLRDHUP), ending != STAYS);
        assert_int_equal(!!(dialled.events & EPOLLHUP), ending == RESETS);
        assert_int_equal(recv(dialled.watch.fd, got, sizeof got, MSG_DONTWAIT), 12);
        loop_watch_close(&dialled.watch);
    }
}

static void a_refused_dial_fails_and_passes_nothing_on(void **state) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    int bound = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;
    assert_int_equal(bind(bound, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(bound, (struct sockaddr *)&name, &len), 0);
    dial_to(STAYS, "x");
    loop_watch_close(&dialled.watch);
    memcpy(&dialled.dial.addresses[0].addr, &name, len);
    dialled.done = false;
    dial_start(&dialled.dial, 5000000);
    until(dialled.done);
    assert_int_equal(dialled.error, -ECONNREFUSED);
    assert_int_equal(dialled.events, 0);
    assert_false(dialled.watch.open);
    close(bound);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_bit_has_one_meaning_for_readers_and_writers),
        cmocka_unit_test_setup_teardown(everything_before_the_relay_had_its_socket_is_passed_on,
                                        setup_heard, teardown_world),
        cmocka_unit_test_setup_teardown(a_dial_passes_on_all_events_that_came_with_its_success,
                                        setup_world, teardown_world),
        cmocka_unit_test_setup_teardown(a_refused_dial_fails_and_passes_nothing_on, setup_world,
                                        teardown_world),
    };
    return run_over_carriers(tests, 5);
}
