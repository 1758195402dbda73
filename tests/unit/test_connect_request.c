/* SPDX-License-Identifier: MIT */
/* Requests of proxy clients: SOCKS 5, 4 and 4a, and HTTP CONNECT, told apart by the first byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "helper/relay/connect_request.h"

#define BEHIND "hello" /* the connection's first bytes, which are not the request's */

static bool admits(const struct socks5_login *login, const char *name, size_t name_len,
                   const char *password, size_t password_len) {
    (void)login;
    return name_len == 5 && memcmp(name, "alice", 5) == 0 && password_len == 7 &&
           memcmp(password, "pass:wd", 7) == 0;
}

static const struct socks5_login login = {admits};

/* What came of a request, and what the client was told on the way. */
struct result {
    enum socks5_progress progress;
    struct connect_request request;
    size_t taken, said_len;
    uint8_t said[2 * CONNECT_ANSWER_MAX];
};

static void feed(struct result *result, const char *data, size_t len) {
    size_t taken;
    result->progress = connect_request_feed(&result->request, (const uint8_t *)data, len, &taken);
    result->taken += taken;
    memcpy(result->said + result->said_len, result->request.answer, result->request.answer_len);
    result->said_len += result->request.answer_len;
}

static void run(struct result *result, const struct socks5_login *who, const char *data, size_t len,
                size_t cut) {
    memset(result, 0, sizeof *result);
    connect_request_init(&result->request, who);
    feed(result, data, cut);
    if (result->progress == SOCKS5_MORE)
        feed(result, data + cut, len - cut);
}

/* The request has `len` bytes, and more follow: at every split it leads to HOST:PORT, and what
 * follows is not touched. */
static void leads_to(const struct socks5_login *who, const char *data, size_t len,
                     enum connect_protocol protocol, const char *expected) {
    char all[512], text[ENDPOINT_TEXT_SIZE + SOCKS5_NAME_MAX];
    struct result result;
    memcpy(all, data, len);
    memcpy(all + len, BEHIND, sizeof BEHIND);
    for (size_t cut = 0; cut <= len; cut++) {
        run(&result, who, all, len + sizeof BEHIND, cut);
        assert_int_equal(result.progress, SOCKS5_DONE);
        assert_int_equal(result.taken, len);
        assert_int_equal(result.request.protocol, protocol);
        const struct socks5_destination *to = &result.request.destination;
        if (to->name_len)
            snprintf(text, sizeof text, "%s:%u", to->name, to->address.port);
        else
            endpoint_text(&to->address, text, sizeof text);
        assert_string_equal(text, expected);
    }
}

