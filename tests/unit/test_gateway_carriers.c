/* SPDX-License-Identifier: MIT */
/* A whole helper and a whole gateway in one loop, over every kind of carrier: those in memory take
 * their time, and fail in their handshake or at any byte. Every connect gets an outcome, whatever
 * becomes of the carrier, and nothing leaks. The dial of carriers is this file's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/carrier/carrier_dial.h"
#include "helper/client/conn.h"
#include "helper/client/helper.h"
#include "helper/gateway/gateway.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"
#include "support_carrier.h"
#include "support_descriptors.h"
#include "support_resolver.h"

#define CONNS  3
#define ECHOES (2 * CONNS)
#define BYTES  60000u /* of each, each way */

static struct world {
    struct helper helper;
    struct gateway_config config;
    struct gateway *gateway;
    int listener; /* where the conns go */
    uint16_t port;
    int dials;
    bool peer_closes;     /* what takes the carriers is no gateway */
    uint64_t fails_after; /* of the first carrier */
    int descriptors;      /* before all */
} world;

static struct subject {
    struct conn conn;
    int successes, failures, ends;
    int app;
    size_t sent, got;
    ssize_t last; /* what the last read has said: 0, or minus an errno */
} subjects[CONNS];

/* At the target, in the order of their coming; what a lost carrier has asked for comes again. */
static struct echo {
    int fd;
    size_t len, off;
    bool eof;
    uint8_t bytes[20000];
} echoes[ECHOES];

/* ---- The dial ---- */

static void dialled(struct loop_task *task) {
    struct carrier_dial *dial = container_of(task, struct carrier_dial, dial.task);
    struct carrier *pair[2];
    network.fails_after = world.dials++ == 0 ? world.fails_after : 0;
    assert_int_equal(carrier_kind->new_pair(dial->options.loop, pair), 0);
    network.seed++;
    if (world.peer_closes)
        carrier_close(pair[1]);
    else
        assert_int_equal(gateway_take(world.gateway, pair[1], NULL), 0);
    dial->won = 0;
    dial->done(dial, pair[0], 0);
}

void carrier_dial_start(struct carrier_dial *dial, const struct carrier_dial_options *options,
                        void (*done)(struct carrier_dial *, struct carrier *, int)) {
    dial->options = *options;
    dial->done = done;
    loop_task_post(options->loop, &dial->dial.task, dialled);
}

void carrier_dial_cancel(struct carrier_dial *dial) {
    if (loop_task_is_posted(&dial->dial.task))
        loop_task_cancel(dial->options.loop, &dial->dial.task);
}

const char *carrier_dial_why(const struct carrier_dial *dial, int place) {
    (void)dial;
    (void)place;
    return NULL;
}

/* ---- The owner of the conns ---- */

static void on_outcome(struct conn *conn, int error, const struct endpoint *local) {
    struct subject *s = container_of(conn, struct subject, conn);
    int pair[2], one = 1;
    (void)local;
    if (error) {
        s->failures++;
        conn_end(conn, error);
        return;
    }
    s->successes++;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    assert_int_equal(send(pair[0], "", 1, 0), 1); /* the residue */
    s->app = pair[0];
    conn_start(conn, pair[1], true, EPOLLIN);
}

static void on_ended(struct conn *conn) {
    container_of(conn, struct subject, conn)->ends++;
}

static const struct conn_ops owner = {.outcome = on_outcome, .ended = on_ended};

/* ---- Life ---- */

