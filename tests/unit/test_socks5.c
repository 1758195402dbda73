/* SPDX-License-Identifier: MIT */
/* SOCKS5 in helper and gateway: every split gives the same result, and every error its answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "helper/relay/socks5.h"

static struct socks5_destination ipv4(const char *bytes, uint16_t port) {
    struct socks5_destination d = {.address = {.family = AF_INET, .port = port}};
    memcpy(d.address.addr, bytes, 4);
    return d;
}

static struct socks5_destination ipv6(uint16_t port) {
    struct socks5_destination d = {.address = {.family = AF_INET6, .port = port}};
    memcpy(d.address.addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    return d;
}

static struct socks5_destination named(const char *name, uint16_t port) {
    struct socks5_destination d = {.address = {.port = port}, .name_len = (uint8_t)strlen(name)};
    strcpy(d.name, name);
    return d;
}

/* Feeds message[0..len) cut at `cut`, then a byte that belongs to the application. */
static enum socks5_progress feed_server(struct socks5_server *server, const uint8_t *message,
                                        size_t len, size_t cut) {
    size_t taken;
    socks5_server_init(server);
    enum socks5_progress progress = socks5_server_feed(server, message, cut, &taken);
    if (progress != SOCKS5_MORE)
        return progress;
    assert_int_equal(taken, cut);
    return socks5_server_feed(server, message + cut, len - cut, &taken);
}

static void assert_same_destination(const struct socks5_destination *a,
                                    const struct socks5_destination *b) {
    assert_int_equal(a->name_len, b->name_len);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->address.port, b->address.port);
    assert_int_equal(a->address.family, b->address.family);
    assert_memory_equal(a->address.addr, b->address.addr, 16);
}

static void check_request(struct socks5_destination destination) {
    uint8_t message[SOCKS5_REQUEST_MAX];
    size_t len = socks5_request_write(message, &destination);
    assert_true(len <= sizeof message);
    for (size_t cut = 0; cut <= len; cut++) {
        struct socks5_server server;
        assert_int_equal(feed_server(&server, message, len, cut), SOCKS5_DONE);
        assert_true(server.greeted);
        assert_same_destination(&server.destination, &destination);
    }
}

static void a_request_is_understood_at_every_split(void **state) {
    (void)state;
    check_request(ipv4("\x0a\x00\x00\x05", 5432));
    check_request(ipv6(65535));
    check_request(named("db.internal", 1));
    char longest[SOCKS5_NAME_MAX + 1];
    memset(longest, 'a', SOCKS5_NAME_MAX);
    longest[SOCKS5_NAME_MAX] = '\0';
    check_request(named(longest, 443));
}

/* The gateway gets the name, and the address that the program has chosen. */
static void a_name_and_the_address_chosen_of_it_arrive(void **state) {
    struct socks5_destination four = ipv4("\x0a\x00\xff\xe5", 5432), six = ipv6(65535), of;
    (void)state;
    of = named("db.internal", 5432);
    of.address = four.address;
    check_request(of);
    of.address = six.address;
    check_request(of);
    memset(of.address.addr, 0xee, 16);
    memset(of.name, 'a', SOCKS5_NAME_MAX);
    of.name_len = SOCKS5_NAME_MAX;
    check_request(of);
}

static void methods_that_encode_no_whole_address_are_skipped(void **state) {
    static const uint8_t message[] = {5, 4, 0xe7, 0, 0x80, 0xe1, 5, 1, 0, 3, 1, 'a', 0, 80};
    struct socks5_server server;
    struct socks5_destination expected = named("a", 80);
    (void)state;
    assert_int_equal(feed_server(&server, message, sizeof message, 3), SOCKS5_DONE);
    assert_same_destination(&server.destination, &expected);
}

