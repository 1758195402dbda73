/* SPDX-License-Identifier: MIT */
/* The SRV records of a name server's answer: what is true is read, and nothing else is believed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/net/dns_srv.h"

static uint8_t message[4096];
static size_t len;
static struct dns_srv records[DNS_SRV_MAX];
static uint32_t ttl_s;

static void put(const void *bytes, size_t n) {
    memcpy(message + len, bytes, n);
    len += n;
}

static void put16(unsigned number) {
    put((uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

/* An answer to the question for SRV records of "_s.x", with room for `answers` records. */
static void begin(unsigned answers) {
    len = 0;
    put("\x12\x34\x85\x80\0\1", 6);
    put16(answers);
    put("\0\0\0\0", 4);
    put("\2_s\1x\0\0\41\0\1", 10);
}

static void add(unsigned ttl, unsigned priority, unsigned weight, unsigned port, const char *target,
                size_t target_len) {
    put("\300\14\0\41\0\1\0\0", 8);
    put16(ttl);
    put16((unsigned)(6 + target_len));
    put16(priority);
    put16(weight);
    put16(port);
    put(target, target_len);
}
#define HOST(text) text, sizeof(text)

/* The message ends where memory that may be read ends, as far as sanitizers can tell. */
static int parse(size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, message, n);
    int count = dns_srv_parse(copy, n, records, &ttl_s);
    free(copy);
    return count;
}

static void records_come_in_the_order_of_priorities_with_the_shortest_time_to_live(void **unused) {
    (void)unused;
    begin(3);
    add(300, 10, 5, 7443, HOST("\2gw\1b"));
    add(60, 0, 0, 7444, HOST("\2gw\1a"));
    add(90, 10, 7, 7445, "\2gw\300\17", 5); /* the question's "x" */
    assert_int_equal(parse(len), 3);
    assert_int_equal(ttl_s, 60);
    assert_string_equal(records[0].target, "gw.a");
    assert_int_equal(records[0].port, 7444);
    assert_string_equal(records[1].target, "gw.b");
    assert_int_equal(records[1].weight, 5);
    assert_string_equal(records[2].target, "gw.x");
}

static void an_answer_that_is_cut_anywhere_is_broken(void **unused) {
    (void)unused;
    begin(2);
    add(300, 10, 5, 7443, HOST("\2gw\1b"));
    add(60, 0, 0, 7444, HOST("\2gw\1a"));
    for (size_t n = 0; n < len; n++)
        assert_int_equal(parse(n), -EBADMSG);
    assert_int_equal(parse(len), 2);
}

static void names_that_lead_in_a_circle_or_beyond_the_message_are_broken(void **unused) {
    static const char *const targets[] = {"\300\50", "\300\377", "\377\377", "\100x"};
    (void)unused;
    for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++) {
        begin(1);
        add(1, 0, 0, 1, targets[i], 2); /* its target is at 40, octal 50 */
        assert_int_equal(parse(len), -EBADMSG);
    }
}

static void a_target_that_is_no_host_or_says_that_there_is_none_is_left_out(void **unused) {
    (void)unused;
    begin(4);
    add(1, 0, 0, 1, "\0", 1);
    add(1, 0, 0, 0, HOST("\2gw\1a"));   /* port 0 */
    add(1, 0, 0, 1, HOST("\4a b/\1c")); /* no host name */
    add(1, 0, 0, 1, HOST("\2gw\1a"));
    assert_int_equal(parse(len), 1);
    assert_string_equal(records[0].target, "gw.a");
    begin(0);
    assert_int_equal(parse(len), 0);
}

static void of_a_hundred_those_with_the_lowest_priorities_are_kept(void **unused) {
    (void)unused;
    begin(100);
    for (unsigned i = 0; i < 100; i++)
        add(1, 100 - i, 0, 1 + i, HOST("\2gw\1a"));
    assert_int_equal(parse(len), DNS_SRV_MAX);
    for (unsigned i = 0; i < DNS_SRV_MAX; i++)
        assert_int_equal(records[i].priority, i + 1);
}

static void any_byte_may_be_changed(void **unused) {
    (void)unused;
    begin(2);
    add(300, 10, 5, 7443, HOST("\2gw\1b"));
    add(90, 10, 7, 7445, "\2gw\300\17", 5);
    for (size_t at = 0; at < len; at++)
        for (unsigned value = 0; value < 256; value++) {
            uint8_t before = message[at];
            message[at] = (uint8_t)value;
            int count = parse(len);
            assert_true(count == -EBADMSG || (count >= 0 && count <= 2));
            message[at] = before;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_the_order_of_priorities_with_the_shortest_time_to_live),
        cmocka_unit_test(an_answer_that_is_cut_anywhere_is_broken),
        cmocka_unit_test(names_that_lead_in_a_circle_or_beyond_the_message_are_broken),
        cmocka_unit_test(a_target_that_is_no_host_or_says_that_there_is_none_is_left_out),
        cmocka_unit_test(of_a_hundred_those_with_the_lowest_priorities_are_kept),
        cmocka_unit_test(any_byte_may_be_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
