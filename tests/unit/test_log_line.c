/* SPDX-License-Identifier: MIT */
/* What a line of the log looks like: always one line of valid UTF-8, whatever a peer has sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>
#include <jansson.h>

#include "helper/net/log_line.h"

static struct log_event event_of(const char *message) {
    return (struct log_event){.level = LOG_INFO,
                              .when = {.tv_sec = 1764482227, .tv_nsec = 123456789},
                              .program = "test",
                              .pid = 42,
                              .message = message};
}

static const char *finish(struct log_line *line) {
    assert_true(line->len < sizeof line->text); /* there is room for the newline */
    line->text[line->len] = '\0';
    assert_null(strchr(line->text, '\n'));
    return line->text;
}

static const char *text_of(const struct log_event *event) {
    static struct log_line line;
    line.len = 0;
    log_line_text(&line, event);
    return finish(&line);
}

static const char *json_of(const struct log_event *event) {
    static struct log_line line;
    line.len = 0;
    log_line_json(&line, event);
    return finish(&line);
}

/* The line as an object; jansson takes nothing but valid UTF-8. */
static json_t *parsed(const struct log_event *event) {
    json_error_t error;
    json_t *object = json_loads(json_of(event), JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("%s at byte %d of %s", error.text, error.position, json_of(event));
    return object;
}

static void assert_member(const json_t *object, const char *key, const char *expected) {
    const char *value = json_string_value(json_object_get(object, key));
    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void a_line_of_text_says_when_who_how_bad_and_what(void **state) {
    const struct log_event event = event_of("session begins");
    (void)state;
    assert_string_equal(text_of(&event), "2025-11-30T05:57:07.123Z test[42] info: session begins");
}

static void the_subject_comes_before_the_message(void **state) {
    struct log_subject about = {
        .pid = 7, .uid = 0, .gateway = "main", .peer = "tcp://a:1", .stream = 3};
    struct log_event event = event_of("over");
    (void)state;
    event.about = &about;
    assert_non_null(
        strstr(text_of(&event), "info: pid 7: gateway main: tcp://a:1: stream 3: over"));
    about.has_uid = true;
    assert_non_null(strstr(text_of(&event), "info: pid 7, uid 0: gateway main: "));
}

static void a_line_of_json_has_a_member_for_each_part_of_the_subject(void **state) {
    struct log_subject about = {.pid = 7,
                                .uid = 0,
                                .gateway = "main",
                                .peer = "192.0.2.5:42 via 10.0.0.1:9 (laptop)",
                                .stream = 3,
                                .destination = "db:5432",
                                .file = "/etc/x.conf",
                                .line = 12};
    struct log_event event = event_of("over");
    (void)state;
    event.about = &about;
    about.has_uid = true;
    assert_string_equal(
        json_of(&event),
        "{\"time\":\"2025-11-30T05:57:07.123456Z\",\"level\":\"info\",\"program\":\"test\","
        "\"pid\":42,\"from_pid\":7,\"from_uid\":0,\"gateway\":\"main\",\"peer\":\"192.0.2.5:42\","
        "\"via\":\"10.0.0.1:9\",\"client\":\"laptop\",\"stream\":3,\"destination\":\"db:5432\","
        "\"file\":\"/etc/x.conf\",\"line\":12,\"message\":\"over\"}");
}

static void a_line_of_json_leaves_out_what_is_not_known(void **state) {
    struct log_subject about = {.peer = "192.0.2.5:42"};
    struct log_event event = event_of("over");
    (void)state;
    event.about = &about;
    json_t *object = parsed(&event);
    assert_int_equal(json_object_size(object), 6);
    assert_member(object, "peer", "192.0.2.5:42");
    json_decref(object);
}

static void nobody_can_add_a_member_or_a_line(void **state) {
    struct log_subject about = {.peer = "\",\"level\":\"x (a\",\"b\":\")"};
    struct log_event event = event_of("a\"}\n{\"level\":\"error\\\r\x1b[2J\xc2\x9b");
    (void)state;
    event.about = &about;
    json_t *object = parsed(&event);
    assert_member(object, "level", "info");
    assert_member(object, "peer", "\",\"level\":\"x");
    assert_member(object, "client", "a\",\"b\":\"");
    assert_member(object, "message", "a\"}\n{\"level\":\"error\\\r\x1b[2J\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(object);
    assert_non_null(strstr(text_of(&event), ": a\"}?{\"level\":\"error\\??[2J??"));
}

static void what_is_utf8_stays_and_what_is_not_is_replaced(void **state) {
    static const struct {
        const char *in, *text, *json;
    } cases[] = {{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
                 {"\xff", "?", "\xef\xbf\xbd"},                     /* never a byte of UTF-8 */
                 {"\xc0\xaf", "??", "\xef\xbf\xbd\xef\xbf\xbd"},    /* too long for its character */
                 {"\xe2\x82", "??", "\xef\xbf\xbd\xef\xbf\xbd"},    /* cut off */
                 {"\xe2(\xa1", "?(?", "\xef\xbf\xbd(\xef\xbf\xbd"}, /* no continuation */
                 {"\xed\xa0\x80", "???", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
                 {"\xf4\x90\x80\x80", "????",
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* above U+10FFFF */
                 {"\x7f", "?", "\x7f"}};
    char expected[200];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct log_event event = event_of(cases[i].in);
        snprintf(expected, sizeof expected, "2025-11-30T05:57:07.123Z test[42] info: %s",
                 cases[i].text);
        assert_string_equal(text_of(&event), expected);
        json_t *object = parsed(&event);
        assert_member(object, "message", cases[i].json);
        json_decref(object);
    }
}

/* Fields and message of every length around the limits, of bytes that grow the most. */
static void a_line_of_any_bytes_and_any_length_is_whole(void **state) {
    static char long_text[6000];
    unsigned seed = 1;
    (void)state;
    for (size_t len = 0; len < sizeof long_text - 1; len += 1 + len / 40) {
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245u + 12345u;
            long_text[i] = (char)(len % 3 == 0 ? '\x01' : 1 + (seed >> 16) % 255);
        }
        long_text[len] = '\0';
        struct log_subject about = {.peer = long_text,
                                    .gateway = long_text,
                                    .file = long_text,
                                    .destination = long_text,
                                    .stream = UINT32_MAX};
        struct log_event event = event_of(long_text);
        json_decref(parsed(&event));
        text_of(&event);
        event.about = &about;
        json_decref(parsed(&event));
        text_of(&event);
    }
}

static void a_long_subject_leaves_room_for_the_message(void **state) {
    static char long_text[3000];
    struct log_subject about = {
        .peer = long_text, .gateway = long_text, .file = long_text, .destination = long_text};
    struct log_event event = event_of("what has happened");
    (void)state;
    memset(long_text, '\x01', sizeof long_text - 1);
    event.about = &about;
    json_t *object = parsed(&event);
    assert_member(object, "message", "what has happened");
    json_decref(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_text_says_when_who_how_bad_and_what),
        cmocka_unit_test(the_subject_comes_before_the_message),
        cmocka_unit_test(a_line_of_json_has_a_member_for_each_part_of_the_subject),
        cmocka_unit_test(a_line_of_json_leaves_out_what_is_not_known),
        cmocka_unit_test(nobody_can_add_a_member_or_a_line),
        cmocka_unit_test(what_is_utf8_stays_and_what_is_not_is_replaced),
        cmocka_unit_test(a_line_of_any_bytes_and_any_length_is_whole),
        cmocka_unit_test(a_long_subject_leaves_room_for_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
