/*
 * name_range.h - the addresses that stand for host names.
 *
 * A name that only the gateway can resolve gets a synthetic address: one of a range that is in use
 * for nothing else. There is one range for each family. Helper and shim must agree on them, so both
 * read them from the same configuration, or from SMUXSHIM_NAMES. Pure functions, no allocation.
 */
#ifndef CORE_COMMON_NAME_RANGE_H
#define CORE_COMMON_NAME_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

/* RFC 2544 keeps 198.18.0.0/15 off the internet; RFC 4193 leaves fd00::/8 to everybody. */
#define SHIM_RANGE_DEFAULT_V4 "198.18.0.0/15"
#define SHIM_RANGE_DEFAULT_V6 "fd73:6d78:7368::/64"

#define SHIM_RANGES_TEXT_SIZE 80 /* both, with a comma */

struct shim_range {
    uint16_t family;     /* AF_INET or AF_INET6 */
    uint16_t prefix_len; /* bits */
    uint8_t addr[16];    /* the network, in network order; 4 or 16 bytes used */
};

struct shim_ranges {
    struct shim_range v4, v6;
};

void shim_ranges_default(struct shim_ranges *ranges);

/* Reads a network such as "198.18.0.0/15". The prefix length is 8 to 28 for IPv4, 16 to 112 for
 * IPv6, and there must be no loopback, link-local, multicast or unspecified address in it. Returns
 * NULL, or what was expected (static text; *range is then unchanged). */
const char *shim_range_parse(struct shim_range *range, int family, const char *text);

/* Reads one or two networks, separated by commas or blanks, at most one of each family; a family
 * that is not named keeps the range that it has. NULL, or what was expected. */
const char *shim_ranges_parse(struct shim_ranges *ranges, const char *text);

/* Writes both as shim_ranges_parse reads them, and one. Return `out`. */
char *shim_ranges_text(const struct shim_ranges *ranges, char *out, size_t size);
char *shim_range_text(const struct shim_range *range, char *out, size_t size);

bool shim_range_equal(const struct shim_range *a, const struct shim_range *b);

/* Is the address one of the range? A v4-mapped one counts as IPv4. */
bool shim_range_holds(const struct shim_range *range, const struct shim_endpoint *address);
bool shim_ranges_hold(const struct shim_ranges *ranges, const struct shim_endpoint *address);

/* How many addresses the range has to give away: all but the first and the last. */
uint64_t shim_range_size(const struct shim_range *range);

/* The address with this number, counted from 0; port and scope are 0. False if there are not so
 * many. */
bool shim_range_address(const struct shim_range *range, uint64_t number, struct shim_endpoint *out);

/* The number of an address of the range; false if it is not one that is given away. */
bool shim_range_number(const struct shim_range *range, const struct shim_endpoint *address,
                       uint64_t *number);

#endif
