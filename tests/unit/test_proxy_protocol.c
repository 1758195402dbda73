/* SPDX-License-Identifier: MIT */
/* The PROXY protocol (proxy_protocol.h) and who may speak it (networks.h): what is taken, byte by
 * byte and at the end of a page, what is refused, and that what is written is read as it was. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/net/networks.h"
#include "helper/net/proxy_protocol.h"

static struct proxy_header header;
static size_t used;
static const char *why;

/* Reads from memory that ends with the bytes, whatever it has to say before they are complete. */
static enum proxy_progress read_all(const void *bytes, size_t len) {
    enum proxy_progress progress = PROXY_MORE;
    for (size_t part = 0; part <= len && progress == PROXY_MORE; part++) {
        uint8_t *copy = malloc(part + (part == 0));
        assert_non_null(copy);
        memcpy(copy, bytes, part);
        why = NULL;
        progress = proxy_header_read(copy, part, &header, &used, &why);
        free(copy);
        assert_int_equal(progress == PROXY_BROKEN, why != NULL);
        if (progress == PROXY_DONE)
            assert_true(used <= part);
    }
    return progress;
}

static const char *from(void) {
    static char text[ENDPOINT_TEXT_SIZE];
    return header.source.family ? endpoint_text(&header.source, text, sizeof text) : "nobody";
}

static const char *to(void) {
    static char text[ENDPOINT_TEXT_SIZE];
    return header.destination.family ? endpoint_text(&header.destination, text, sizeof text)
                                     : "nobody";
}

/* ---- Version 1 ---- */

static void a_line_says_for_whom_it_is(void **state) {
    static const char *const lines[][3] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 1024 443\r\n", "192.0.2.1:1024", "198.51.100.2:443"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
         "255.255.255.255:65535"},
        {"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", "[2001:db8::1]:0", "[::1]:65535"},
        {"PROXY UNKNOWN\r\n", "nobody", "nobody"},
        {"PROXY UNKNOWN ffff:f...f:ffff 65535 what ever\r\n", "nobody", "nobody"}};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(read_all(lines[i][0], strlen(lines[i][0])), PROXY_DONE);
        assert_int_equal(used, strlen(lines[i][0]));
        assert_string_equal(from(), lines[i][1]);
        assert_string_equal(to(), lines[i][2]);
    }
}

