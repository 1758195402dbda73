/* SPDX-License-Identifier: MIT */
/* What the name stub reads of DNS messages, and the answers that it makes. (The launcher has no
 * archive to link: its source is included.) */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/trap/dns_message.c"

/* A query for pg.db.test, A, with an EDNS record of 11 bytes behind it. */
static const uint8_t query[] = {
    0x12, 0x34, 1,   0,  0,   1,   0, 0,   0,   0,   0,   1,             /* header: RD */
    2,    'p',  'g', 2,  'd', 'b', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1, /* question */
    0,    0,    41,  16, 0,   0,   0, 0,   0,   0,   0,                  /* OPT */
};
enum { QUESTION_END = 28 };

/* Its answer: an alias, one IPv4 address, one IPv6 address. */
static const uint8_t full_answer[] = {
    0x12, 0x34, 0x81, 0x80, 0,   1,   0,   3,   0, 0, 0, 0,   2,    'p',  'g',
    2,    'd',  'b',  4,    't', 'e', 's', 't', 0, 0, 1, 0,   1,    0xc0, 12,
    0,    5,    0,    1,    0,   0,   0,   9,   0, 4, 1, 'x', 0xc0, 15, /* CNAME x.db.test */
    0xc0, 40,   0,    1,    0,   1,   0,   0,   0, 9, 0, 4,   10,   1,    2,
    3,    0xc0, 40,   0,    28,  0,   1,   0,   0, 0, 9, 0,   16,   0x20, 1,
    0xd,  0xb8, 0,    0,    0,   0,   0,   0,   0, 0, 0, 0,   0,    7,
};

static struct dns_question question_of(const uint8_t *message, size_t len) {
    struct dns_question question;
    assert_true(dns_query_read(message, len, &question));
    return question;
}

static void a_query_is_read(void **state) {
    (void)state;
    struct dns_question question = question_of(query, sizeof query);
    assert_string_equal(question.name, "pg.db.test");
    assert_int_equal(question.type, DNS_TYPE_A);
    assert_int_equal(question.class, DNS_CLASS_IN);
}

static void what_is_no_query_of_one_name_is_refused(void **state) {
    uint8_t message[sizeof query];
    struct dns_question question;
    (void)state;
    for (size_t len = 0; len < QUESTION_END; len++) {
        uint8_t *cut = malloc(len ? len : 1); /* so that a sanitizer sees what is read behind it */
        memcpy(cut, query, len);
        assert_false(dns_query_read(cut, len, &question));
        free(cut);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{2, 0x81}, {2, 0x09}, {5, 0}, {5, 2}, {12, 0xc0}, {12, 64}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(message, query, sizeof query);
        message[wrong[i].at] = wrong[i].value;
        assert_false(dns_query_read(message, QUESTION_END, &question));
    }
}

/* Pointers that lead to each other, one to a name behind the question, and a name that is longer
 * than a host name. */
static void names_that_lie_are_refused(void **state) {
    uint8_t message[1024] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 14, 0xc0, 12, 0, 1, 0, 1};
    struct dns_question question;
    (void)state;
    assert_false(dns_query_read(message, 20, &question));
    memcpy(message + 12, "\xc0\x12\0\1\0\1\1a", 9);
    assert_false(dns_query_read(message, 21, &question));
    size_t at = DNS_HEADER_SIZE;
    for (int i = 0; i < 5; i++, at += 64) {
        message[at] = 63;
        memset(message + at + 1, 'a', 63);
    }
    memcpy(message + at, "\0\0\1\0\1", 5);
    assert_false(dns_query_read(message, at + 5, &question));
}

static bool is_answer(const uint8_t *message, size_t len, enum dns_outcome *outcome) {
    struct dns_question question = question_of(query, sizeof query);
    return dns_answer_read(message, len, &question, outcome);
}

static void an_answer_says_what_the_server_knows(void **state) {
    uint8_t message[sizeof full_answer];
    enum dns_outcome outcome;
    (void)state;
    memcpy(message, full_answer, sizeof message);
    assert_true(is_answer(message, sizeof message, &outcome));
    assert_int_equal(outcome, DNS_OUTCOME_ANSWERED);
    for (uint8_t rcode = 1; rcode < 16; rcode++) {
        message[3] = 0x80 | rcode;
        assert_true(is_answer(message, sizeof message, &outcome));
        assert_int_equal(outcome, DNS_OUTCOME_UNKNOWN);
    }
    message[2] |= 2;
    assert_true(is_answer(message, sizeof message, &outcome));
    assert_int_equal(outcome, DNS_OUTCOME_CUT);
}

