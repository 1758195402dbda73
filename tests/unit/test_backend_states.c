/* SPDX-License-Identifier: MIT */
/* Every event in every state of a gateway's address, and which address the next session goes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "helper/client/backends.h"
#include "helper/net/state_table.h"

#define SECOND_US 1000000u

static struct config_gateway config = {
    .connections = 1, .retry_min_ms = 100, .retry_max_ms = 400, .answer_timeout_ms = 500};
static struct backends all;

static struct backend_place place_of(int last, uint16_t priority, uint16_t weight) {
    struct backend_place place = {.priority = priority, .weight = weight};
    place.address.port = 7443;
    snprintf(place.address.host, sizeof place.address.host, "192.0.2.%d", last);
    return place;
}

static struct backend *find(int last) {
    struct backend_place place = place_of(last, 0, 0);
    list_for_each(member, &all.all)
        if (strcmp(backend_of(member)->place.address.host, place.address.host) == 0)
            return backend_of(member);
    return NULL;
}

/* The source has the addresses from 192.0.2.1 to 192.0.2.`count`, all of one priority. */
static void have(int count) {
    struct backend_place places[64];
    for (int i = 0; i < count; i++)
        places[i] = place_of(i + 1, 0, 1);
    backends_take(&all, 0, places, count);
}

static int setup(void **state) {
    (void)state;
    state_wrong_moves = 0;
    config.balance = CONFIG_FIRST;
    config.connections = 1;
    backends_init(&all);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    backends_fini(&all);
    assert_int_equal(state_wrong_moves, 0);
    return 0;
}

/* ---- Every event in every state ---- */

static void succeeds(void) {
    backend_succeeded(find(1));
}

static void fails(void) {
    backend_failed(find(1), "why", 10 * SECOND_US, 10 * SECOND_US, &config);
}

static void lasts(void) {
    backend_lasted(find(1));
}

static void vanishes(void) {
    backends_take(&all, 0, NULL, 0);
}

static void is_listed_again(void) {
    have(1);
}

static void (*const events[])(void) = {succeeds, fails, lasts, vanishes, is_listed_again};
#define EVENTS (sizeof events / sizeof *events)

/* The states that follow, in the order of the events. */
static const uint8_t expected[][EVENTS] = {
    [BACKEND_UNTRIED] = {BACKEND_UP, BACKEND_FAILED, BACKEND_UNTRIED, BACKEND_GONE,
                         BACKEND_UNTRIED},
    [BACKEND_UP] = {BACKEND_UP, BACKEND_FAILED, BACKEND_UP, BACKEND_GONE, BACKEND_UP},
    [BACKEND_FAILED] = {BACKEND_UP, BACKEND_FAILED, BACKEND_FAILED, BACKEND_GONE, BACKEND_FAILED},
    [BACKEND_GONE] = {BACKEND_GONE, BACKEND_GONE, BACKEND_GONE, BACKEND_GONE, BACKEND_UNTRIED},
};

static void enter(unsigned state) {
    have(1);
    backend_use(find(1)); /* it stays when it is gone */
    if (state == BACKEND_UP)
        succeeds();
    if (state == BACKEND_FAILED)
        fails();
    if (state == BACKEND_GONE)
        vanishes();
    assert_int_equal(find(1)->state, state);
}

static void every_event_in_every_state(void **unused) {
    (void)unused;
    for (unsigned state = 0; state <= BACKEND_GONE; state++)
        for (unsigned event = 0; event < EVENTS; event++) {
            enter(state);
            events[event]();
            assert_int_equal(find(1)->state, expected[state][event]);
            assert_int_equal(all.listed, find(1)->state != BACKEND_GONE);
            vanishes();
            backend_release(find(1));
            assert_null(find(1));
        }
}

/* ---- Pauses ---- */

static void pauses_double_up_to_a_bound_and_are_shortened_by_at_most_half(void **unused) {
    static const uint32_t pauses_ms[] = {100, 200, 400, 400, 400};
    uint64_t now_us = SECOND_US;
    (void)unused;
    have(1);
    for (unsigned i = 0; i < 5; i++) {
        backend_failed(find(1), "why", now_us, now_us, &config);
        assert_int_equal(find(1)->failures, i + 1);
        assert_in_range(find(1)->retry_us - now_us, pauses_ms[i] * 500, pauses_ms[i] * 1000);
        assert_false(backend_is_available(find(1), find(1)->retry_us - 1));
        assert_true(backend_is_available(find(1), find(1)->retry_us));
        now_us = find(1)->retry_us;
    }
    backend_succeeded(find(1));
    assert_int_equal(find(1)->failures, 0);
    backend_failed(find(1), "soon again", now_us, now_us, &config);
    assert_int_equal(find(1)->pause_ms, 400);
    backend_lasted(find(1));
    backend_failed(find(1), "after a long time", now_us, now_us, &config);
    assert_int_equal(find(1)->pause_ms, 100);
    assert_int_equal(find(1)->failures_total, 7);
}

static void what_began_before_a_failure_does_not_fail_once_more(void **unused) {
    (void)unused;
    have(1);
    backend_failed(find(1), "first of four sessions", 1, SECOND_US, &config);
    backend_failed(find(1), "second of four sessions", 2, SECOND_US, &config);
    assert_int_equal(find(1)->failures_total, 1);
    assert_string_equal(find(1)->error, "second of four sessions");
}

/* ---- Which one next ---- */

/* Returns the answer; the last numbers of those picked are in `got`, as "1 2 3". */
static char got[100];

