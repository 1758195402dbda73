/* SPDX-License-Identifier: MIT */
/* prefix.h - prefixes of network addresses, in network byte order: CIDR. */
#ifndef CORE_COMMON_PREFIX_H
#define CORE_COMMON_PREFIX_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Whether the first `prefix_len` bits of both addresses are the same. */
static inline bool prefix_matches(const uint8_t *a, const uint8_t *b, unsigned prefix_len) {
    unsigned whole = prefix_len / 8, rest = prefix_len % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

/* Whether all of the address's `bits` bits after the first `prefix_len` are zero. */
static inline bool prefix_host_bits_clear(const uint8_t *addr, unsigned prefix_len, unsigned bits) {
    for (unsigned i = prefix_len; i < bits; i++)
        if (addr[i / 8] & (0x80u >> (i % 8)))
            return false;
    return true;
}

#endif
