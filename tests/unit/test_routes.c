/* SPDX-License-Identifier: MIT */
/* Routes: destination lists, matching, invalid lists, and the text form. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/routes.h"

static struct route_list list;

static void parse(const char *text) {
    struct route_error error;
    if (!route_list_parse(&list, text, &error))
        fail_msg("%s: %s", text, error.text);
}

static struct endpoint endpoint(const char *text, uint16_t port) {
    struct endpoint ep = {.port = port};
    ep.family = strchr(text, ':') ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(ep.family, text, ep.addr), 1);
    return ep;
}

/* The name of the route, or "-". */
static const char *match(const char *address, uint16_t port, const char *name) {
    struct endpoint ep = endpoint(address, port);
    const struct route *route = route_list_match(&list, &ep, name);
    return route ? route->name : "-";
}

static void networks(void **state) {
    (void)state;
    parse("10.0.0.0/8:5432 name=net; 192.0.2.7 name=one; [2001:db8::/33] name=six; [::1]:80 "
          "name=loop;"
          "172.16.0.0/12:10-20 name=range; 0.0.0.0/0:9 name=all4");
    assert_string_equal(match("10.255.0.1", 5432, NULL), "net");
    assert_string_equal(match("10.255.0.1", 5433, NULL), "-");
    assert_string_equal(match("11.0.0.1", 5432, NULL), "-");
    assert_string_equal(match("192.0.2.7", 1, NULL), "one");
    assert_string_equal(match("192.0.2.6", 1, NULL), "-");
    assert_string_equal(match("2001:db8:7fff::1", 65535, NULL), "six");
    assert_string_equal(match("2001:db8:8000::1", 65535, NULL), "-");
    assert_string_equal(match("::1", 80, NULL), "loop");
    assert_string_equal(match("::1", 81, NULL), "-");
    assert_string_equal(match("172.31.255.255", 10, NULL), "range");
    assert_string_equal(match("172.31.255.255", 20, NULL), "range");
    assert_string_equal(match("172.31.255.255", 21, NULL), "-");
    assert_string_equal(match("172.32.0.0", 15, NULL), "-");
    assert_string_equal(match("8.8.8.8", 9, NULL), "all4");
    assert_string_equal(match("2001:db8:8000::1", 9, NULL), "-");
}

static void v4_mapped_is_the_same_as_v4(void **state) {
    (void)state;
    parse("10.0.0.0/8 name=net; [::/0] name=six");
    assert_string_equal(match("::ffff:10.1.2.3", 80, NULL), "net");
    assert_string_equal(match("::ffff:11.1.2.3", 80, NULL), "-");
    assert_string_equal(match("2001:db8::1", 80, NULL), "six");
}

/* Addresses with a machine-local meaning do not match `*` or wider networks. */
static void addresses_of_links_and_groups_are_not_routed(void **state) {
    (void)state;
    parse("*.local name=name; [::/0] name=six; 0.0.0.0/0 name=four; * name=any");
    assert_string_equal(match("fe80::1", 80, NULL), "-");
    assert_string_equal(match("febf:ffff::1", 80, NULL), "-");
    assert_string_equal(match("ff02::1", 80, NULL), "-");
    assert_string_equal(match("224.0.0.1", 80, NULL), "-");
    assert_string_equal(match("239.255.255.255", 80, NULL), "-");
    assert_string_equal(match("255.255.255.255", 80, NULL), "-");
    assert_string_equal(match("::ffff:224.0.0.1", 80, NULL), "-");
    assert_string_equal(match("169.254.169.254", 80, NULL), "-");
    assert_string_equal(match("fe80::1", 80, "host.local"), "name");
    assert_string_equal(match("fe80::1", 80, "host.example"), "-");
    assert_string_equal(match("fec0::1", 80, NULL), "six");
    assert_string_equal(match("fe7f::1", 80, NULL), "six");
    assert_string_equal(match("223.255.255.255", 80, NULL), "four");
    assert_string_equal(match("240.0.0.1", 80, NULL), "four");
    assert_string_equal(match("255.255.255.254", 80, NULL), "four");
    assert_string_equal(match("169.253.0.1", 80, NULL), "four");
    parse("169.254.0.0/15 name=wide; 169.254.169.254:80 name=one; 169.254.0.0/16:81 name=all; * "
          "name=any");
    assert_string_equal(match("169.254.169.254", 80, NULL), "one");
    assert_string_equal(match("169.254.1.1", 80, NULL), "-");
    assert_string_equal(match("169.254.1.1", 81, NULL), "all");
    assert_string_equal(match("::ffff:169.254.1.1", 81, NULL), "all");
    assert_string_equal(match("169.255.1.1", 81, NULL), "wide");
    parse(
        "[::/0] name=six; [fd00::/8]:80 name=wide; [fd00:ec2::254]:80 name=one; [fd00:ec2::/32]:81 "
        "name=all; [fd20:ce::254]:80 name=other; * name=any");
    assert_string_equal(match("fd00:ec2::254", 80, NULL), "one");
    assert_string_equal(match("fd00:ec2::253", 80, NULL), "-");
    assert_string_equal(match("fd00:ec2::253", 81, NULL), "all");
    assert_string_equal(match("fd00:ec3::254", 80, NULL), "six");
    assert_string_equal(match("fd20:ce::254", 80, NULL), "other");
    assert_string_equal(match("fd20:ce::253", 80, NULL), "-");
}