static void begin(const char *connect_timeout) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    struct config *config = malloc(sizeof *config);
    struct config_error error;
    const char *why;
    char text[400], allow[40];
    uint64_t fails_after = world.fails_after;
    bool peer_closes = world.peer_closes;
    memset(&world, 0, sizeof world);
    memset(subjects, 0, sizeof subjects);
    memset(echoes, 0, sizeof echoes);
    state_wrong_moves = 0;
    world.fails_after = fails_after;
    world.peer_closes = peer_closes;
    world.descriptors = open_descriptors();
    world.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(world.listener, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(world.listener, 8), 0);
    assert_int_equal(getsockname(world.listener, (struct sockaddr *)&name, &len), 0);
    world.port = ntohs(name.sin_port);
    int n = snprintf(text, sizeof text,
                     "[gateway main]\naddress = tcp://127.0.0.1:1\nretry-min = 1ms\n"
                     "retry-max = 5ms\n[route test]\ndestinations = 127.0.0.1:*\ngateway = main\n"
                     "connect-timeout = %s\n",
                     connect_timeout);
    config_init(config);
    if (!config_parse(config, "test", text, (size_t)n, &error))
        fail_msg("%s", error.text);
    assert_true(helper_init(&world.helper, config, &why));
    gateway_config_init(&world.config);
    snprintf(allow, sizeof allow, "127.0.0.1:%u", world.port);
    assert_true(gateway_config_set(&world.config, "allow", allow, &error));
    world.gateway = gateway_new(&world.helper.reactor, &world.config, &why);
    assert_non_null(world.gateway);
}

static void turn(void) {
    assert_int_equal(loop_turn(world.helper.reactor.loop, 1), 0);
}

