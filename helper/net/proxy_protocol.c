/* SPDX-License-Identifier: MIT */
/* proxy_protocol.c - see proxy_protocol.h. */
#include "helper/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static enum proxy_progress broken(const char **why, const char *text) {
    *why = text;
    return PROXY_BROKEN;
}

/* ---- Version 1: PROXY TCP4 192.0.2.1 192.0.2.2 1024 443 ---- */

#define LINE_START "PROXY "
#define LINE_MAX   107u /* CR LF included */

/* Takes a word and the blank, or the end, behind it. */
static bool take_word(const char **rest, char *out, size_t size) {
    size_t len = strcspn(*rest, " ");
    if (len == 0 || len >= size)
        return false;
    memcpy(out, *rest, len);
    out[len] = '\0';
    *rest += len + ((*rest)[len] == ' ');
    return true;
}

static bool take_address(const char **rest, uint16_t family, struct endpoint *out) {
    char word[INET6_ADDRSTRLEN];
    out->family = family;
    return take_word(rest, word, sizeof word) && inet_pton(family, word, out->addr) == 1;
}

static bool take_port(const char **rest, uint16_t *out) {
    char word[6];
    unsigned port = 0;
    if (!take_word(rest, word, sizeof word) || (word[0] == '0' && word[1]))
        return false;
    for (const char *c = word; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        port = port * 10 + (unsigned)(*c - '0');
    }
    *out = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* `text` is what stands between LINE_START and the end of the line. */
static bool read_line(const char *text, struct proxy_header *header) {
    char word[8];
    size_t len = strlen(text);
    if (!take_word(&text, word, sizeof word))
        return false;
    if (strcmp(word, "UNKNOWN") == 0)
        return true; /* whatever follows */
    if (strcmp(word, "TCP4") != 0 && strcmp(word, "TCP6") != 0)
        return false;
    uint16_t family = word[3] == '4' ? AF_INET : AF_INET6;
    struct endpoint source = {0}, destination = {0};
    const char *begin = text;
    if (!take_address(&text, family, &source) || !take_address(&text, family, &destination) ||
        !take_port(&text, &source.port) || !take_port(&text, &destination.port))
        return false;
    /* Nothing more, a last blank neither. */
    if (*text || (size_t)(text - begin) + 5 != len || begin[strlen(begin) - 1] == ' ')
        return false;
    header->source = source;
    header->destination = destination;
    return true;
}

static enum proxy_progress read_v1(const uint8_t *data, size_t len, struct proxy_header *header,
                                   size_t *used, const char **why) {
    char text[LINE_MAX + 1];
    size_t at = sizeof LINE_START - 1;
    for (; at < len && at < LINE_MAX && data[at] >= ' ' && data[at] < 0x7f; at++)
        text[at] = (char)data[at];
    if (at == LINE_MAX)
        return broken(why, "a line of the PROXY protocol longer than 107 bytes");
    if (at == len || (at + 1 == len && data[at] == '\r' && at + 2 <= LINE_MAX))
        return PROXY_MORE;
    text[at] = '\0';
    if (data[at] != '\r' || at + 2 > LINE_MAX || data[at + 1] != '\n' ||
        !read_line(text + sizeof LINE_START - 1, header))
        return broken(why, "a bad line of the PROXY protocol");
    *used = at + 2;
    return PROXY_DONE;
}

/* ---- Version 2 ----
 *
 *      0  signature
 *     12  version (4 bits), command (4 bits)
 *     13  family (4 bits), kind of transport (4 bits)
 *     14  length of what follows: addresses, then TLVs, each of type (1), length (2) and value */

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

#define AT_COMMAND 12
#define AT_FAMILY  13
#define AT_LENGTH  14
#define FIXED_LEN  16

#define COMMAND_LOCAL 0x20
#define COMMAND_PROXY 0x21

#define FAMILY_UNSPEC 0x00
#define FAMILY_TCP4   0x11
#define FAMILY_TCP6   0x21
#define FAMILY_UNIX   0x31

#define TLV_FIXED_LEN 3

static unsigned get16(const uint8_t *at) {
    return (unsigned)at[0] << 8 | at[1];
}

static uint8_t *put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

/* Bytes of one address. */
static size_t address_len(uint16_t family) {
    return family == AF_INET ? 4 : 16;
}

static void get_addresses(const uint8_t *at, uint16_t family, struct proxy_header *header) {
    size_t len = address_len(family);
    header->source = (struct endpoint){.family = family, .port = (uint16_t)get16(at + 2 * len)};
    header->destination =
        (struct endpoint){.family = family, .port = (uint16_t)get16(at + 2 * len + 2)};
    memcpy(header->source.addr, at, len);
    memcpy(header->destination.addr, at + len, len);
}

static bool tlvs_are_whole(const uint8_t *at, size_t len) {
    while (len >= TLV_FIXED_LEN && get16(at + 1) <= len - TLV_FIXED_LEN) {
        size_t whole = TLV_FIXED_LEN + get16(at + 1);
        at += whole;
        len -= whole;
    }
    return len == 0;
}

/* How long the addresses of a family are together; -1: it is not one of a stream. */
static int addresses_len(uint8_t family) {
    switch (family) {
    case FAMILY_UNSPEC:
        return 0;
    case FAMILY_TCP4:
        return 2 * 4 + 2 * 2;
    case FAMILY_TCP6:
        return 2 * 16 + 2 * 2;
    case FAMILY_UNIX:
        return 2 * 108;
    default:
        return -1;
    }
}

static enum proxy_progress read_v2(const uint8_t *data, size_t len, struct proxy_header *header,
                                   size_t *used, const char **why) {
    if (len < FIXED_LEN)
        return PROXY_MORE;
    size_t rest = get16(data + AT_LENGTH);
    int addresses = addresses_len(data[AT_FAMILY]);
    bool local = data[AT_COMMAND] == COMMAND_LOCAL;
    if (!local && data[AT_COMMAND] != COMMAND_PROXY)
        return broken(why, "a version or command of the PROXY protocol that is not known");
    if (FIXED_LEN + rest > PROXY_HEADER_MAX)
        return broken(why, "a PROXY header longer than 536 bytes");
    if (!local && (addresses < 0 || (size_t)addresses > rest))
        return broken(why, "a PROXY header without the addresses of a stream");
    if (len < FIXED_LEN + rest)
        return PROXY_MORE;
    const uint8_t *at = data + FIXED_LEN;
    if (!local && data[AT_FAMILY] != FAMILY_UNSPEC &&
        !tlvs_are_whole(at + addresses, rest - (size_t)addresses))
        return broken(why, "a PROXY header that ends within a TLV");
    if (!local && (data[AT_FAMILY] == FAMILY_TCP4 || data[AT_FAMILY] == FAMILY_TCP6))
        get_addresses(at, data[AT_FAMILY] == FAMILY_TCP4 ? AF_INET : AF_INET6, header);
    *used = FIXED_LEN + rest;
    return PROXY_DONE;
}

/* ---- Both ---- */

static bool begins_with(const uint8_t *data, size_t len, const void *start, size_t start_len) {
    return memcmp(data, start, len < start_len ? len : start_len) == 0;
}

enum proxy_progress proxy_header_read(const uint8_t *data, size_t len, struct proxy_header *header,
                                      size_t *used, const char **why) {
    memset(header, 0, sizeof *header);
    if (begins_with(data, len, LINE_START, sizeof LINE_START - 1))
        return len < sizeof LINE_START - 1 ? PROXY_MORE : read_v1(data, len, header, used, why);
    if (begins_with(data, len, signature, sizeof signature))
        return read_v2(data, len, header, used, why);
    return broken(why, "no PROXY header");
}

static size_t write_v1(uint8_t *out, const struct endpoint *source,
                       const struct endpoint *destination) {
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    if (!source->family)
        return (size_t)sprintf((char *)out, LINE_START "UNKNOWN\r\n");
    inet_ntop(source->family, source->addr, from, sizeof from);
    inet_ntop(destination->family, destination->addr, to, sizeof to);
    return (size_t)sprintf((char *)out, LINE_START "TCP%c %s %s %u %u\r\n",
                           source->family == AF_INET ? '4' : '6', from, to, source->port,
                           destination->port);
}

static uint8_t *put_tlv(uint8_t *at, const uint8_t *end, uint8_t type, const char *text) {
    size_t len = text ? strlen(text) : 0;
    if (len == 0 || len + TLV_FIXED_LEN > (size_t)(end - at))
        return at;
    *at++ = type;
    return mempcpy(put16(at, len), text, len);
}

static size_t write_v2(uint8_t *out, const struct endpoint *source,
                       const struct endpoint *destination, const struct proxy_header *header) {
    uint8_t *at = out + FIXED_LEN;
    size_t len = address_len(source->family);
    memcpy(out, signature, sizeof signature);
    out[AT_COMMAND] = COMMAND_PROXY;
    out[AT_FAMILY] = FAMILY_UNSPEC;
    if (source->family) {
        out[AT_FAMILY] = source->family == AF_INET ? FAMILY_TCP4 : FAMILY_TCP6;
        memcpy(at, source->addr, len);
        memcpy(at + len, destination->addr, len);
        at = put16(put16(at + 2 * len, source->port), destination->port);
    }
    at = put_tlv(at, out + PROXY_HEADER_MAX, PROXY_TLV_CLIENT, header->client);
    at = put_tlv(at, out + PROXY_HEADER_MAX, PROXY_TLV_IDENTITY, header->identity);
    put16(out + AT_LENGTH, (size_t)(at - out) - FIXED_LEN);
    return (size_t)(at - out);
}

size_t proxy_header_write(uint8_t *out, enum proxy_version version,
                          const struct proxy_header *header) {
    struct endpoint source = header->source, destination = header->destination;
    if (!source.family || !destination.family)
        source.family = 0;
    if (source.family && source.family != destination.family) {
        source = endpoint_as_family(&source, AF_INET6);
        destination = endpoint_as_family(&destination, AF_INET6);
    }
    if (version == PROXY_V1)
        return write_v1(out, &source, &destination);
    return version == PROXY_V2 ? write_v2(out, &source, &destination, header) : 0;
}
