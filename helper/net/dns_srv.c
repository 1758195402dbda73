/* SPDX-License-Identifier: MIT */
/* dns_srv.c - see dns_srv.h. */
#include "helper/net/dns_srv.h"

#include <ares.h>
#include <errno.h>
#include <string.h>

#include "core/common/helper_protocol.h"

#define HEADER_LEN   12u
#define TYPE_SRV     33u
#define CLASS_IN     1u
#define TARGET_AT    6u /* in the data of a SRV record */
#define QUESTION_LEN 4u /* behind its name */
#define RECORD_LEN   10u

struct reader {
    const uint8_t *message;
    size_t len, at;
};

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* Reads the name at `at` into `out`, if that is not NULL. Returns its length in the message, or 0
 * if there is none. */
static size_t read_name(const struct reader *reader, size_t at, char out[256]) {
    char *name = NULL;
    long len = 0;
    if (at >= reader->len || ares_expand_name(reader->message + at, reader->message,
                                              (int)reader->len, &name, &len) != ARES_SUCCESS)
        return 0;
    size_t name_len = strlen(name);
    if (out && name_len < 256)
        memcpy(out, name, name_len + 1);
    else if (out)
        len = 0;
    ares_free_string(name);
    return len > 0 ? (size_t)len : 0;
}

/* Skips a name and `more` bytes behind it, to which it returns a pointer; NULL at a mistake. */
static const uint8_t *skip(struct reader *reader, size_t more) {
    size_t name = read_name(reader, reader->at, NULL);
    if (name == 0 || name > reader->len - reader->at || more > reader->len - reader->at - name)
        return NULL;
    reader->at += name + more;
    return reader->message + reader->at - more;
}

/* Enters it by its priority, behind those that have come before. */
static int enter(struct dns_srv *records, int count, const struct dns_srv *record) {
    int at = count;
    while (at > 0 && records[at - 1].priority > record->priority)
        at--;
    if (at == DNS_SRV_MAX)
        return count;
    int moved = (count < DNS_SRV_MAX ? count : DNS_SRV_MAX - 1) - at;
    memmove(&records[at + 1], &records[at], (size_t)moved * sizeof *records);
    records[at] = *record;
    return count < DNS_SRV_MAX ? count + 1 : count;
}

/* The data of a SRV record at `at`. False at a mistake. */
static bool read_srv(const struct reader *reader, size_t at, size_t data_len,
                     struct dns_srv *record) {
    if (data_len <= TARGET_AT || read_name(reader, at + TARGET_AT, record->target) == 0)
        return false;
    record->priority = get16(reader->message + at);
    record->weight = get16(reader->message + at + 2);
    record->port = get16(reader->message + at + 4);
    return true;
}

/* A target that cannot be a host is left out, and so is the root, which says "not available". A dot
 * at the end is c-ares' for a label that begins with a zero byte, where its text ends. */
static bool is_usable(const struct dns_srv *record) {
    size_t len = strlen(record->target);
    return record->port && helper_host_name_valid(record->target, len) &&
           record->target[len - 1] != '.';
}

int dns_srv_parse(const uint8_t *message, size_t len, struct dns_srv records[DNS_SRV_MAX],
                  uint32_t *ttl_s) {
    struct reader reader = {message, len, HEADER_LEN};
    int count = 0;
    *ttl_s = UINT32_MAX;
    if (len < HEADER_LEN || len > UINT16_MAX)
        return -EBADMSG;
    unsigned questions = get16(message + 4), answers = get16(message + 6);
    while (questions-- > 0)
        if (!skip(&reader, QUESTION_LEN))
            return -EBADMSG;
    while (answers-- > 0) {
        struct dns_srv record;
        const uint8_t *head = skip(&reader, RECORD_LEN);
        if (!head)
            return -EBADMSG;
        size_t data_len = get16(head + 8);
        uint32_t ttl = get32(head + 4);
        if (data_len > len - reader.at)
            return -EBADMSG;
        if (ttl < *ttl_s)
            *ttl_s = ttl;
        if (get16(head) == TYPE_SRV && get16(head + 2) == CLASS_IN) {
            if (!read_srv(&reader, reader.at, data_len, &record))
                return -EBADMSG;
            if (is_usable(&record))
                count = enter(records, count, &record);
        }
        reader.at += data_len;
    }
    return count;
}
