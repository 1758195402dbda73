/* SPDX-License-Identifier: MIT
 *
 * A name server's answer with SRV records: a part of it is refused or gives the same, what is
 * returned is in order and can be used, and an answer made of it gives the same.
 */
#include <errno.h>

#include "core/common/helper_protocol.h"
#include "fuzz_check.h"
#include "helper/net/dns_srv.h"

enum {
    MESSAGE_MAX = 1024,
    HEADER_LEN = 12,
    RECORD_LEN = 10, /* type, class, time and length */
    SRV_LEN = 6
};

struct result {
    struct dns_srv records[DNS_SRV_MAX];
    int count;
    uint32_t ttl_s;
};

static void parse_copy(const uint8_t *message, size_t len, struct result *result) {
    char *copy = fuzz_copy(message, len, 0);
    memset(result, 0, sizeof *result);
    result->count = dns_srv_parse((const uint8_t *)copy, len, result->records, &result->ttl_s);
    free(copy);
}

static bool same(const struct dns_srv *a, const struct dns_srv *b) {
    return a->priority == b->priority && a->weight == b->weight && a->port == b->port &&
           strcmp(a->target, b->target) == 0;
}

static void must_be_same(const struct result *a, const struct result *b) {
    MUST(a->count == b->count);
    for (int i = 0; i < a->count; i++)
        MUST(same(&a->records[i], &b->records[i]));
}

static void must_be_good(const struct result *result) {
    MUST(result->count == -EBADMSG || (result->count >= 0 && result->count <= DNS_SRV_MAX));
    for (int i = 0; i < result->count; i++) {
        const struct dns_srv *record = &result->records[i];
        size_t len = strnlen(record->target, sizeof record->target);
        MUST(len > 0 && len < sizeof record->target);
        MUST(record->port != 0 && helper_host_name_valid(record->target, len));
        MUST(i == 0 || result->records[i - 1].priority <= record->priority);
    }
}

static uint8_t *put16(uint8_t *at, unsigned number) {
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
    return at + 2;
}

static uint8_t *put_name(uint8_t *at, const char *name) {
    while (*name) {
        size_t label = strcspn(name, ".");
        *at++ = (uint8_t)label;
        memcpy(at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    *at++ = 0;
    return at;
}

static uint8_t *put_record(uint8_t *at, const struct dns_srv *record, uint32_t ttl_s) {
    at = put_name(at, "_smux._tcp.example");
    at = put16(put16(at, 33), 1);
    at = put16(put16(at, ttl_s >> 16), ttl_s & 0xffff);
    uint8_t *length = at;
    at = put16(put16(put16(at + 2, record->priority), record->weight), record->port);
    at = put_name(at, record->target);
    put16(length, (unsigned)(at - length - 2));
    return at;
}

static void write_anew(const struct result *result) {
    static uint8_t message[HEADER_LEN + DNS_SRV_MAX * (20 + RECORD_LEN + SRV_LEN + 260)];
    struct result again;
    uint8_t *at = message + HEADER_LEN;
    memset(message, 0, HEADER_LEN);
    put16(message + 6, (unsigned)result->count);
    for (int i = 0; i < result->count; i++)
        at = put_record(at, &result->records[i], result->ttl_s);
    parse_copy(message, (size_t)(at - message), &again);
    must_be_same(result, &again);
    MUST(result->count == 0 || again.ttl_s == result->ttl_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct result whole, part;
    if (size > MESSAGE_MAX)
        return 0;
    parse_copy(data, size, &whole);
    must_be_good(&whole);
    for (size_t len = 0; len < size; len++) {
        parse_copy(data, len, &part);
        if (part.count != -EBADMSG)
            must_be_same(&whole, &part);
    }
    if (whole.count >= 0)
        write_anew(&whole);
    return 0;
}