static void an_answer_to_another_question_is_none(void **state) {
    static const size_t places[] = {2, 13, 23 + 2, 23 + 4};
    uint8_t message[sizeof full_answer];
    enum dns_outcome outcome;
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        memcpy(message, full_answer, sizeof message);
        message[places[i]] ^= places[i] == 2 ? 0x80 : 3;
        assert_false(is_answer(message, sizeof message, &outcome));
    }
    /* Servers and caches may change the case of letters. */
    memcpy(message, full_answer, sizeof message);
    message[13] ^= 0x20;
    assert_true(is_answer(message, sizeof message, &outcome));
    /* Without a question only a failure is believed. */
    message[5] = 0;
    assert_false(is_answer(message, DNS_HEADER_SIZE, &outcome));
    message[3] = 0x81;
    assert_true(is_answer(message, DNS_HEADER_SIZE, &outcome));
}

static char found[256];

static void note(void *context, const struct endpoint *address) {
    char text[INET6_ADDRSTRLEN];
    (void)context;
    strcat(found, inet_ntop(address->family, address->addr, text, sizeof text));
    strcat(found, " ");
}

static void the_addresses_of_an_answer_are_found(void **state) {
    (void)state;
    found[0] = 0;
    dns_answer_addresses(full_answer, sizeof full_answer, note, NULL);
    assert_string_equal(found, "10.1.2.3 2001:db8::7 ");
    for (size_t len = 0; len < sizeof full_answer; len++) {
        uint8_t *cut = malloc(len ? len : 1);
        memcpy(cut, full_answer, len);
        found[0] = 0;
        dns_answer_addresses(cut, len, note, NULL);
        free(cut);
    }
}

static void an_address_is_answered_to_whoever_asked(void **state) {
    uint8_t message[128];
    struct endpoint address = {.family = AF_INET, .addr = {198, 18, 0, 1}};
    enum dns_outcome outcome;
    (void)state;
    memcpy(message, query, sizeof query);
    size_t len = dns_answer_make(message, sizeof query, sizeof message, &address, 70000);
    static const uint8_t expected[] = {0xc0, 12, 0, 1, 0, 1, 0, 1, 0x11, 0x70, 0, 4, 198, 18, 0, 1};
    assert_int_equal(len, QUESTION_END + sizeof expected);
    assert_memory_equal(message + QUESTION_END, expected, sizeof expected);
    assert_memory_equal(message, ((uint8_t[]){0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}), 12);
    assert_true(is_answer(message, len, &outcome));
    found[0] = 0;
    dns_answer_addresses(message, len, note, NULL);
    assert_string_equal(found, "198.18.0.1 ");
}

static void no_record_and_a_failure_are_answered_too(void **state) {
    uint8_t message[sizeof query];
    enum dns_outcome outcome;
    (void)state;
    memcpy(message, query, sizeof query);
    assert_int_equal(dns_answer_make(message, sizeof query, sizeof query, NULL, 5), QUESTION_END);
    assert_true(is_answer(message, QUESTION_END, &outcome));
    assert_int_equal(outcome, DNS_OUTCOME_ANSWERED);
    memcpy(message, query, sizeof query);
    assert_int_equal(dns_failure_make(message, sizeof query), QUESTION_END);
    assert_true(is_answer(message, QUESTION_END, &outcome));
    assert_int_equal(outcome, DNS_OUTCOME_UNKNOWN);
}

static void an_address_without_room_is_not_written(void **state) {
    struct endpoint address = {.family = AF_INET6};
    (void)state;
    for (size_t room = QUESTION_END; room < QUESTION_END + 28; room++) {
        uint8_t *message = malloc(room);
        memcpy(message, query, QUESTION_END);
        assert_int_equal(dns_answer_make(message, QUESTION_END, room, &address, 5), 0);
        free(message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_read),
        cmocka_unit_test(what_is_no_query_of_one_name_is_refused),
        cmocka_unit_test(names_that_lie_are_refused),
        cmocka_unit_test(an_answer_says_what_the_server_knows),
        cmocka_unit_test(an_answer_to_another_question_is_none),
        cmocka_unit_test(the_addresses_of_an_answer_are_found),
        cmocka_unit_test(an_address_is_answered_to_whoever_asked),
        cmocka_unit_test(no_record_and_a_failure_are_answered_too),
        cmocka_unit_test(an_address_without_room_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
