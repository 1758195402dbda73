/* SPDX-License-Identifier: MIT */
/*
 * dns_message.h - what the name stub has to know of DNS messages (RFC 1035, section 4).
 *
 * libc's dn_expand() and dn_skipname() read names, the one part that is hard to read safely. Pure
 * functions, no allocation. Nothing of a message is trusted.
 */
#ifndef SHIM_TRAP_DNS_MESSAGE_H
#define SHIM_TRAP_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"
#include "core/common/helper_protocol.h"

#define DNS_HEADER_SIZE 12

enum { DNS_TYPE_A = 1, DNS_TYPE_AAAA = 28, DNS_CLASS_IN = 1 };

/* The question of a query or an answer. */
struct dns_question {
    char name[HELPER_HOST_NAME_MAX + 1]; /* without the final dot; in no particular case */
    uint16_t type, class;
};

/* What a server's answer says of the name. */
enum dns_outcome {
    DNS_OUTCOME_ANSWERED, /* there are records, or there is such a name without any */
    DNS_OUTCOME_UNKNOWN,  /* there is no such name, or the server cannot or will not tell */
    DNS_OUTCOME_CUT,      /* the answer is too large for a datagram: ask by TCP */
};

/* Reads the question of an ordinary query. False for anything else: an answer, another operation,
 * no question or several, a name that is longer than a host name can be. */
bool dns_query_read(const uint8_t *message, size_t len, struct dns_question *question);

/* Reads an answer. False if it is none, or not one to this question. */
bool dns_answer_read(const uint8_t *message, size_t len, const struct dns_question *question,
                     enum dns_outcome *outcome);

/* Calls `found` with each address that an answer has. */
void dns_answer_addresses(const uint8_t *message, size_t len,
                          void (*found)(void *context, const struct endpoint *address),
                          void *context);

/*
 * Turns a query that dns_query_read() has accepted into its answer, in place: the name has
 * `address` for the time of `ttl` seconds, or, if that is NULL, no record of the kind that was
 * asked for. The message has room for `size` bytes. Returns its new length; 0 if there is no room.
 */
size_t dns_answer_make(uint8_t *message, size_t len, size_t size, const struct endpoint *address,
                       uint32_t ttl);

/* The same for a server that does not answer: SERVFAIL. */
size_t dns_failure_make(uint8_t *message, size_t len);

uint16_t dns_id(const uint8_t *message);
void dns_set_id(uint8_t *message, uint16_t id);

#endif
