/* SPDX-License-Identifier: MIT
 *
 * DNS messages from programs and servers: whatever is accepted as a query can be answered, and
 * what the stub answers is an answer to that query, with that address.
 */
#include "fuzz_check.h"

#include <stdlib.h>

#include "shim/trap/dns_message.c"

static unsigned found;

static void count(void *context, const struct endpoint *address) {
    const struct endpoint *expected = context;
    if (expected && memcmp(expected, address, sizeof *address) == 0)
        found++;
}

/* The message in a block of its size and some room, so that a sanitizer sees both ends. */
static uint8_t *copy(const uint8_t *data, size_t len, size_t room) {
    uint8_t *message = malloc(len + room + (len + room == 0));
    MUST(message);
    memcpy(message, data, len);
    return message;
}

static void answer(const uint8_t *data, size_t len, const struct dns_question *question,
                   const struct endpoint *address, enum dns_outcome expected) {
    enum dns_outcome outcome;
    uint8_t *message = copy(data, len, 28);
    size_t made = expected == DNS_OUTCOME_UNKNOWN
                      ? dns_failure_make(message, len)
                      : dns_answer_make(message, len, len + 28, address, 5);
    MUST(made >= DNS_HEADER_SIZE && made <= len + 28);
    MUST(dns_id(message) == dns_id(data));
    MUST(dns_answer_read(message, made, question, &outcome) && outcome == expected);
    found = 0;
    dns_answer_addresses(message, made, count, (void *)address);
    MUST(found == (expected == DNS_OUTCOME_ANSWERED && address ? 1 : 0));
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct endpoint v4 = {.family = AF_INET, .addr = {198, 18, 0, 1}},
                                 v6 = {.family = AF_INET6, .addr = {0xfd, 1}};
    static const struct dns_question other = {.name = "pg.db.test", .type = 1, .class = 1};
    enum dns_outcome outcome;
    struct dns_question question;
    uint8_t *message = copy(data, size, 0);
    dns_answer_read(message, size, &other, &outcome);
    dns_answer_addresses(message, size, count, NULL);
    if (dns_query_read(message, size, &question)) {
        answer(message, size, &question, &v4, DNS_OUTCOME_ANSWERED);
        answer(message, size, &question, &v6, DNS_OUTCOME_ANSWERED);
        answer(message, size, &question, NULL, DNS_OUTCOME_ANSWERED);
        answer(message, size, &question, NULL, DNS_OUTCOME_UNKNOWN);
    }
    free(message);
    return 0;
}
