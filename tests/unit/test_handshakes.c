/* SPDX-License-Identifier: MIT */
/* Bounds of those who have not shown who they are: who gives way to whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "helper/carrier/handshakes.h"

#define MANY 5000

static struct handshakes bounds;

static struct waiting {
    struct handshake handshake;
    bool closed;
    const char *why;
} waiting[MANY];

static void give_way(struct handshake *handshake, const char *why) {
    struct waiting *w = container_of(handshake, struct waiting, handshake);
    w->closed = true;
    w->why = why;
    handshakes_leave(&bounds, handshake);
}

static int setup(void **state) {
    (void)state;
    handshakes_init(&bounds);
    memset(waiting, 0, sizeof waiting);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < MANY; i++)
        handshakes_leave(&bounds, &waiting[i].handshake);
    assert_int_equal(bounds.count, 0);
    for (unsigned i = 0; i < HANDSHAKES_BUCKETS; i++)
        assert_true(list_is_empty(&bounds.source[i]));
    return 0;
}

static struct endpoint v4(unsigned host) {
    return (struct endpoint){
        AF_INET, 1, 0, {10, (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host}};
}

static struct endpoint v6(uint8_t network, uint8_t host) {
    return (struct endpoint){
        AF_INET6, 1, 0, {0x20, 1, 0xd, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host}};
}

static void enter(int i, struct endpoint address, bool shared) {
    waiting[i].handshake.give_way = give_way;
    assert_int_equal(handshakes_enter(&bounds, &waiting[i].handshake, &address, shared), 0);
    assert_true(bounds.count <= bounds.max);
}

static int closed(void) {
    int count = 0;
    for (int i = 0; i < MANY; i++)
        count += waiting[i].closed;
    return count;
}

static void a_source_that_has_all_it_may_have_loses_its_own_oldest(void **state) {
    (void)state;
    handshakes_limit(&bounds, 100, 3);
    enter(0, v4(2), false);
    for (int i = 1; i <= 4; i++)
        enter(i, v4(1), false);
    assert_int_equal(closed(), 1);
    assert_true(waiting[1].closed);
    assert_non_null(strstr(waiting[1].why, "max-handshakes-per-source"));
    handshakes_leave(&bounds, &waiting[3].handshake);
    enter(5, v4(1), false);
    assert_int_equal(closed(), 1);
}

static void an_ipv6_network_of_64_bits_is_one_source_and_a_mapped_address_is_ipv4(void **state) {
    struct endpoint mapped = v4(7);
    (void)state;
    mapped = endpoint_as_family(&mapped, AF_INET6);
    handshakes_limit(&bounds, 100, 1);
    enter(0, v6(1, 1), false);
    enter(1, v6(2, 1), false);
    assert_int_equal(closed(), 0);
    enter(2, v6(1, 9), false);
    assert_true(waiting[0].closed);
    enter(3, v4(7), false);
    enter(4, mapped, false);
    assert_true(waiting[3].closed);
    assert_int_equal(closed(), 2);
}

static void where_there_are_too_many_the_source_with_most_gives_way(void **state) {
    (void)state;
    handshakes_limit(&bounds, 64, 50);
    enter(0, v4(1), false); /* an honest one */
    for (int i = 1; i < 1000; i++)
        enter(i, v4(100u + (unsigned)i % 20), false);
    assert_false(waiting[0].closed);
    assert_int_equal(closed(), 1000 - 64);
    assert_non_null(strstr(waiting[1].why, "(max-handshakes)"));
}

static void among_sources_with_equally_many_the_oldest_gives_way(void **state) {
    (void)state;
    handshakes_limit(&bounds, 64, 50);
    for (int i = 0; i < MANY; i++) {
        enter(i, v4(1000u + (unsigned)i), false);
        if (i >= 64)
            assert_true(waiting[i - 64].closed);
    }
    assert_int_equal(closed(), MANY - 64);
}

static void a_balancer_has_no_bound_but_that_of_all(void **state) {
    (void)state;
    handshakes_limit(&bounds, 10, 2);
    for (int i = 0; i < 9; i++)
        enter(i, v4(1), true);
    enter(9, v4(1), false); /* no balancer's, though it has its address */
    assert_int_equal(closed(), 0);
    enter(10, v4(3), false);
    assert_int_equal(closed(), 1);
    assert_true(waiting[0].closed);
}

static void a_lower_limit_holds_from_the_next_one_on(void **state) {
    (void)state;
    handshakes_limit(&bounds, 100, 100);
    for (int i = 0; i < 90; i++)
        enter(i, v4(1), false);
    handshakes_limit(&bounds, 8, 4);
    enter(90, v4(1), false);
    assert_int_equal(bounds.count, 4);
    enter(91, v4(2), false);
    assert_int_equal(bounds.count, 5);
    assert_false(waiting[90].closed);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_source_that_has_all_it_may_have_loses_its_own_oldest),
        TEST(an_ipv6_network_of_64_bits_is_one_source_and_a_mapped_address_is_ipv4),
        TEST(where_there_are_too_many_the_source_with_most_gives_way),
        TEST(among_sources_with_equally_many_the_oldest_gives_way),
        TEST(a_balancer_has_no_bound_but_that_of_all),
        TEST(a_lower_limit_holds_from_the_next_one_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