static void a_bad_line_is_refused(void **state) {
    static const char *const lines[] = {
        "PROXY\r\n",
        "PROXY \r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rx",
        "PROXY TCP4 1.2.3.4\t1.2.3.4 1 1\r\n",
        "PROXY UNKNOWN \xff\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\x16\x03\x01",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (read_all(lines[i], strlen(lines[i])) != PROXY_BROKEN)
            fail_msg("taken: %s", lines[i]);
}

static void a_line_has_107_bytes_at_most(void **state) {
    char line[130];
    (void)state;
    for (size_t len = 100; len < 120; len++) {
        memset(line, '1', sizeof line);
        memcpy(line, "PROXY UNKNOWN ", 14);
        memcpy(line + len - 2, "\r\n", 2);
        assert_int_equal(read_all(line, len), len <= 107 ? PROXY_DONE : PROXY_BROKEN);
    }
}

/* ---- Version 2 ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2(command, family, len, rest)                                                             \
    { SIGNATURE command family len rest, sizeof SIGNATURE command family len rest - 1 }
#define TCP4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\x00\x01\xbb"
#define IPV6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"

struct bytes {
    const char *at;
    size_t len;
};

static void a_binary_header_says_for_whom_it_is(void **state) {
    static const struct {
        struct bytes bytes;
        const char *from, *to;
    } headers[] = {{V2("\x21", "\x11", "\0\x0c", TCP4), "192.0.2.1:1024", "198.51.100.2:443"},
                   {V2("\x21", "\x21", "\0\x24", IPV6 "\1" IPV6 "\2\0\1\0\2"), "[2001:db8::1]:1",
                    "[2001:db8::2]:2"},
                   {V2("\x21", "\x11", "\0\x14", TCP4 "\x04\0\0\x02\0\2ab"), "192.0.2.1:1024",
                    "198.51.100.2:443"},
                   {V2("\x21", "\0", "\0\0", ""), "nobody", "nobody"},
                   {V2("\x21", "\0", "\0\1", "x"), "nobody", "nobody"},
                   {V2("\x20", "\0", "\0\0", ""), "nobody", "nobody"},
                   {V2("\x20", "\x11", "\0\x0c", TCP4), "nobody", "nobody"}};
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        assert_int_equal(read_all(headers[i].bytes.at, headers[i].bytes.len), PROXY_DONE);
        assert_int_equal(used, headers[i].bytes.len);
        assert_string_equal(from(), headers[i].from);
        assert_string_equal(to(), headers[i].to);
    }
}

static void a_bad_binary_header_is_refused_as_soon_as_that_is_certain(void **state) {
    static const struct bytes headers[] = {
        V2("\x31", "\x11", "\0\x0c", TCP4),          /* another version */
        V2("\x22", "\x11", "\0\x0c", TCP4),          /* another command */
        V2("\x21", "\x12", "\0\x0c", TCP4),          /* of datagrams */
        V2("\x21", "\x41", "\0\x0c", TCP4),          /* another family */
        V2("\x21", "\x11", "\0\x0b", ""),            /* too short for its addresses */
        V2("\x21", "\x21", "\0\x23", ""),            /* the same */
        V2("\x21", "\x31", "\0\x0c", ""),            /* the same */
        V2("\x21", "\x11", "\2\x09", ""),            /* 537 bytes */
        V2("\x21", "\x11", "\xff\xff", ""),          /* more than that */
        V2("\x20", "\0", "\xff\xff", ""),            /* also where nothing is read of it */
        V2("\x21", "\x11", "\0\x0d", TCP4 "\0"),     /* ends within a TLV's head */
        V2("\x21", "\x11", "\0\x10", TCP4 "\1\0\2a") /* within a TLV */
    };
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (read_all(headers[i].at, headers[i].len) != PROXY_BROKEN)
            fail_msg("number %zu is taken", i);
}

static void what_comes_behind_a_header_is_not_looked_at(void **state) {
    static const char line[] = "PROXY TCP4 192.0.2.1 198.51.100.2 1024 443\r\nPROXY \0\xff";
    (void)state;
    assert_int_equal(proxy_header_read((const uint8_t *)line, sizeof line, &header, &used, &why),
                     PROXY_DONE);
    assert_int_equal(used, sizeof line - 9);
}

/* ---- Writing ---- */

static struct endpoint endpoint(const char *address, uint16_t port) {
    struct endpoint out = {.family = strchr(address, ':') ? AF_INET6 : AF_INET, .port = port};
    assert_int_equal(inet_pton(out.family, address, out.addr), 1);
    return out;
}

static void what_is_written_is_read_as_it_was(void **state) {
    static const struct {
        const char *from, *to, *read_from, *read_to;
    } pairs[] = {
        {"192.0.2.1", "198.51.100.2", "192.0.2.1:40000", "198.51.100.2:443"},
        {"2001:db8::1", "2001:db8::2", "[2001:db8::1]:40000", "[2001:db8::2]:443"},
        {"192.0.2.1", "2001:db8::2", "[::ffff:192.0.2.1]:40000", "[2001:db8::2]:443"},
        {"2001:db8::1", "198.51.100.2", "[2001:db8::1]:40000", "[::ffff:198.51.100.2]:443"},
        {NULL, "198.51.100.2", "nobody", "nobody"},
    };
    uint8_t out[PROXY_HEADER_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int version = PROXY_V1; version <= PROXY_V2; version++) {
            struct proxy_header said = {.destination = endpoint(pairs[i].to, 443),
                                        .client = "laptop",
                                        .identity = "psk:laptop"};
            if (pairs[i].from)
                said.source = endpoint(pairs[i].from, 40000);
            size_t len = proxy_header_write(out, version, &said);
            assert_int_equal(read_all(out, len), PROXY_DONE);
            assert_int_equal(used, len);
            assert_string_equal(from(), pairs[i].read_from);
            assert_string_equal(to(), pairs[i].read_to);
        }
}