#define until(condition)                                                                           \
    do {                                                                                           \
        for (int left = 20000; !(condition); left--) {                                             \
            assert_true(left > 0);                                                                 \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static bool all_have_ended(void) {
    for (int i = 0; i < CONNS; i++)
        if (subjects[i].ends == 0)
            return false;
    return true;
}

static void finish(void) {
    for (int i = 0; i < CONNS; i++) {
        struct subject *s = &subjects[i];
        if (s->successes)
            close(s->app);
    }
    for (int i = 0; i < ECHOES; i++)
        if (echoes[i].fd)
            close(echoes[i].fd);
    until(all_have_ended());
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(subjects[i].successes + subjects[i].failures, 1);
    gateway_free(world.gateway);
    upstreams_free(&world.helper.upstreams.own);
    turn();
    assert_int_equal(carriers_alive, 0);
    assert_int_equal(world.helper.reactor.pool.used_count, 0);
    helper_fini(&world.helper);
    close(world.listener);
    /* The closer's threads may be at it. */
    for (int left = 10000; open_descriptors() != world.descriptors && left > 0; left--)
        usleep(1000);
    assert_int_equal(open_descriptors(), world.descriptors);
    assert_int_equal(state_wrong_moves, 0);
    world = (struct world){0};
    network = (struct network){.seed = 1};
}

static void open_all(void) {
    for (int i = 0; i < CONNS; i++) {
        struct conn *conn = &subjects[i].conn;
        conn_init(conn, &world.helper.conns, &owner);
        conn->dest = (struct endpoint){AF_INET, world.port, 0, {127, 0, 0, 1}};
        conn_open(conn);
    }
}

/* ---- Data: what the application says comes back ---- */

static uint8_t byte_at(size_t i) {
    return (uint8_t)(i * 40503u >> 8);
}

static void echo(struct echo *e) {
    if (!e->fd) {
        int fd = accept4(world.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        e->fd = fd > 0 ? fd : 0;
        return;
    }
    if (e->off == e->len && !e->eof) {
        ssize_t n = recv(e->fd, e->bytes, sizeof e->bytes, 0);
        e->off = 0;
        e->len = n > 0 ? (size_t)n : 0;
        e->eof = n == 0;
        if (e->eof)
            shutdown(e->fd, SHUT_WR);
    }
    ssize_t n = send(e->fd, e->bytes + e->off, e->len - e->off, MSG_NOSIGNAL);
    e->off += n > 0 ? (size_t)n : 0;
}

static void speak(struct subject *s) {
    uint8_t bytes[9000];
    size_t len = BYTES - s->sent < sizeof bytes ? BYTES - s->sent : sizeof bytes;
    if (s->sent == BYTES)
        return;
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(s->sent + i);
    ssize_t n = send(s->app, bytes, len, MSG_NOSIGNAL);
    s->sent += n > 0 ? (size_t)n : 0;
    if (s->sent == BYTES)
        shutdown(s->app, SHUT_WR);
}

static void hear(struct subject *s) {
    uint8_t bytes[9000];
    s->last = recv(s->app, bytes, sizeof bytes, 0);
    if (s->last < 0)
        s->last = -errno;
    for (ssize_t i = 0; i < s->last; i++)
        assert_int_equal(bytes[i], byte_at(s->got + (size_t)i));
    s->got += s->last > 0 ? (size_t)s->last : 0;
}

/* Has failed, or has heard an end. */
static bool is_done(const struct subject *s) {
    return s->failures || (s->successes && s->last != -EAGAIN && s->last <= 0);
}

static bool talk(void) {
    bool done = true;
    for (int i = 0; i < ECHOES; i++)
        echo(&echoes[i]);
    for (int i = 0; i < CONNS; i++) {
        struct subject *s = &subjects[i];
        if (s->successes && !is_done(s)) {
            speak(s);
            hear(s);
        }
        done &= is_done(s);
    }
    return done;
}

/* ---- Tests ---- */

static void expect_all_has_come_back(void) {
    for (int i = 0; i < CONNS; i++) {
        assert_int_equal(subjects[i].successes, 1);
        assert_int_equal(subjects[i].got, BYTES);
        assert_int_equal(subjects[i].last, 0);
    }
}

static void mark_as_silent(void) {
    for (int i = 0; i < CONNS; i++)
        subjects[i].last = -EAGAIN;
}

static void connects_are_answered_and_data_goes_both_ways_to_its_end(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        network.seed = seed * 100;
        begin("600s");
        open_all();
        mark_as_silent();
        until(talk());
        expect_all_has_come_back();
        until(all_have_ended());
        assert_int_equal(world.dials, 1);
        finish();
    }
}

static const char *last_error(void) {
    return upstream_last_error(world.helper.upstreams.own.to[0]);
}

static void connects_over_a_carrier_without_a_handshake_fail_in_time(void **state) {
    (void)state;
    network.bad_handshake = true;
    begin("200ms");
    open_all();
    until(all_have_ended());
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(subjects[i].failures, 1);
    assert_true(world.dials > 1);
    assert_non_null(strstr(last_error(), "a wrong handshake")); /* the carrier's own reason */
    finish();
}

static void a_carrier_that_is_closed_before_anything_was_said_is_told_as_such(void **state) {
    (void)state;
    world.peer_closes = true;
    begin("200ms");
    open_all();
    until(all_have_ended());
    for (int i = 0; i < CONNS; i++)
        assert_int_equal(subjects[i].failures, 1);
    bool as_such = strstr(last_error(), "closed before a gateway has said anything");
    bool has_handshake = carrier_kind != &carrier_kinds[0]; /* which then says why it failed */
    assert_int_equal(as_such, !has_handshake);
    finish();
}

static void break_at(uint64_t seed, uint64_t at) {
    network.seed = seed;
    world.fails_after = at;
    begin("600s");
    open_all();
    mark_as_silent();
    until(talk());
    for (int i = 0; i < CONNS; i++) {
        const struct subject *s = &subjects[i];
        assert_true(s->failures || s->last == -ECONNRESET || (s->last == 0 && s->got == BYTES));
    }
    finish();
}

static void every_connect_has_an_outcome_wherever_the_carrier_fails(void **state) {
    (void)state;
    for (uint64_t at = 1; at < 100; at += 3)
        break_at(at, at);
    for (uint64_t seed = 1; seed < 30; seed++)
        break_at(seed * 7, 100 + seed * seed * 7919 % (CONNS * BYTES * 2));
}

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(connects_are_answered_and_data_goes_both_ways_to_its_end),
        cmocka_unit_test(a_carrier_that_is_closed_before_anything_was_said_is_told_as_such),
    };
    const struct CMUnitTest slow[] = {
        cmocka_unit_test(connects_over_a_carrier_without_a_handshake_fail_in_time),
        cmocka_unit_test(every_connect_has_an_outcome_wherever_the_carrier_fails),
    };
    int failed = 0;
    log_set_level(-1);
    for (size_t k = 0; k < sizeof carrier_kinds / sizeof *carrier_kinds; k++) {
        carrier_kind = &carrier_kinds[k];
        failed += cmocka_run_group_tests_name(carrier_kind->name, all, NULL, NULL);
        if (carrier_kind->slow)
            failed += cmocka_run_group_tests_name(carrier_kind->name, slow, NULL, NULL);
    }
    return failed;
}