static void assert_listed(const char *address, bool listed) {
    struct endpoint dest = endpoint(address, 80);
    assert_int_equal(route_list_match_network(&list, &dest) != NULL, listed);
}

static void a_list_with_everything_is_no_list_of_networks(void **state) {
    (void)state;
    parse("*, 0.0.0.0/0, [::/0], *.internal, 10.0.0.0/8:80, 192.0.2.1:81, [2001:db8::1]");
    assert_listed("10.1.2.3", true);
    assert_listed("::ffff:10.1.2.3", true);
    assert_listed("192.0.2.1", false);
    assert_listed("2001:db8::1", true);
    assert_listed("2001:db8::2", false);
}

static void names(void **state) {
    (void)state;
    parse("db.internal:5432 name=exact; *.Db.Internal:3306-3310 name=wild; *:1 name=any");
    assert_string_equal(match("10.0.0.1", 5432, "DB.internal"), "exact");
    assert_string_equal(match("10.0.0.1", 5432, "db.internal."), "exact");
    assert_string_equal(match("10.0.0.1", 5432, "x.db.internal"), "-");
    assert_string_equal(match("10.0.0.1", 3306, "a.b.db.internal"), "wild");
    assert_string_equal(match("10.0.0.1", 3306, "db.internal"), "-");
    assert_string_equal(match("10.0.0.1", 3306, "xdb.internal"), "-");
    assert_string_equal(match("10.0.0.1", 3306, NULL), "-");
    assert_string_equal(match("10.0.0.1", 1, NULL), "any");
    assert_true(route_list_watches_name(&list, "db.internal"));
    assert_true(route_list_watches_name(&list, "a.db.internal"));
    assert_false(route_list_watches_name(&list, "internal"));
}

static void what_can_happen_to_a_name_is_known_before_its_addresses(void **state) {
    (void)state;
    parse("*.db.internal:3306-3310, 10.0.0.0/8:5432, [2001:db8::/32]:5433, one.example");
    assert_int_equal(route_list_name_chance(&list, "a.db.internal", 3306), ROUTE_NAME_COVERED);
    assert_int_equal(route_list_name_chance(&list, "A.DB.internal.", 3310), ROUTE_NAME_COVERED);
    assert_int_equal(route_list_name_chance(&list, "a.db.internal", 3311), ROUTE_NAME_NEVER);
    assert_int_equal(route_list_name_chance(&list, "a.db.internal", 5432), ROUTE_NAME_BY_ADDRESS);
    assert_int_equal(route_list_name_chance(&list, "db.internal", 3306), ROUTE_NAME_NEVER);
    assert_int_equal(route_list_name_chance(&list, "db.internal", 5433), ROUTE_NAME_BY_ADDRESS);
    assert_int_equal(route_list_name_chance(&list, "one.example", 5433), ROUTE_NAME_COVERED);
    parse("*:80");
    assert_int_equal(route_list_name_chance(&list, "db.internal", 80), ROUTE_NAME_COVERED);
    assert_int_equal(route_list_name_chance(&list, "db.internal", 81), ROUTE_NAME_NEVER);
}

