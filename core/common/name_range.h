/* SPDX-License-Identifier: MIT */
/*
 * name_range.h - the addresses that stand for host names.
 *
 * A name that only the gateway can resolve gets a synthetic address, from a range that is used for
 * nothing else. There is one range for each family. Helper and shim must agree on the ranges, so
 * both read them from the same configuration, or from SMUXSHIM_NAMES. Pure functions, no
 * allocation.
 */
#ifndef CORE_COMMON_NAME_RANGE_H
#define CORE_COMMON_NAME_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

/* RFC 2544 keeps 198.18.0.0/15 off the internet; RFC 4193 lets anybody use fd00::/8. */
#define NAME_RANGE_DEFAULT_V4 "198.18.0.0/15"
#define NAME_RANGE_DEFAULT_V6 "fd73:6d78:7368::/64"

#define NAME_RANGES_TEXT_SIZE 80 /* both, with a comma */

struct name_range {
    uint16_t family;     /* AF_INET or AF_INET6 */
    uint16_t prefix_len; /* bits */
    uint8_t addr[16];    /* the network, in network order; 4 or 16 bytes used */
};

struct name_ranges {
    struct name_range v4, v6;
};

void name_ranges_default(struct name_ranges *ranges);

/* Reads a network such as "198.18.0.0/15". The prefix length is 8 to 28 for IPv4, 16 to 112 for
 * IPv6, and the network must not contain loopback, link-local, multicast or unspecified addresses.
 * Returns NULL, or what was expected (static text; *range is then unchanged). */
const char *name_range_parse(struct name_range *range, int family, const char *text);

/* Reads one or two networks, separated by commas or blanks, at most one of each family. A family
 * that is not given keeps its range. Returns NULL, or what was expected. */
const char *name_ranges_parse(struct name_ranges *ranges, const char *text);

/* Write both ranges in the form that name_ranges_parse reads, and one of them. Return `out`. */
char *name_ranges_text(const struct name_ranges *ranges, char *out, size_t size);
char *name_range_text(const struct name_range *range, char *out, size_t size);

bool name_range_equal(const struct name_range *a, const struct name_range *b);

/* Whether the address lies in the range. A v4-mapped address counts as IPv4. */
bool name_range_holds(const struct name_range *range, const struct endpoint *address);
bool name_ranges_hold(const struct name_ranges *ranges, const struct endpoint *address);

/* How many addresses the range has to assign: all but the first and the last. */
uint64_t name_range_size(const struct name_range *range);

/* The address with this number, counted from 0; port and scope are 0. False if the range has
 * fewer. */
bool name_range_address(const struct name_range *range, uint64_t number, struct endpoint *out);

/* The number of an address in the range; false if it is not one that is assigned. */
bool name_range_number(const struct name_range *range, const struct endpoint *address,
                       uint64_t *number);

#endif
