/* SPDX-License-Identifier: MIT */
/* dns_message.c - see dns_message.h. */
#include "shim/trap/dns_message.h"

#include <netinet/in.h>
#include <resolv.h>
#include <string.h>
#include <strings.h>

#define NAME_POINTER  0xc000u /* with an offset: the name is the one that stands there */
#define NAME_TEXT_MAX 1025    /* what dn_expand() may write */

enum { FLAGS = 2, QUESTIONS = 4, ANSWERS = 6 }; /* offsets in the header */
enum { QR = 0x8000, OPCODE = 0x7800, TC = 0x0200, RD = 0x0100, RA = 0x0080, RCODE = 0x000f };

#define RECORD_FIXED 10 /* type, class, time to live, length of the data */

/* ---- Reading ---- */

static unsigned get16(const uint8_t *in) {
    return (unsigned)in[0] << 8 | in[1];
}

uint16_t dns_id(const uint8_t *message) {
    return (uint16_t)get16(message);
}

void dns_set_id(uint8_t *message, uint16_t id) {
    message[0] = (uint8_t)(id >> 8);
    message[1] = (uint8_t)id;
}

/* The message and how far it has been read. */
struct reader {
    const uint8_t *start, *at, *end;
};

static bool left(const struct reader *reader, size_t len) {
    return (size_t)(reader->end - reader->at) >= len;
}

static bool skip_name(struct reader *reader) {
    int n = dn_skipname(reader->at, reader->end);
    if (n < 0)
        return false;
    reader->at += n;
    return true;
}

/* The header of a message with exactly one question, which comes next. */
static bool begin(struct reader *reader, const uint8_t *message, size_t len) {
    *reader = (struct reader){message, message + DNS_HEADER_SIZE, message + len};
    return len >= DNS_HEADER_SIZE && (get16(message + FLAGS) & OPCODE) == 0 &&
           get16(message + QUESTIONS) == 1;
}

static bool read_question(struct reader *reader, struct dns_question *question) {
    char name[NAME_TEXT_MAX];
    int n = dn_expand(reader->start, reader->end, reader->at, name, sizeof name);
    if (n < 0 || strlen(name) > HELPER_HOST_NAME_MAX)
        return false;
    reader->at += n;
    if (!left(reader, 4))
        return false;
    strcpy(question->name, name);
    question->type = (uint16_t)get16(reader->at);
    question->class = (uint16_t)get16(reader->at + 2);
    reader->at += 4;
    return true;
}

/* Whether a name that dn_expand() has read is written in full. A query has nothing to point to but
 * what comes behind it, and an answer to it would lack that. */
static bool is_in_full(const uint8_t *name) {
    while (*name && *name < NAME_POINTER >> 8)
        name += 1 + *name;
    return *name == 0;
}

bool dns_query_read(const uint8_t *message, size_t len, struct dns_question *question) {
    struct reader reader;
    return begin(&reader, message, len) && !(get16(message + FLAGS) & QR) &&
           read_question(&reader, question) && is_in_full(message + DNS_HEADER_SIZE);
}

static enum dns_outcome outcome_of(unsigned flags) {
    if (flags & TC)
        return DNS_OUTCOME_CUT;
    return flags & RCODE ? DNS_OUTCOME_UNKNOWN : DNS_OUTCOME_ANSWERED;
}

/* A server that does not understand a query may leave the question out of its answer. */
bool dns_answer_read(const uint8_t *message, size_t len, const struct dns_question *question,
                     enum dns_outcome *outcome) {
    struct dns_question answered;
    struct reader reader;
    if (len < DNS_HEADER_SIZE || !(get16(message + FLAGS) & QR))
        return false;
    *outcome = outcome_of(get16(message + FLAGS));
    if (get16(message + QUESTIONS) == 0)
        return *outcome == DNS_OUTCOME_UNKNOWN;
    return begin(&reader, message, len) && read_question(&reader, &answered) &&
           strcasecmp(answered.name, question->name) == 0 && answered.type == question->type &&
           answered.class == question->class;
}

/* Reads a record. *address has family 0 if it is none of an address. */
static bool read_record(struct reader *reader, struct endpoint *address) {
    memset(address, 0, sizeof *address);
    if (!skip_name(reader) || !left(reader, RECORD_FIXED))
        return false;
    unsigned type = get16(reader->at), class = get16(reader->at + 2), size = get16(reader->at + 8);
    reader->at += RECORD_FIXED;
    if (!left(reader, size))
        return false;
    if (class == DNS_CLASS_IN && type == DNS_TYPE_A && size == 4)
        address->family = AF_INET;
    else if (class == DNS_CLASS_IN && type == DNS_TYPE_AAAA && size == 16)
        address->family = AF_INET6;
    if (address->family)
        memcpy(address->addr, reader->at, size);
    reader->at += size;
    return true;
}

void dns_answer_addresses(const uint8_t *message, size_t len,
                          void (*found)(void *context, const struct endpoint *address),
                          void *context) {
    struct dns_question question;
    struct endpoint address;
    struct reader reader;
    if (!begin(&reader, message, len) || !read_question(&reader, &question))
        return;
    for (unsigned i = get16(message + ANSWERS); i > 0 && read_record(&reader, &address); i--)
        if (address.family)
            found(context, &address);
}

/* ---- Writing ---- */

/* Where the question ends. What stands behind it, EDNS for example, is left out of an answer. */
static size_t question_end(const uint8_t *message, size_t len) {
    struct reader reader;
    if (!begin(&reader, message, len) || !skip_name(&reader) || !left(&reader, 4))
        return 0;
    return (size_t)(reader.at + 4 - message);
}

static uint8_t *put16(uint8_t *out, unsigned value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

/* RD as it came; the counts of all but the question. */
static void make_header(uint8_t *message, unsigned rcode, unsigned answers) {
    put16(message + FLAGS, QR | (get16(message + FLAGS) & RD) | RA | rcode);
    put16(put16(put16(message + ANSWERS, answers), 0), 0);
}

size_t dns_answer_make(uint8_t *message, size_t len, size_t size, const struct endpoint *address,
                       uint32_t ttl) {
    size_t end = question_end(message, len);
    size_t data = address && address->family == AF_INET6 ? 16 : 4;
    if (end == 0 || (address && size - end < 2 + RECORD_FIXED + data))
        return 0;
    make_header(message, 0, address ? 1 : 0);
    if (!address)
        return end;
    uint8_t *out = put16(message + end, NAME_POINTER | DNS_HEADER_SIZE);
    out = put16(out, data == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA);
    out = put16(put16(put16(out, DNS_CLASS_IN), ttl >> 16), ttl & 0xffff);
    out = put16(out, (unsigned)data);
    memcpy(out, address->addr, data);
    return (size_t)(out + data - message);
}

size_t dns_failure_make(uint8_t *message, size_t len) {
    size_t end = question_end(message, len);
    make_header(message, ns_r_servfail, 0);
    return end;
}
