/* SPDX-License-Identifier: MIT */
/* A full close by the application becomes a full close of the target's connection: the gateway does
 * not keep it half-open for as long as the target likes. */

#include "support_relay.h"

#define APP world.app[0]
#define FAR world.far[0]

/* Is the far end's data answered by a reset, because its peer is fully closed? */
static bool far_is_answered_by_reset(void) {
    char byte = 'x';
    turns(3);
    return send(FAR, &byte, 1, MSG_NOSIGNAL) < 0 && (errno == EPIPE || errno == ECONNRESET);
}

static void a_target_that_stays_open_is_closed_when_the_application_has_closed(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    say(APP, "bye");
    expect(FAR, "bye");
    close_now(&APP);
    expect_end(FAR, 0);
    until(world.near[0].ended && world.distant[0].ended);
    assert_int_equal(world.distant[0].reason, RELAY_DONE);
    until(far_is_answered_by_reset());
}

static void the_applications_data_arrives_before_the_close(void **state) {
    (void)state;
    char data[100000] = {0};
    size_t got = 0;
    int small = 2048, large = 1 << 20;
    open_pair(0);
    greet_both();
    setsockopt(FAR, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(send(APP, data, sizeof data, 0), sizeof data);
    close_now(&APP);
    turns(50);
    setsockopt(FAR, SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
    for (ssize_t n = -EAGAIN; n != 0;) {
        until((n = take(FAR, data, sizeof data)) != -EAGAIN);
        assert_true(n >= 0);
        got += (size_t)n;
    }
    assert_int_equal(got, sizeof data);
    until(world.distant[0].ended);
    assert_int_equal(world.distant[0].reason, RELAY_DONE);
}

static void a_half_close_is_no_close(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    world.distant[0].relay.half_closed_us = 1000; /* for plain peers: this one would say it */
    shutdown(APP, SHUT_WR);
    expect_end(FAR, 0);
    usleep(20000);
    turns(20);
    assert_false(world.distant[0].ended);
    say(FAR, "late");
    expect(APP, "late");
}

static void reset_far(void) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(FAR, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close_now(&FAR);
}

static void a_target_that_resets_what_was_to_precede_the_close_ends_in_a_reset(void **state) {
    struct relay *distant = &world.distant[0].relay;
    (void)state;
    open_pair(0);
    greet_both();
    send_until_kept(APP, distant);
    close_now(&APP);
    until(distant->peer_closed);
    assert_false(kept_queue_is_empty(&distant->kept));
    reset_far();
    until(world.distant[0].ended);
    assert_int_equal(world.distant[0].reason, RELAY_SOCKET_RESET);
    assert_int_equal(world.distant[0].error, -ECONNRESET);
}

/* ---- Plain peers ---- */

static void a_plain_peers_half_close_ends_with_a_silent_target(void **state) {
    (void)state;
    open_pair(0);
    world.distant[0].relay.half_closed_us = 20000;
    shutdown(APP, SHUT_WR);
    expect_end(FAR, 0);
    until(world.distant[0].ended);
    assert_int_equal(world.distant[0].reason, RELAY_DONE);
}

/* Regression: once a write to the target had failed, the end of file was ignored. What the target
 * had said waited for a window that a plain client never opens again, as long as the session
 * lasted. */
static void a_plain_peers_half_close_ends_with_a_target_that_has_reset(void **state) {
    static char data[1 << 20];
    struct relay *distant = &world.distant[0].relay;
    (void)state;
    open_pair(0);
    distant->half_closed_us = 20000;
    while (distant->loan_len < RELAY_LOAN_MAX || smux_stream_window_room(distant->stream) > 0) {
        send(FAR, data, sizeof data, MSG_DONTWAIT);
        turns(1);
        world.reactor.small_us = 0; /* small messages would keep the loans small */
        distant->watch.fn(&distant->watch, EPOLLIN);
    }
    reset_far();
    say(APP, "lost");
    until(distant->error);
    shutdown(APP, SHUT_WR);
    until(world.distant[0].ended);
    assert_int_equal(world.distant[0].reason, RELAY_SOCKET_RESET);
}

static void a_target_that_speaks_is_not_silent(void **state) {
    (void)state;
    open_pair(0);
    world.distant[0].relay.half_closed_us = 200000;
    shutdown(APP, SHUT_WR);
    expect_end(FAR, 0);
    for (int i = 0; i < 8; i++) {
        usleep(50000);
        say(FAR, "more");
        expect(APP, "more");
    }
    assert_false(world.distant[0].ended);
}

static void a_timeout_of_zero_waits_for_ever(void **state) {
    (void)state;
    open_pair(0);
    shutdown(APP, SHUT_WR);
    expect_end(FAR, 0);
    usleep(20000);
    turns(20);
    assert_false(world.distant[0].ended);
}

static int setup_plain_world(void **state) {
    world.plain_client = true;
    return setup_world(state);
}

static int setup_plain_world_of_small_windows(void **state) {
    world.small_window = 65536;
    return setup_plain_world(state);
}

#define CLOSED_TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, teardown_world)
#define PLAIN_TEST(f)  cmocka_unit_test_setup_teardown(f, setup_plain_world, teardown_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        CLOSED_TEST(a_target_that_stays_open_is_closed_when_the_application_has_closed),
        CLOSED_TEST(the_applications_data_arrives_before_the_close),
        CLOSED_TEST(a_half_close_is_no_close),
        CLOSED_TEST(a_target_that_resets_what_was_to_precede_the_close_ends_in_a_reset),
        PLAIN_TEST(a_plain_peers_half_close_ends_with_a_silent_target),
        cmocka_unit_test_setup_teardown(a_plain_peers_half_close_ends_with_a_target_that_has_reset,
                                        setup_plain_world_of_small_windows, teardown_world),
        PLAIN_TEST(a_target_that_speaks_is_not_silent),
        PLAIN_TEST(a_timeout_of_zero_waits_for_ever),
    };
    return run_over_carriers(tests, 2);
}