static void bytes_after_the_request_are_not_consumed(void **state) {
    uint8_t message[SOCKS5_REQUEST_MAX + 5];
    struct socks5_server server;
    size_t taken;
    (void)state;
    struct socks5_destination d = ipv4("\x7f\x00\x00\x01", 80);
    size_t len = socks5_request_write(message, &d);
    memcpy(message + len, "hello", 5);
    socks5_server_init(&server);
    assert_int_equal(socks5_server_feed(&server, message, len + 5, &taken), SOCKS5_DONE);
    assert_int_equal(taken, len);
}

static void a_client_that_waits_after_the_greeting_is_answered(void **state) {
    struct socks5_server server;
    size_t taken;
    (void)state;
    socks5_server_init(&server);
    assert_int_equal(socks5_server_feed(&server, (const uint8_t *)"\x05\x02\x02\x00", 4, &taken),
                     SOCKS5_MORE);
    assert_true(server.greeted);
}

struct mistake {
    const char *bytes;
    size_t len;
    uint8_t reply;
};

static void errors_are_named_and_answered(void **state) {
    static const struct mistake mistakes[] = {
        {"\x04\x01", 2, 0},                     /* SOCKS 4 */
        {"GET / HTTP/1.0", 14, 0},              /* another protocol */
        {"\x05\x00", 2, 0},                     /* no method */
        {"\x05\x01\x02", 3, 0},                 /* only passwords */
        {"\x05\x01\x00\x04\x01\x00\x01", 7, 0}, /* request of another version */
        {"\x05\x01\x00\x05\x02\x00\x01", 7, SOCKS5_COMMAND_UNSUPPORTED}, /* BIND */
        {"\x05\x01\x00\x05\x03\x00\x01", 7, SOCKS5_COMMAND_UNSUPPORTED}, /* UDP ASSOCIATE */
        {"\x05\x01\x00\x05\x01\x00\x02", 7, SOCKS5_ADDRESS_UNSUPPORTED}, /* address type 2 */
        {"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", 10, SOCKS5_GENERAL_FAILURE}, /* no name */
    };
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        for (size_t cut = 0; cut <= m->len; cut++) {
            struct socks5_server server;
            assert_int_equal(feed_server(&server, (const uint8_t *)m->bytes, m->len, cut),
                             SOCKS5_BROKEN);
            assert_int_equal(server.reply, m->reply);
            assert_non_null(server.why);
        }
    }
}

static int reply_at_every_split(int error, const struct endpoint *bound, struct endpoint *out) {
    uint8_t message[SOCKS5_GREETING_ANSWER_LEN + SOCKS5_REPLY_MAX + 1];
    int result = -1;
    memcpy(message, socks5_greeting_answer, SOCKS5_GREETING_ANSWER_LEN);
    size_t len = SOCKS5_GREETING_ANSWER_LEN;
    len += socks5_reply_write(message + len, error, bound);
    message[len] = 'D';
    for (size_t cut = 0; cut <= len; cut++) {
        struct socks5_client client;
        size_t taken, rest;
        socks5_client_init(&client);
        enum socks5_progress progress = socks5_client_feed(&client, message, cut, &taken);
        assert_int_equal(taken, cut);
        if (progress == SOCKS5_MORE)
            progress = socks5_client_feed(&client, message + cut, len + 1 - cut, &rest);
        else
            rest = 0;
        assert_int_equal(progress, SOCKS5_DONE);
        assert_int_equal(cut + rest, len);
        assert_true(cut == 0 || client.error == result);
        result = client.error;
        *out = client.bound;
    }
    return result;
}

static void every_errno_of_connect_arrives_unchanged(void **state) {
    static const int errors[] = {-EACCES,    -EADDRNOTAVAIL, -ENETDOWN,     -ENETUNREACH,
                                 -EHOSTDOWN, -EHOSTUNREACH,  -ECONNREFUSED, -ECONNRESET,
                                 -ETIMEDOUT, -EINVAL,        -EAFNOSUPPORT, -EOPNOTSUPP,
                                 -EPROTO,    -ENOBUFS,       -EPERM};
    struct endpoint bound;
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        assert_int_equal(reply_at_every_split(errors[i], NULL, &bound), errors[i]);
}