static enum backends_answer pick(uint64_t now_us, unsigned paused, bool eager) {
    struct backend *picked[16];
    uint64_t due_us;
    int count;
    enum backends_answer answer =
        backends_pick(&all, &config, now_us, paused, eager, picked, 16, &count, &due_us);
    got[0] = '\0';
    for (int i = 0; i < count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "",
                 strrchr(picked[i]->place.address.host, '.') + 1);
    assert_int_equal(answer == BACKENDS_SOME, count > 0);
    if (answer == BACKENDS_LATER)
        assert_true(due_us > now_us && due_us < UINT64_MAX);
    return answer;
}

static void fail_one(int last, uint64_t now_us) {
    backend_failed(find(last), "why", now_us, now_us, &config);
}

static void first_takes_them_in_order_without_those_that_are_left_out(void **unused) {
    (void)unused;
    have(3);
    assert_int_equal(pick(0, 0, false), BACKENDS_SOME);
    assert_string_equal(got, "1 2 3");
    fail_one(1, SECOND_US);
    assert_int_equal(pick(SECOND_US, 0, false), BACKENDS_SOME);
    assert_string_equal(got, "2 3");
    fail_one(2, SECOND_US);
    fail_one(3, SECOND_US);
    assert_int_equal(pick(SECOND_US, 0, false), BACKENDS_LATER);
    assert_int_equal(pick(SECOND_US, 0, true), BACKENDS_SOME);
    assert_string_equal(got, "1 2 3");
    assert_int_equal(pick(2 * SECOND_US, 0, false), BACKENDS_SOME);
    assert_string_equal(got, "1 2 3");
}

static void others_give_each_as_many_as_connections_says(void **unused) {
    (void)unused;
    config.balance = CONFIG_LEAST_STREAMS;
    config.connections = 2;
    have(2);
    assert_int_equal(pick(0, 0, false), BACKENDS_SOME);
    assert_string_equal(got, "1");
    find(1)->links = 1;
    pick(0, 0, false);
    assert_string_equal(got, "2");
    find(1)->links = find(2)->links = 2;
    assert_int_equal(pick(0, 0, false), BACKENDS_ENOUGH);
    find(1)->links = 0;
    fail_one(1, SECOND_US);
    assert_int_equal(pick(SECOND_US, 0, false), BACKENDS_LATER);
    assert_int_equal(pick(SECOND_US, 2, false), BACKENDS_ENOUGH); /* two links wait already */
    assert_int_equal(pick(2 * SECOND_US, 1, false), BACKENDS_SOME);
    assert_string_equal(got, "1");
}

static void a_higher_priority_number_is_used_only_if_all_lower_ones_have_failed(void **unused) {
    struct backend_place places[] = {place_of(1, 5, 1), place_of(2, 0, 1), place_of(3, 0, 1)};
    (void)unused;
    config.balance = CONFIG_RANDOM;
    backends_take(&all, 0, places, 3);
    find(2)->links = 1;
    pick(0, 0, false);
    assert_string_equal(got, "3");
    find(3)->links = 1;
    assert_int_equal(pick(0, 0, false), BACKENDS_ENOUGH);
    find(2)->links = find(3)->links = 0;
    fail_one(2, SECOND_US);
    fail_one(3, SECOND_US);
    pick(SECOND_US, 2, false);
    assert_string_equal(got, "1");
    backend_succeeded(find(1));
    assert_false(backends_outranked(&all, &config, find(1)));
    backend_succeeded(find(3));
    assert_true(backends_outranked(&all, &config, find(1)));
    assert_false(backends_outranked(&all, &config, find(3)));
}

static void more_than_the_bound_are_left_out_and_those_that_are_gone_make_room(void **unused) {
    struct backend_place other[16];
    (void)unused;
    have(60);
    assert_int_equal(all.listed, BACKENDS_OF_SOURCE_MAX);
    for (uint8_t source = 1; source < 4; source++) {
        for (int i = 0; i < 16; i++) {
            other[i] = place_of(100 + i, 0, 1);
            other[i].source = source;
        }
        backends_take(&all, source, other, 16);
    }
    assert_int_equal(all.listed, BACKENDS_MAX);
    assert_true(backends_take(&all, 1, NULL, 0));
    backends_take(&all, 3, other, 16);
    assert_int_equal(all.listed, BACKENDS_MAX);
}

static void what_stays_keeps_its_state_and_a_duplicate_counts_once(void **unused) {
    struct backend_place places[] = {place_of(2, 0, 1), place_of(2, 0, 1), place_of(1, 0, 1)};
    (void)unused;
    have(2);
    backend_succeeded(find(2));
    assert_false(backends_take(&all, 0, places, 3));
    assert_int_equal(all.listed, 2);
    assert_int_equal(find(2)->state, BACKEND_UP);
    pick(0, 0, false);
    assert_string_equal(got, "2 1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_event_in_every_state),
        TEST(pauses_double_up_to_a_bound_and_are_shortened_by_at_most_half),
        TEST(what_began_before_a_failure_does_not_fail_once_more),
        TEST(first_takes_them_in_order_without_those_that_are_left_out),
        TEST(others_give_each_as_many_as_connections_says),
        TEST(a_higher_priority_number_is_used_only_if_all_lower_ones_have_failed),
        TEST(more_than_the_bound_are_left_out_and_those_that_are_gone_make_room),
        TEST(what_stays_keeps_its_state_and_a_duplicate_counts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
