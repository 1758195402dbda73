/* SPDX-License-Identifier: MIT */
/* Dialling a carrier address results in a carrier or an error, unless it is cancelled first. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/carrier/carrier_dial.h"
#include "helper/net/reactor.h"
#include "helper/net/state_table.h"
#include "support_carrier.h"
#include "support_descriptors.h"
#include "support_resolver.h"

#define LONG_US 3600000000u

static struct scene {
    struct reactor reactor;
    struct carrier_dial dial;
    struct config_address address;
    int listener;
    uint16_t port;
    int done, error;
    char why[CARRIER_WHY_SIZE];
    struct carrier *carrier;
    bool starting;
    int descriptors; /* before all */
} scene;

static void on_done(struct carrier_dial *dial, struct carrier *carrier, int error,
                    const char *why) {
    assert_false(scene.starting);
    assert_int_equal(dial->state, 0);
    assert_true(carrier ? !error && !why : error < 0 && why);
    scene.done++;
    scene.error = error;
    scene.carrier = carrier;
    snprintf(scene.why, sizeof scene.why, "%s", why ? why : "");
}

static int setup(void **state) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    (void)state;
    memset(&scene, 0, sizeof scene);
    asked = NULL;
    state_wrong_moves = 0;
    scene.descriptors = open_descriptors();
    assert_int_equal(reactor_init(&scene.reactor), 0);
    scene.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(scene.listener, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(scene.listener, 8), 0);
    assert_int_equal(getsockname(scene.listener, (struct sockaddr *)&name, &len), 0);
    scene.port = ntohs(name.sin_port);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    carrier_close(scene.carrier);
    loop_turn(scene.reactor.loop, 0);
    reactor_fini(&scene.reactor);
    close(scene.listener);
    assert_null(asked);
    assert_int_equal(carriers_alive, 0);
    assert_int_equal(state_wrong_moves, 0);
    assert_int_equal(open_descriptors(), scene.descriptors);
    return 0;
}

/* ---- Steps ---- */

static void start_with(const char *url, uint64_t timeout_us, const struct carrier_layer *layer,
                       const char *server_name) {
    const char *why;
    assert_true(config_address_parse(&scene.address, url, &why));
    const struct carrier_dial_options options = {.address = &scene.address,
                                                 .loop = scene.reactor.loop,
                                                 .names = resolver_client_new((void *)1),
                                                 .timeout_us = timeout_us,
                                                 .layer = layer,
                                                 .server_name = server_name};
    scene.starting = true;
    carrier_dial_start(&scene.dial, &options, on_done);
    scene.starting = false;
    assert_int_equal(scene.done, 0);
}

static void start(const char *url) {
    start_with(url, LONG_US, NULL, NULL);
}

/* The listener's address with another host. */
static const char *url_of(const char *scheme, const char *host) {
    static char url[100];
    snprintf(url, sizeof url, "%s://%s:%u", scheme, host, scene.port);
    return url;
}

static void wait_until_done(void) {
    for (int left = 5000; !scene.done; left--) {
        assert_true(left > 0);
        loop_turn(scene.reactor.loop, 1);
    }
    assert_int_equal(scene.done, 1);
}

static void expect_failure(int error, const char *why) {
    wait_until_done();
    assert_null(scene.carrier);
    assert_int_equal(scene.error, error);
    assert_string_equal(scene.why, why);
}

static void expect_carrier(const char *peer) {
    wait_until_done();
    assert_non_null(scene.carrier);
    assert_int_equal(scene.carrier->state, CARRIER_NEW);
    assert_string_equal(scene.carrier->peer, peer);
}

/* ---- A layer ---- */

static char layer_was_told[100];

static struct carrier *lay_of_test(const struct carrier_layer *layer, struct carrier *lower,
                                   const char *server_name) {
    assert_non_null(layer);
    assert_int_equal(lower->state, CARRIER_NEW);
    snprintf(layer_was_told, sizeof layer_was_told, "%s", server_name);
    return new_layer(lower);
}

static struct carrier *no_layer(const struct carrier_layer *layer, struct carrier *lower,
                                const char *server_name) {
    (void)layer;
    (void)lower;
    (void)server_name;
    errno = EKEYREJECTED;
    return NULL;
}

/* ---- Outcomes ---- */

static void an_address_gives_a_carrier_that_has_not_been_started(void **state) {
    (void)state;
    const char *url = url_of("tcp", "127.0.0.1");
    start(url);
    expect_carrier(url);
}

static void a_path_gives_a_carrier_too(void **state) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char url[150];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    snprintf(un.sun_path, sizeof un.sun_path, "/tmp/test_carrier_dial.%d", (int)getpid());
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(fd, 1), 0);
    snprintf(url, sizeof url, "unix://%s", un.sun_path);
    start(url);
    expect_carrier(url);
    close(fd);
    unlink(un.sun_path);
}

