/* SPDX-License-Identifier: MIT */
/* name_range.c - see name_range.h. */
#include "core/common/name_range.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/common/number.h"
#include "core/common/prefix.h"

/* Networks with a special meaning for the kernel or for every program. */
static const struct name_range taken[] = {
    {AF_INET, 8, {0}},            /* "this network", unspecified */
    {AF_INET, 8, {127}},          /* loopback */
    {AF_INET, 16, {169, 254}},    /* link-local */
    {AF_INET, 4, {224}},          /* multicast */
    {AF_INET, 8, {255}},          /* broadcast */
    {AF_INET6, 8, {0}},           /* unspecified, loopback, v4-mapped, NAT64 */
    {AF_INET6, 10, {0xfe, 0x80}}, /* link-local */
    {AF_INET6, 8, {0xff}},        /* multicast */
};

static unsigned address_bits(int family) {
    return family == AF_INET6 ? 128 : 32;
}

static bool overlap(const struct name_range *a, const struct name_range *b) {
    unsigned bits = a->prefix_len < b->prefix_len ? a->prefix_len : b->prefix_len;
    return a->family == b->family && prefix_matches(a->addr, b->addr, bits);
}

void name_ranges_default(struct name_ranges *ranges) {
    memset(ranges, 0, sizeof *ranges);
    name_range_parse(&ranges->v4, AF_INET, NAME_RANGE_DEFAULT_V4);
    name_range_parse(&ranges->v6, AF_INET6, NAME_RANGE_DEFAULT_V6);
}

const char *name_range_parse(struct name_range *range, int family, const char *text) {
    struct name_range fresh = {.family = (uint16_t)family};
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/'), *end;
    size_t len = slash ? (size_t)(slash - text) : sizeof address;
    bool v6 = family == AF_INET6;
    if (len < sizeof address) {
        memcpy(address, text, len);
        address[len] = '\0';
    }
    if (len >= sizeof address || inet_pton(family, address, fresh.addr) != 1)
        return v6 ? "an IPv6 network such as " NAME_RANGE_DEFAULT_V6
                  : "an IPv4 network such as " NAME_RANGE_DEFAULT_V4;
    unsigned long long prefix_len = number_read(slash + 1, 10, &end);
    if (slash[1] < '0' || slash[1] > '9' || *end || prefix_len < (v6 ? 16 : 8) ||
        prefix_len > (v6 ? 112 : 28))
        return v6 ? "a prefix length from 16 to 112" : "a prefix length from 8 to 28";
    fresh.prefix_len = (uint16_t)prefix_len;
    if (!prefix_host_bits_clear(fresh.addr, fresh.prefix_len, address_bits(fresh.family)))
        return "a network, without bits set after the prefix length";
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (overlap(&fresh, &taken[i]))
            return "a network without loopback, link-local, multicast or unspecified addresses";
    *range = fresh;
    return NULL;
}

const char *name_ranges_parse(struct name_ranges *ranges, const char *text) {
    struct name_ranges fresh = *ranges;
    bool v4 = false, v6 = false;
    for (text += strspn(text, ", \t"); *text; text += strspn(text, ", \t")) {
        char word[INET6_ADDRSTRLEN + 8];
        size_t len = strcspn(text, ", \t");
        if (len >= sizeof word)
            return "networks such as " NAME_RANGE_DEFAULT_V4 ", " NAME_RANGE_DEFAULT_V6;
        memcpy(word, text, len);
        word[len] = '\0';
        text += len;
        bool is_v6 = strchr(word, ':') != NULL;
        if (is_v6 ? v6 : v4)
            return "at most one network of each family";
        const char *why = is_v6 ? name_range_parse(&fresh.v6, AF_INET6, word)
                                : name_range_parse(&fresh.v4, AF_INET, word);
        if (why)
            return why;
        v4 |= !is_v6;
        v6 |= is_v6;
    }
    *ranges = fresh;
    return NULL;
}

char *name_range_text(const struct name_range *range, char *out, size_t size) {
    char address[INET6_ADDRSTRLEN] = "";
    inet_ntop(range->family, range->addr, address, sizeof address);
    snprintf(out, size, "%s/%u", address, range->prefix_len);
    return out;
}

char *name_ranges_text(const struct name_ranges *ranges, char *out, size_t size) {
    char v4[NAME_RANGES_TEXT_SIZE], v6[NAME_RANGES_TEXT_SIZE];
    snprintf(out, size, "%s,%s", name_range_text(&ranges->v4, v4, sizeof v4),
             name_range_text(&ranges->v6, v6, sizeof v6));
    return out;
}

bool name_range_equal(const struct name_range *a, const struct name_range *b) {
    return a->prefix_len == b->prefix_len && overlap(a, b);
}

bool name_range_holds(const struct name_range *range, const struct endpoint *address) {
    struct endpoint plain = endpoint_unmapped(address);
    return plain.family == range->family &&
           prefix_matches(plain.addr, range->addr, range->prefix_len);
}

bool name_ranges_hold(const struct name_ranges *ranges, const struct endpoint *address) {
    return name_range_holds(&ranges->v4, address) || name_range_holds(&ranges->v6, address);
}

uint64_t name_range_size(const struct name_range *range) {
    unsigned bits = address_bits(range->family) - range->prefix_len;
    return bits > 62 ? INT64_MAX : ((uint64_t)1 << bits) - 2;
}

bool name_range_address(const struct name_range *range, uint64_t number, struct endpoint *out) {
    if (number >= name_range_size(range))
        return false;
    *out = (struct endpoint){.family = range->family};
    memcpy(out->addr, range->addr, sizeof out->addr);
    uint64_t host = number + 1;
    for (size_t i = address_bits(range->family) / 8; host; host >>= 8)
        out->addr[--i] |= (uint8_t)host;
    return true;
}

bool name_range_number(const struct name_range *range, const struct endpoint *address,
                       uint64_t *number) {
    struct endpoint plain = endpoint_unmapped(address);
    size_t len = address_bits(range->family) / 8;
    uint64_t host = 0;
    if (!name_range_holds(range, &plain))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (host >> 56)
            return false;
        host = host << 8 | (uint8_t)(plain.addr[i] ^ range->addr[i]);
    }
    *number = host - 1;
    return host > 0 && *number < name_range_size(range);
}
