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

#define LONG_US 3600000000u

static struct scene {
    struct reactor reactor;
    struct carrier_dial dial;
    struct config_address addresses[3];
    char urls[3][100];
    int count;
    int listener;
    uint16_t port;
    int done, error;
    char why[3][CARRIER_WHY_SIZE];
    struct carrier *carrier;
    bool starting;
    int descriptors; /* before all */
} scene;

static void on_done(struct carrier_dial *dial, struct carrier *carrier, int error) {
    assert_false(scene.starting);
    assert_int_equal(dial->state, 0);
    assert_true(carrier ? !error : error < 0);
    scene.done++;
    scene.error = error;
    scene.carrier = carrier;
    for (int i = 0; i < scene.count; i++) {
        const char *why = carrier_dial_why(dial, i);
        snprintf(scene.why[i], sizeof scene.why[i], "%s", why ? why : "");
    }
}

static int setup(void **state) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    (void)state;
    memset(&scene, 0, sizeof scene);
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
    assert_int_equal(carriers_alive, 0);
    assert_int_equal(state_wrong_moves, 0);
    assert_int_equal(open_descriptors(), scene.descriptors);
    return 0;
}

/* ---- Steps ---- */

static void start_all(const char *const *urls, int count, uint64_t timeout_us,
                      const struct carrier_layer *layer, const char *server_name) {
    struct carrier_place places[3];
    const char *why;
    scene.count = count;
    for (int i = 0; i < count; i++) {
        assert_true(config_address_parse(&scene.addresses[i], urls[i], &why));
        snprintf(scene.urls[i], sizeof scene.urls[i], "%s", urls[i]);
        places[i] = (struct carrier_place){&scene.addresses[i], scene.urls[i], server_name};
    }
    const struct carrier_dial_options options = {.places = places,
                                                 .count = count,
                                                 .loop = scene.reactor.loop,
                                                 .timeout_us = timeout_us,
                                                 .layer = layer};
    scene.starting = true;
    carrier_dial_start(&scene.dial, &options, on_done);
    scene.starting = false;
    assert_int_equal(scene.done, 0);
}

static void start_with(const char *url, uint64_t timeout_us, const struct carrier_layer *layer,
                       const char *server_name) {
    start_all(&url, 1, timeout_us, layer, server_name);
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
    assert_string_equal(scene.why[0], why);
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

static void a_place_that_refuses_is_passed_over_and_said_to_have_failed(void **state) {
    const char *const urls[] = {"tcp://127.0.0.1:1", url_of("tcp", "127.0.0.1"),
                                "tcp://127.0.0.1:2"};
    (void)state;
    start_all(urls, 3, LONG_US, NULL, NULL);
    expect_carrier(urls[1]);
    assert_int_equal(scene.dial.won, 1);
    assert_string_equal(scene.why[0], "Connection refused");
    assert_string_equal(scene.why[1], "");
    assert_string_equal(scene.why[2], ""); /* its turn has not come */
}

static void schemes_may_differ_and_one_that_cannot_be_used_is_passed_over(void **state) {
    const char *const urls[] = {"tls://127.0.0.1:1", "unix:///nowhere/to.be.found",
                                url_of("tcp", "127.0.0.1")};
    (void)state;
    start_all(urls, 3, LONG_US, NULL, NULL);
    expect_carrier(urls[2]);
    assert_string_equal(scene.why[0], "no credentials for TLS");
    assert_string_equal(scene.why[1], "No such file or directory");
}

/* Fills the queue of a listener that nobody accepts from: further connects get no answer. */
static int deaf_listener(int filler[3], uint16_t *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    for (int i = 0; i < 3; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(filler[i], (struct sockaddr *)&name, len);
    }
    *port = ntohs(name.sin_port);
    return fd;
}

static void one_that_does_not_answer_delays_the_next_by_a_moment(void **state) {
    int filler[3];
    uint16_t port;
    char url[40];
    (void)state;
    int deaf = deaf_listener(filler, &port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    const char *const urls[] = {url, url_of("tcp", "127.0.0.1")};
    uint64_t began_us = loop_clock_us();
    start_all(urls, 2, LONG_US, NULL, NULL);
    expect_carrier(urls[1]);
    assert_true(loop_clock_us() - began_us >= DIAL_STAGGER_US);
    assert_string_equal(scene.why[0], "another address has answered before");
    close(deaf);
    for (int i = 0; i < 3; i++)
        close(filler[i]);
}

static void failures_come_with_an_errno_and_a_text(void **state) {
    static const struct {
        int error;
        const char *url, *why;
    } cases[] = {
        {-ECONNREFUSED, "tcp://127.0.0.1:1", "Connection refused"},
        {-ENOENT, "unix:///nowhere/to.be.found", "No such file or directory"},
        {-ENOPROTOOPT, "tls://127.0.0.1:1", "no credentials for TLS"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene.done = 0;
        start(cases[i].url);
        expect_failure(cases[i].error, cases[i].why);
    }
}

static void the_time_limit_is_for_all_of_them_together(void **state) {
    int filler[3];
    uint16_t port;
    char url[40];
    (void)state;
    int deaf = deaf_listener(filler, &port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    start_with(url, 50000, NULL, NULL);
    expect_failure(-ETIMEDOUT, strerror(ETIMEDOUT));
    close(deaf);
    for (int i = 0; i < 3; i++)
        close(filler[i]);
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
    start(url_of("tcp", "127.0.0.1"));
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
        TEST(a_place_that_refuses_is_passed_over_and_said_to_have_failed),
        TEST(schemes_may_differ_and_one_that_cannot_be_used_is_passed_over),
        TEST(one_that_does_not_answer_delays_the_next_by_a_moment),
        TEST(failures_come_with_an_errno_and_a_text),
        TEST(the_time_limit_is_for_all_of_them_together),
        TEST(a_scheme_with_a_layer_gives_the_upper_carrier),
        TEST(the_layer_is_told_the_name_that_was_given),
        TEST(a_scheme_without_a_layer_ignores_it),
        TEST(a_layer_that_cannot_be_made_is_a_failure),
        TEST(a_dial_can_be_cancelled_at_any_moment_and_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