static void a_name_is_looked_up_first(void **state) {
    (void)state;
    start(url_of("tcp", "gw.example"));
    assert_true(carrier_dial_is_resolving(&scene.dial));
    resolved(0, 1, 2);
    assert_false(carrier_dial_is_resolving(&scene.dial));
    expect_carrier(url_of("tcp", "gw.example"));
}

static void failures_come_with_an_errno_and_a_text(void **state) {
    static const struct {
        int looked_up, error;
        const char *url, *why;
    } cases[] = {
        {-EHOSTUNREACH, -EHOSTUNREACH, "tcp://gw.example:1", "name cannot be resolved"},
        {-ETIMEDOUT, -ETIMEDOUT, "tcp://gw.example:1", "name server does not answer"},
        {0, -ECONNREFUSED, "tcp://127.0.0.1:1", "Connection refused"},
        {0, -ENOENT, "unix:///nowhere/to.be.found", "No such file or directory"},
        {0, -EPROTONOSUPPORT, "tls://127.0.0.1:1", "no credentials for TLS"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene.done = 0;
        start(cases[i].url);
        if (cases[i].looked_up)
            resolved(cases[i].looked_up, 1, 0);
        expect_failure(cases[i].error, cases[i].why);
    }
}

static void the_time_limit_is_for_the_name_as_well(void **state) {
    (void)state;
    start_with(url_of("tcp", "gw.example"), 20000, NULL, NULL);
    expect_failure(-ETIMEDOUT, "name server does not answer");
}

static void what_the_look_up_has_taken_is_not_there_for_the_connects(void **state) {
    (void)state;
    start_with(url_of("tcp", "gw.example"), 50000, NULL, NULL);
    while (loop_clock_us() < scene.dial.deadline_us - 20000)
        loop_turn(scene.reactor.loop, 1);
    resolved(0, 1, 1);
    assert_true(scene.dial.dial.deadline_us <= scene.dial.deadline_us);
    expect_carrier(url_of("tcp", "gw.example"));
}

/* ---- Layers ---- */

static void a_scheme_with_a_layer_gives_the_upper_carrier(void **state) {
    const struct carrier_layer layer = {.lay = lay_of_test};
    (void)state;
    start_with(url_of("tls", "127.0.0.1"), LONG_US, &layer, NULL);
    expect_carrier("layer");
    assert_string_equal(layer_was_told, "127.0.0.1");
}

static void the_layer_is_told_the_name_that_was_given(void **state) {
    const struct carrier_layer layer = {.lay = lay_of_test};
    (void)state;
    start_with(url_of("tls", "127.0.0.1"), LONG_US, &layer, "gw.example");
    expect_carrier("layer");
    assert_string_equal(layer_was_told, "gw.example");
}

static void a_scheme_without_a_layer_ignores_it(void **state) {
    const struct carrier_layer layer = {.lay = lay_of_test};
    (void)state;
    layer_was_told[0] = '\0';
    start_with(url_of("tcp", "127.0.0.1"), LONG_US, &layer, NULL);
    expect_carrier(url_of("tcp", "127.0.0.1"));
    assert_string_equal(layer_was_told, "");
}

static void a_layer_that_cannot_be_made_is_a_failure(void **state) {
    const struct carrier_layer layer = {.lay = no_layer};
    (void)state;
    start_with(url_of("tls", "127.0.0.1"), LONG_US, &layer, NULL);
    expect_failure(-EKEYREJECTED, strerror(EKEYREJECTED));
}

/* ---- Cancelling, and once more ---- */

static void a_dial_can_be_cancelled_at_any_moment_and_begun_again(void **state) {
    (void)state;
    carrier_dial_cancel(&scene.dial); /* before the first use */
    start(url_of("tcp", "gw.example"));
    carrier_dial_cancel(&scene.dial);
    assert_null(asked);
    start(url_of("tcp", "gw.example"));
    resolved(0, 1, 1);
    carrier_dial_cancel(&scene.dial);
    start("tls://127.0.0.1:1");
    carrier_dial_cancel(&scene.dial);
    for (int i = 0; i < 10; i++)
        loop_turn(scene.reactor.loop, 1);
    assert_int_equal(scene.done, 0);
    start(url_of("tcp", "127.0.0.1"));
    expect_carrier(url_of("tcp", "127.0.0.1"));
    carrier_dial_cancel(&scene.dial);
    assert_int_equal(scene.carrier->state, CARRIER_NEW);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_address_gives_a_carrier_that_has_not_been_started),
        TEST(a_path_gives_a_carrier_too),
        TEST(a_name_is_looked_up_first),
        TEST(failures_come_with_an_errno_and_a_text),
        TEST(the_time_limit_is_for_the_name_as_well),
        TEST(what_the_look_up_has_taken_is_not_there_for_the_connects),
        TEST(a_scheme_with_a_layer_gives_the_upper_carrier),
        TEST(the_layer_is_told_the_name_that_was_given),
        TEST(a_scheme_without_a_layer_ignores_it),
        TEST(a_layer_that_cannot_be_made_is_a_failure),
        TEST(a_dial_can_be_cancelled_at_any_moment_and_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