static void an_errno_that_connect_never_returns_is_not_accepted(void **state) {
    static const int errors[] = {-EINTR,   -EAGAIN, -EINPROGRESS, -EALREADY,
                                 -EISCONN, -EBADF,  -133,         -4000};
    struct endpoint bound;
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        assert_int_equal(reply_at_every_split(errors[i], NULL, &bound), -ECONNREFUSED);
}

static void a_refusal_by_rule_is_eacces(void **state) {
    struct endpoint bound;
    uint8_t message[SOCKS5_REPLY_MAX];
    (void)state;
    assert_int_equal(reply_at_every_split(SOCKS5_DENIED, NULL, &bound), -EACCES);
    socks5_reply_write(message, SOCKS5_DENIED, NULL);
    assert_int_equal(message[1], SOCKS5_NOT_ALLOWED);
    socks5_reply_write(message, -EACCES, NULL);
    assert_int_equal(message[1], SOCKS5_GENERAL_FAILURE);
    assert_int_equal(message[8] << 8 | message[9], EACCES); /* positive on the wire */
}

static void the_bound_address_arrives(void **state) {
    struct endpoint bound, v4 = ipv4("\xc0\x00\x02\x01", 40000).address, v6 = ipv6(40001).address;
    (void)state;
    assert_int_equal(reply_at_every_split(0, &v4, &bound), 0);
    assert_memory_equal(&bound, &v4, sizeof bound);
    assert_int_equal(reply_at_every_split(0, &v6, &bound), 0);
    assert_memory_equal(&bound, &v6, sizeof bound);
}

static void replies_of_other_servers_are_understood(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        int error;
    } replies[] = {
        {"\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00", 12, -ECONNREFUSED},
        {"\x05\x00\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x0d", 12, -ECONNREFUSED}, /* a real BND */
        {"\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\xff\xff", 12, -ECONNREFUSED},
        {"\x05\x00\x05\x63\x00\x01\x00\x00\x00\x00\x00\x00", 12, -ECONNREFUSED}, /* unassigned */
        {"\x05\x00\x05\x04\x00\x03\x02gw\x00\x50", 11, -EHOSTUNREACH},
        {"\x05\x00\x05\x00\x00\x03\x02gw\x00\x50", 11, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct socks5_client client;
        size_t taken;
        socks5_client_init(&client);
        assert_int_equal(
            socks5_client_feed(&client, (const uint8_t *)replies[i].bytes, replies[i].len, &taken),
            SOCKS5_DONE);
        assert_int_equal(taken, replies[i].len);
        assert_int_equal(client.error, replies[i].error);
    }
}

static void a_peer_that_is_no_socks_server_is_detected(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
    } answers[] = {{"SSH-2.0", 7},
                   {"\x05\xff", 2},
                   {"\x05\x00\x04\x00\x00\x01", 6},
                   {"\x05\x00\x05\x00\x00\x09", 6}};
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct socks5_client client;
        size_t taken;
        socks5_client_init(&client);
        assert_int_equal(
            socks5_client_feed(&client, (const uint8_t *)answers[i].bytes, answers[i].len, &taken),
            SOCKS5_BROKEN);
        assert_non_null(client.why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_understood_at_every_split),
        cmocka_unit_test(a_name_and_the_address_chosen_of_it_arrive),
        cmocka_unit_test(methods_that_encode_no_whole_address_are_skipped),
        cmocka_unit_test(bytes_after_the_request_are_not_consumed),
        cmocka_unit_test(a_client_that_waits_after_the_greeting_is_answered),
        cmocka_unit_test(errors_are_named_and_answered),
        cmocka_unit_test(every_errno_of_connect_arrives_unchanged),
        cmocka_unit_test(an_errno_that_connect_never_returns_is_not_accepted),
        cmocka_unit_test(a_refusal_by_rule_is_eacces),
        cmocka_unit_test(the_bound_address_arrives),
        cmocka_unit_test(replies_of_other_servers_are_understood),
        cmocka_unit_test(a_peer_that_is_no_socks_server_is_detected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