static void a_client_is_told_by_tlvs_of_their_own(void **state) {
    static const char expected[] = SIGNATURE "\x21\x11\0\x1e" TCP4 "\xe0\0\3web\xe1\0\tpsk:web 1";
    const struct proxy_header said = {.source = endpoint("192.0.2.1", 1024),
                                      .destination = endpoint("198.51.100.2", 443),
                                      .client = "web",
                                      .identity = "psk:web 1"};
    uint8_t out[PROXY_HEADER_MAX];
    (void)state;
    assert_int_equal(proxy_header_write(out, PROXY_V2, &said), sizeof expected - 1);
    assert_memory_equal(out, expected, sizeof expected - 1);
}

static void no_client_makes_a_header_too_long(void **state) {
    uint8_t out[PROXY_HEADER_MAX];
    char text[600];
    (void)state;
    for (size_t len = 1; len < sizeof text; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        struct proxy_header said = {.source = endpoint("2001:db8::1", 1),
                                    .destination = endpoint("2001:db8::2", 2),
                                    .client = text,
                                    .identity = text};
        size_t written = proxy_header_write(out, PROXY_V2, &said);
        assert_true(written <= PROXY_HEADER_MAX);
        assert_int_equal(proxy_header_read(out, written, &header, &used, &why), PROXY_DONE);
    }
}

/* ---- Networks ---- */

static bool have(const struct networks *networks, const char *address) {
    struct endpoint wanted = endpoint(address, 1);
    return networks_have(networks, &wanted);
}

static void an_address_lies_in_a_network_or_not(void **state) {
    struct networks networks = {0};
    (void)state;
    assert_false(have(&networks, "10.0.0.1"));
    assert_null(networks_add(&networks, "10.128.0.0/9"));
    assert_null(networks_add(&networks, "192.0.2.1"));
    assert_null(networks_add(&networks, "2001:db8::/33"));
    assert_true(have(&networks, "10.128.0.0") && have(&networks, "10.255.255.255"));
    assert_true(have(&networks, "::ffff:10.200.0.1"));
    assert_false(have(&networks, "10.127.255.255") || have(&networks, "11.0.0.0"));
    assert_true(have(&networks, "192.0.2.1"));
    assert_false(have(&networks, "192.0.2.0") || have(&networks, "192.0.2.3"));
    assert_true(have(&networks, "2001:db8:7fff::1"));
    assert_false(have(&networks, "2001:db8:8000::1") || have(&networks, "a80::"));
    assert_null(networks_add(&networks, "::/0"));
    assert_true(have(&networks, "2001:db8:8000::1"));
    assert_false(have(&networks, "11.0.0.0"));
    assert_null(networks_add(&networks, "0.0.0.0/0"));
    assert_true(have(&networks, "11.0.0.0"));
}

static void what_is_no_network_is_refused(void **state) {
    static const char *const bad[] = {
        "",         "x",         "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",  "10.0.0.1/8",
        "10.0.0/8", "::1/64",    "::/129",      "[::1]",     "10.0.0.0/8/8", "::ffff:10.0.0.0/104",
        "/8",       "10.0.0.0:1"};
    struct networks networks = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!networks_add(&networks, bad[i]))
            fail_msg("taken: %s", bad[i]);
    for (int i = 0; i < NETWORKS_MAX; i++)
        assert_null(networks_add(&networks, "10.0.0.0/8"));
    assert_string_equal(networks_add(&networks, "10.0.0.0/8"), "at most 32 networks");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_for_whom_it_is),
        cmocka_unit_test(a_bad_line_is_refused),
        cmocka_unit_test(a_line_has_107_bytes_at_most),
        cmocka_unit_test(a_binary_header_says_for_whom_it_is),
        cmocka_unit_test(a_bad_binary_header_is_refused_as_soon_as_that_is_certain),
        cmocka_unit_test(what_comes_behind_a_header_is_not_looked_at),
        cmocka_unit_test(what_is_written_is_read_as_it_was),
        cmocka_unit_test(a_client_is_told_by_tlvs_of_their_own),
        cmocka_unit_test(no_client_makes_a_header_too_long),
        cmocka_unit_test(an_address_lies_in_a_network_or_not),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