static void the_first_match_wins(void **state) {
    (void)state;
    parse("10.1.0.0/16 name=first; 10.0.0.0/8 name=second; * name=last");
    assert_string_equal(match("10.1.2.3", 1, NULL), "first");
    assert_string_equal(match("10.2.2.3", 1, NULL), "second");
    assert_string_equal(match("::1", 1, NULL), "last");
}

static void settings_and_defaults(void **state) {
    (void)state;
    parse("10.0.0.1; gateway=far 10.0.0.2,10.0.0.3 connect=eager connect-timeout=250ms "
          "on-failure=direct "
          "handshake=none name=second");
    assert_int_equal(list.n_routes, 2);
    assert_string_equal(list.route[0].name, "route1");
    assert_string_equal(list.route[0].gateway, "main");
    assert_int_equal(list.route[0].connect, ROUTE_CONFIRM);
    assert_int_equal(list.route[0].connect_timeout_ms, 10000);
    assert_string_equal(list.route[1].gateway, "far");
    assert_int_equal(list.route[1].connect, ROUTE_EAGER);
    assert_int_equal(list.route[1].on_failure, ROUTE_DIRECT);
    assert_int_equal(list.route[1].handshake, ROUTE_PLAIN);
    assert_int_equal(list.route[1].connect_timeout_ms, 250);
}

static void the_text_form_round_trips(void **state) {
    static struct route_list again;
    static char text[65536];
    struct route_error error;
    (void)state;
    parse("10.0.0.0/8:5432, *.db.internal:3306-3310 [2001:db8::/32]:* name=a gateway=g1 "
          "connect=eager;"
          "*:80 name=b connect-timeout=90s on-failure=direct; [::1], h.x:1 handshake=none");
    size_t len = route_list_format(&list, text, sizeof text);
    assert_int_equal(len, strlen(text));
    if (!route_list_parse(&again, text, &error))
        fail_msg("%s: %s", text, error.text);
    assert_memory_equal(&list, &again, sizeof list);
    /* With every buffer size the text is terminated, and the returned length is that of the
     * whole. */
    for (size_t size = 1; size <= len + 1; size++) {
        char *cut = malloc(size);
        assert_int_equal(route_list_format(&list, cut, size), len);
        assert_int_equal(strlen(cut), size - 1);
        free(cut);
    }
}

static void refused(const char *text, const char *why) {
    struct route_error error = {""};
    if (route_list_parse(&list, text, &error))
        fail_msg("accepted: %s", text);
    if (!strstr(error.text, why))
        fail_msg("%s: expected \"%s\" in: %s", text, why, error.text);
}

static void error_messages_say_what_was_expected(void **state) {
    (void)state;
    refused("", "at least one destination");
    refused(" ; ", "at least one destination");
    refused("name=x", "at least one destination");
    refused("10.0.0.1/8", "bits after /8");
    refused("10.0.0.0/33", "prefix length from 0 to 32");
    refused("10.0.0.0/", "prefix length");
    refused("10.0.0/8", "IPv4 address");
    refused("1.2.3.4.5", "IPv4 address");
    refused("::1", "in brackets");
    refused("[::1", "']'");
    refused("[::1]80", "':' after ']'");
    refused("[10.0.0.1]", "IPv6 address");
    refused("[::1/129]", "prefix length from 0 to 128");
    refused("10.0.0.1:", "a port");
    refused("10.0.0.1:http", "a port");
    refused("10.0.0.1:65536", "a port");
    refused("10.0.0.1:9-8", "a port");
    refused("10.0.0.1:-8", "a port");
    refused("a_b!c", "host name");
    refused("**.x", "host name");
    refused("[fe80::]/10", "never routed");
    refused("[fe80::]x/10", "':' after ']'");
    refused("[fe80::/10]", "never routed");
    refused("[fe80::1]:80", "never routed");
    refused("[ff02::/16]", "never routed");
    refused("224.0.0.0/4", "never routed");
    refused("224.0.0.1:80", "never routed");
    refused("255.255.255.255", "never routed");
    refused("10.0.0.1 connect=maybe", "confirm or eager");
    refused("10.0.0.1 on-failure=x", "refuse or direct");
    refused("10.0.0.1 connect-timeout=0", "a duration");
    refused("10.0.0.1 connect-timeout=10", "a duration");
    refused("10.0.0.1 gateway=", "gateway");
    refused("10.0.0.1 colour=red", "unknown key");
    refused("10.0.0.1 name=a; 10.0.0.2 name=a", "found a second");
    refused("10.0.0.1 name=a!", "route name");
}

