/* SPDX-License-Identifier: MIT */
/* Ranges of synthetic addresses: what is accepted, what is in them, and in which order. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/name_range.h"

static struct endpoint address(const char *text) {
    struct endpoint ep = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(ep.family, text, ep.addr) != 1)
        fail_msg("%s", text);
    return ep;
}

static struct name_range range(const char *text) {
    struct name_range r;
    const char *why = name_range_parse(&r, strchr(text, ':') ? AF_INET6 : AF_INET, text);
    if (why)
        fail_msg("%s: %s", text, why);
    return r;
}

static void assert_holds(const char *network, const char *ip, bool expected) {
    struct name_range r = range(network);
    struct endpoint ep = address(ip);
    if (name_range_holds(&r, &ep) != expected)
        fail_msg("%s in %s: expected %d", ip, network, expected);
}

static void assert_refused(int family, const char *text, const char *why) {
    struct name_range r = range(family == AF_INET ? "10.0.0.0/8" : "fd00::/64"), before = r;
    const char *said = name_range_parse(&r, family, text);
    if (!said || !strstr(said, why))
        fail_msg("%s: expected \"%s\" in: %s", text, why, said ? said : "(accepted)");
    assert_memory_equal(&r, &before, sizeof r);
}

static void the_default_is_what_the_readme_says(void **state) {
    struct name_ranges ranges;
    char text[NAME_RANGES_TEXT_SIZE];
    (void)state;
    name_ranges_default(&ranges);
    assert_string_equal(name_ranges_text(&ranges, text, sizeof text),
                        "198.18.0.0/15,fd73:6d78:7368::/64");
    assert_int_equal(name_range_size(&ranges.v4), 131070);
}

static void an_address_is_inside_or_not(void **state) {
    (void)state;
    assert_holds("198.18.0.0/15", "198.18.0.0", true);
    assert_holds("198.18.0.0/15", "198.19.255.255", true);
    assert_holds("198.18.0.0/15", "198.17.255.255", false);
    assert_holds("198.18.0.0/15", "198.20.0.0", false);
    assert_holds("198.18.0.0/15", "::ffff:198.18.0.1", true);
    assert_holds("198.18.0.0/15", "fd73::1", false);
    assert_holds("fd73:6d78:7368::/64", "fd73:6d78:7368::1", true);
    assert_holds("fd73:6d78:7368::/64", "fd73:6d78:7368:1::1", false);
    assert_holds("fd00::/17", "fd00:7fff::", true);
    assert_holds("fd00::/17", "fd00:8000::", false);
    struct name_ranges both = {range("10.0.0.0/8"), range("fd00::/64")};
    struct endpoint none = {0};
    assert_false(name_ranges_hold(&both, &none));
}

static void numbers_and_addresses_belong_together(void **state) {
    static const char *const networks[] = {"10.7.0.0/28", "10.0.0.0/8", "fd00:0:0:7::/64",
                                           "fd00::8:0:0/112", "fd00::/16"};
    struct endpoint ep;
    uint64_t back;
    (void)state;
    for (size_t n = 0; n < sizeof networks / sizeof *networks; n++) {
        struct name_range r = range(networks[n]);
        uint64_t size = name_range_size(&r);
        uint64_t numbers[] = {0, 1, 2, 13, size - 2, size - 1};
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            assert_true(name_range_address(&r, numbers[i], &ep));
            assert_true(name_range_holds(&r, &ep));
            assert_true(name_range_number(&r, &ep, &back));
            assert_true(back == numbers[i]);
        }
        assert_false(name_range_address(&r, size, &ep));
        assert_false(name_range_address(&r, UINT64_MAX, &ep));
    }
}

static void the_ends_of_a_range_are_never_assigned(void **state) {
    struct name_range r = range("10.7.0.0/28");
    struct endpoint first = address("10.7.0.0"), last = address("10.7.0.15");
    struct endpoint second = address("10.7.0.1"), ep;
    uint64_t number;
    (void)state;
    assert_int_equal(name_range_size(&r), 14);
    assert_false(name_range_number(&r, &first, &number));
    assert_false(name_range_number(&r, &last, &number));
    assert_true(name_range_address(&r, 0, &ep));
    assert_memory_equal(&ep, &second, sizeof ep);
}

static void invalid_ranges_are_refused_with_what_was_expected(void **state) {
    (void)state;
    assert_refused(AF_INET, "", "an IPv4 network");
    assert_refused(AF_INET, "198.18.0.0", "an IPv4 network");
    assert_refused(AF_INET, "fd00::/64", "an IPv4 network");
    assert_refused(AF_INET6, "10.0.0.0/8", "an IPv6 network");
    assert_refused(AF_INET, "198.18.0/15", "an IPv4 network");
    assert_refused(AF_INET, "198.18.0.0/", "prefix length from 8 to 28");
    assert_refused(AF_INET, "198.18.0.0/15x", "prefix length from 8 to 28");
    assert_refused(AF_INET, "198.18.0.0/-15", "prefix length from 8 to 28");
    assert_refused(AF_INET, "198.18.0.0/29", "prefix length from 8 to 28");
    assert_refused(AF_INET, "0.0.0.0/0", "prefix length from 8 to 28");
    assert_refused(AF_INET, "10.0.0.0/99999999999999999999", "prefix length from 8 to 28");
    assert_refused(AF_INET6, "fd00::/113", "prefix length from 16 to 112");
    assert_refused(AF_INET6, "fd00::/15", "prefix length from 16 to 112");
    assert_refused(AF_INET, "198.18.0.1/15", "without bits set after");
    assert_refused(AF_INET6, "fd00::1/64", "without bits set after");
    assert_refused(AF_INET, "127.1.0.0/16", "loopback");
    assert_refused(AF_INET, "169.254.0.0/16", "link-local");
    assert_refused(AF_INET, "168.0.0.0/6", "prefix length");
    assert_refused(AF_INET, "224.0.0.0/8", "multicast");
    assert_refused(AF_INET, "0.0.0.0/8", "unspecified");
    assert_refused(AF_INET, "255.255.255.0/24", "multicast");
    assert_refused(AF_INET6, "::/64", "loopback");
    assert_refused(AF_INET6, "::ffff:0:0/96", "loopback");
    assert_refused(AF_INET6, "fe80::/64", "link-local");
    assert_refused(AF_INET6, "ff02::/64", "multicast");
}

static void the_text_form_names_each_family_once_at_most(void **state) {
    struct name_ranges ranges;
    char text[NAME_RANGES_TEXT_SIZE];
    (void)state;
    name_ranges_default(&ranges);
    assert_null(name_ranges_parse(&ranges, " 10.9.0.0/16 "));
    assert_string_equal(name_ranges_text(&ranges, text, sizeof text),
                        "10.9.0.0/16,fd73:6d78:7368::/64");
    assert_null(name_ranges_parse(&ranges, "fd01::/64,\t10.8.0.0/16"));
    assert_string_equal(name_ranges_text(&ranges, text, sizeof text), "10.8.0.0/16,fd01::/64");
    assert_non_null(name_ranges_parse(&ranges, "10.1.0.0/16,10.2.0.0/16"));
    assert_non_null(name_ranges_parse(&ranges, "fd01::/64 fd02::/64"));
    assert_non_null(name_ranges_parse(&ranges, "10.1.0.0/16,nonsense"));
    assert_non_null(
        name_ranges_parse(&ranges, "1111111111111111111111111111111111111111111111111111111"));
    assert_string_equal(name_ranges_text(&ranges, text, sizeof text), "10.8.0.0/16,fd01::/64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_what_the_readme_says),
        cmocka_unit_test(an_address_is_inside_or_not),
        cmocka_unit_test(numbers_and_addresses_belong_together),
        cmocka_unit_test(the_ends_of_a_range_are_never_assigned),
        cmocka_unit_test(invalid_ranges_are_refused_with_what_was_expected),
        cmocka_unit_test(the_text_form_names_each_family_once_at_most),
    };
    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