/* The request is refused, at every split with the same answer and for the same reason. */
static void is_refused(const struct socks5_login *who, const char *data, size_t len,
                       const char *answer, size_t answer_len, const char *why) {
    struct result result;
    for (size_t cut = 0; cut <= len; cut++) {
        run(&result, who, data, len, cut);
        assert_int_equal(result.progress, SOCKS5_BROKEN);
        assert_string_equal(result.request.why, why);
        assert_int_equal(result.said_len, answer_len);
        assert_memory_equal(result.said, answer, answer_len);
    }
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void socks4_leads_to_an_address_or_with_4a_to_a_name(void **state) {
    (void)state;
    leads_to(NULL, TEXT("\4\1\x15\x38\x0a\0\0\5user\0"), CONNECT_SOCKS4, "10.0.0.5:5432");
    leads_to(NULL, TEXT("\4\1\0\x50\0\0\0\1\0db.internal\0"), CONNECT_SOCKS4, "db.internal:80");
}

static void socks5_leads_to_addresses_and_names(void **state) {
    (void)state;
    leads_to(NULL, TEXT("\5\1\0\5\1\0\1\x0a\0\0\5\x15\x38"), CONNECT_SOCKS5, "10.0.0.5:5432");
    leads_to(NULL, TEXT("\5\2\2\0\5\1\0\4\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x50"),
             CONNECT_SOCKS5, "[2001:db8::1]:80");
    leads_to(NULL,
             TEXT("\5\1\0\5\1\0\3\x0b"
                  "db.internal"
                  "\x15\x38"),
             CONNECT_SOCKS5, "db.internal:5432");
}

static void http_connect_leads_to_addresses_and_names(void **state) {
    (void)state;
    leads_to(NULL, TEXT("CONNECT db.internal:443 HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n"),
             CONNECT_HTTP, "db.internal:443");
    leads_to(NULL, TEXT("CONNECT [2001:db8::1]:80 HTTP/1.0\n\n"), CONNECT_HTTP, "[2001:db8::1]:80");
}

static void a_name_that_is_an_address_in_text_is_an_address(void **state) {
    (void)state;
    leads_to(NULL,
             TEXT("\5\1\0\5\1\0\3\x08"
                  "10.0.0.5"
                  "\x15\x38"),
             CONNECT_SOCKS5, "10.0.0.5:5432");
    leads_to(NULL,
             TEXT("\4\1\0\x50\0\0\0\1\0"
                  "::1\0"),
             CONNECT_SOCKS4, "[::1]:80");
    leads_to(NULL, TEXT("CONNECT 10.0.0.5:80 HTTP/1.1\r\n\r\n"), CONNECT_HTTP, "10.0.0.5:80");
}

/* An address beside a name, by the methods of our own client, would get around the routes. */
static void a_name_comes_without_an_address(void **state) {
    struct socks5_destination named = {.address = {.family = AF_INET, .port = 80}, .name_len = 1};
    uint8_t message[SOCKS5_REQUEST_MAX];
    (void)state;
    memcpy(named.address.addr, "\x7f\0\0\1", 4);
    strcpy(named.name, "a");
    size_t len = socks5_request_write(message, &named);
    leads_to(NULL, (const char *)message, len, CONNECT_SOCKS5, "a:80");
    struct result result;
    run(&result, NULL, (const char *)message, len, len);
    assert_int_equal(result.request.destination.address.family, 0);
}

#define ADMITTED "\5\2\1\0"
#define BASIC    "YWxpY2U6cGFzczp3ZA==" /* alice:pass:wd */

static void a_right_password_opens_by_socks5_and_http(void **state) {
    (void)state;
    leads_to(&login, TEXT("\5\2\0\2\1\5alice\7pass:wd\5\1\0\1\x0a\0\0\5\0\x50"), CONNECT_SOCKS5,
             "10.0.0.5:80");
    leads_to(&login, TEXT("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic " BASIC "\r\n\r\n"),
             CONNECT_HTTP, "a:1");
    leads_to(&login, TEXT("CONNECT a:1 HTTP/1.1\r\nproxy-authorization:basic  " BASIC "\r\n\r\n"),
             CONNECT_HTTP, "a:1");
    struct result result;
    run(&result, &login, TEXT("\5\1\2\1\5alice\7pass:wd\5\1\0\1\x0a\0\0\5\0\x50"), 0);
    assert_int_equal(result.said_len, sizeof ADMITTED - 1);
    assert_memory_equal(result.said, ADMITTED, sizeof ADMITTED - 1);
}

#define HTTP_ANSWER(status, header)                                                                \
    "HTTP/1.1 " status "\r\n" header "Connection: close\r\nContent-Type: text/plain\r\n"           \
    "Content-Length: 0\r\n\r\n"
#define HTTP_407                                                                                   \
    HTTP_ANSWER("407 Proxy Authentication Required",                                               \
                "Proxy-Authenticate: Basic realm=\"smuxshim\"\r\n")

static void a_wrong_or_missing_password_does_not(void **state) {
    static const char missing[] = "wrong name or password, or none";
    (void)state;
    is_refused(&login, TEXT("\5\1\2\1\5alice\7pass:wD\5\1\0\1\x0a\0\0\5\0\x50"), TEXT("\5\2\1\1"),
               "wrong name or password");
    is_refused(&login, TEXT("\5\1\2\1\0\0"), TEXT("\5\2\1\1"), "wrong name or password");
    is_refused(&login, TEXT("\5\1\0\5\1\0\1\x0a\0\0\5\0\x50"), TEXT("\5\xff"),
               "greeting does not offer a password, which is needed here");
    is_refused(&login, TEXT("\4\1\x15\x38\x0a\0\0\5alice\0"), TEXT("\0\x5b\0\0\0\0\0\0"),
               "SOCKS4 has no password, which is needed here");
    is_refused(&login, TEXT("CONNECT a:1 HTTP/1.1\r\n\r\n"), TEXT(HTTP_407), missing);
    is_refused(&login, TEXT("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n"),
               TEXT(HTTP_407), missing);
    is_refused(&login, TEXT("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic !!\r\n\r\n"),
               TEXT(HTTP_407), missing);
    is_refused(&login,
               TEXT("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Bearer " BASIC "\r\n\r\n"),
               TEXT(HTTP_407), missing);
}

static void what_is_no_connect_is_refused_with_an_answer(void **state) {
    (void)state;
    is_refused(NULL, TEXT("\5\1\0\5\3\0\1\x0a\0\0\5\0\x50"), TEXT("\5\0\5\7\0\1\0\0\0\0\0\0"),
               "command is not CONNECT");
    is_refused(NULL, TEXT("\5\1\0\5\1\0\2\x0a\0\0\5\0\x50"), TEXT("\5\0\5\x08\0\1\0\0\0\0\0\0"),
               "unknown address type");
    is_refused(NULL, TEXT("\5\1\1"), TEXT("\5\xff"),
               "greeting does not offer \"no authentication\"");
    is_refused(NULL, TEXT("\4\2\0\x50\x0a\0\0\5\0"), TEXT("\0\x5b\0\0\0\0\0\0"),
               "command is not CONNECT");
    is_refused(NULL, TEXT("GET http://a/ HTTP/1.1\r\n\r\n"),
               TEXT(HTTP_ANSWER("405 Method Not Allowed", "Allow: CONNECT\r\n")),
               "method is not CONNECT");
    is_refused(NULL, TEXT("CONNECT a HTTP/1.1\r\n"), TEXT(HTTP_ANSWER("400 Bad Request", "")),
               "target is not HOST:PORT");
    is_refused(NULL, TEXT("CONNECT ::1:80 HTTP/1.1\r\n"), TEXT(HTTP_ANSWER("400 Bad Request", "")),
               "target is not HOST:PORT");
    is_refused(NULL, TEXT("CONNECT a:1 HTTP/2\r\n"), TEXT(HTTP_ANSWER("400 Bad Request", "")),
               "request line is not METHOD TARGET HTTP/1.1");
}

static void port_0_and_a_bad_name_are_unreachable(void **state) {
    (void)state;
    is_refused(NULL, TEXT("\5\1\0\5\1\0\1\x0a\0\0\5\0\0"), TEXT("\5\0\5\4\0\1\0\0\0\0\0\0"),
               "port 0");
    is_refused(NULL, TEXT("\5\1\0\5\1\0\3\3a b\0\x50"), TEXT("\5\0\5\4\0\1\0\0\0\0\0\0"),
               "the host name has characters that no host name has");
}

static void neither_socks_nor_http_gets_no_answer(void **state) {
    struct result result;
    (void)state;
    run(&result, NULL, TEXT("\x16\3\1"), 1);
    assert_int_equal(result.progress, SOCKS5_BROKEN);
    assert_int_equal(result.said_len, 0);
}

static void http_without_end(struct result *result, const char *piece, size_t len) {
    memset(result, 0, sizeof *result);
    connect_request_init(&result->request, NULL);
    feed(result, TEXT("CONNECT a:1 HTTP/1.1\r\n"));
    for (int i = 0; i < 100000 && result->progress == SOCKS5_MORE; i++)
        feed(result, piece, len);
}

static void a_head_without_end_ends_at_its_limit(void **state) {
    struct result result;
    (void)state;
    http_without_end(&result, TEXT("X: y\r\n"));
    assert_int_equal(result.progress, SOCKS5_BROKEN);
    assert_string_equal(result.request.why, "head is longer than 16 KiB");
    http_without_end(&result, TEXT("x")); /* one line that never ends */
    assert_int_equal(result.progress, SOCKS5_BROKEN);
    assert_int_equal(result.taken, HTTP_HEAD_MAX + 1);
}

static void long_socks4_texts_end_at_their_limits(void **state) {
    char message[600] = "\4\1\0\x50\0\0\0\1";
    struct result result;
    (void)state;
    memset(message + 8, 'u', sizeof message - 8);
    run(&result, NULL, message, sizeof message, 9);
    assert_int_equal(result.progress, SOCKS5_BROKEN);
    assert_string_equal(result.request.why, "the user's name is longer than 255 bytes");
    message[8] = '\0';
    run(&result, NULL, message, sizeof message, 9);
    assert_string_equal(result.request.why, "host name is longer than 255 bytes");
}

/* ---- Outcomes ---- */

static uint8_t socks5_code(int error) {
    uint8_t answer[CONNECT_ANSWER_MAX];
    assert_int_equal(connect_answer_write(CONNECT_SOCKS5, answer, error, NULL), 10);
    return answer[1];
}

static unsigned http_code(int error) {
    char answer[CONNECT_ANSWER_MAX + 1];
    unsigned status = 0;
    size_t len = connect_answer_write(CONNECT_HTTP, (uint8_t *)answer, error, NULL);
    answer[len] = '\0';
    assert_int_equal(sscanf(answer, "HTTP/1.1 %u", &status), 1);
    assert_string_equal(answer + len - 4, "\r\n\r\n");
    return status;
}

static void the_answer_says_how_the_connect_ended(void **state) {
    static const struct {
        int error;
        uint8_t socks5;
        unsigned http;
    } rows[] = {{0, 0, 200},
                {-EACCES, 2, 403},
                {-EPERM, 2, 403},
                {-ENETUNREACH, 3, 502},
                {-EHOSTUNREACH, 4, 502},
                {-ECONNREFUSED, 5, 502},
                {-ETIMEDOUT, 6, 504},
                {-EAGAIN, 1, 503},
                {-EIO, 1, 502}};
    uint8_t answer[CONNECT_ANSWER_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(socks5_code(rows[i].error), rows[i].socks5);
        assert_int_equal(http_code(rows[i].error), rows[i].http);
        assert_int_equal(connect_answer_write(CONNECT_SOCKS4, answer, rows[i].error, NULL), 8);
        assert_int_equal(answer[1], rows[i].error ? 91 : 90);
    }
    assert_int_equal(connect_answer_write(CONNECT_UNKNOWN, answer, 0, NULL), 0);
}

static void success_tells_the_local_address(void **state) {
    struct endpoint bound = {.family = AF_INET, .port = 0x1234, .addr = {10, 0, 0, 5}};
    uint8_t answer[CONNECT_ANSWER_MAX];
    (void)state;
    assert_int_equal(connect_answer_write(CONNECT_SOCKS5, answer, 0, &bound), 10);
    assert_memory_equal(answer, "\5\0\0\1\x0a\0\0\5\x12\x34", 10);
    connect_answer_write(CONNECT_SOCKS4, answer, 0, &bound);
    assert_memory_equal(answer, "\0\x5a\x12\x34\x0a\0\0\5", 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socks4_leads_to_an_address_or_with_4a_to_a_name),
        cmocka_unit_test(socks5_leads_to_addresses_and_names),
        cmocka_unit_test(http_connect_leads_to_addresses_and_names),
        cmocka_unit_test(a_name_that_is_an_address_in_text_is_an_address),
        cmocka_unit_test(a_name_comes_without_an_address),
        cmocka_unit_test(a_right_password_opens_by_socks5_and_http),
        cmocka_unit_test(a_wrong_or_missing_password_does_not),
        cmocka_unit_test(what_is_no_connect_is_refused_with_an_answer),
        cmocka_unit_test(port_0_and_a_bad_name_are_unreachable),
        cmocka_unit_test(neither_socks_nor_http_gets_no_answer),
        cmocka_unit_test(a_head_without_end_ends_at_its_limit),
        cmocka_unit_test(long_socks4_texts_end_at_their_limits),
        cmocka_unit_test(the_answer_says_how_the_connect_ended),
        cmocka_unit_test(success_tells_the_local_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