static void limits_are_refused_not_overrun(void **state) {
    static char text[200000];
    struct route_error error;
    char *at = text;
    (void)state;
    for (int i = 0; i <= ROUTES_RULES_MAX; i++)
        at += sprintf(at, "10.0.%d.%d,", i / 256, i % 256);
    refused(text, "destinations in all routes");
    at = text;
    for (int i = 0; i <= ROUTES_MAX; i++)
        at += sprintf(at, "10.0.0.%d;", i % 256);
    refused(text, "routes");
    at = text;
    for (int i = 0; i < 200; i++)
        at += sprintf(at, "%0200d.x,", i);
    refused(text, "host names in all routes");
    memset(text, 'a', 1000);
    text[1000] = '\0';
    assert_false(route_list_parse(&list, text, &error));
    memcpy(text, "10.0.0.1 name=", 14);
    assert_false(route_list_parse(&list, text, &error));
}

static void a_list_of_destinations_alone(void **state) {
    struct route_error error;
    struct endpoint loopback = endpoint("127.0.0.1", 22);
    (void)state;
    assert_true(route_list_parse_destinations(&list, "127.0.0.1:22, *.x", &error));
    assert_non_null(route_list_match_rule(&list, &loopback, NULL));
    assert_false(route_list_parse_destinations(&list, " , ", &error));
}

/* Many people write the prefix length after the bracket. */
static void a_prefix_length_may_follow_the_bracket(void **state) {
    static const char *const same[][2] = {
        {"[::1]/128:*", "[::1/128]:*"},
        {"[2001:db8::]/32:80-90", "[2001:db8::/32]:80-90"},
        {"[2001:db8::]/32", "[2001:db8::/32]"},
        {"[::]/0:443", "[::/0]:443"},
    };
    char odd[2048], usual[2048];
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        parse(same[i][0]);
        route_list_format(&list, odd, sizeof odd);
        parse(same[i][1]);
        route_list_format(&list, usual, sizeof usual);
        assert_string_equal(odd, usual);
    }
    refused("[::1/128]/128:*", "one prefix length");
    refused("[::1/]/128", "one prefix length");
    refused("[::1]/129", "prefix length from 0 to 128");
    refused("[::1]/", "prefix length from 0 to 128");
    refused("[::1]/:80", "prefix length from 0 to 128");
    refused("[::1]/-1", "prefix length from 0 to 128");
    refused("[::1]/12x:80", "prefix length from 0 to 128");
    refused("[::1]/64:80", "a network, but bits after /64 are set");
    refused("[::1]/128:", "a port");
    refused("[::1]/128]:80", "prefix length from 0 to 128");
    refused("[10.0.0.0]/8:80", "IPv6 address");
    refused("[]/0", "IPv6 address");
    refused("10.0.0.0/8/8", "prefix length from 0 to 32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_length_may_follow_the_bracket),
        cmocka_unit_test(networks),
        cmocka_unit_test(v4_mapped_is_the_same_as_v4),
        cmocka_unit_test(addresses_of_links_and_groups_are_not_routed),
        cmocka_unit_test(names),
        cmocka_unit_test(a_list_with_everything_is_no_list_of_networks),
        cmocka_unit_test(what_can_happen_to_a_name_is_known_before_its_addresses),
        cmocka_unit_test(the_first_match_wins),
        cmocka_unit_test(settings_and_defaults),
        cmocka_unit_test(the_text_form_round_trips),
        cmocka_unit_test(error_messages_say_what_was_expected),
        cmocka_unit_test(limits_are_refused_not_overrun),
        cmocka_unit_test(a_list_of_destinations_alone),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
