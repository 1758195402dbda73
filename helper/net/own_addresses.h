/* SPDX-License-Identifier: MIT */
/*
 * own_addresses.h - the addresses of this host's interfaces.
 *
 * They are read from the kernel when they are needed, and again when they are older than
 * OWN_ADDRESSES_AGE_US: a change is noticed after that time.
 */
#ifndef HELPER_NET_OWN_ADDRESSES_H
#define HELPER_NET_OWN_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

#define OWN_ADDRESSES_AGE_US 2000000u

/* Zeroed before first use. */
struct own_addresses {
    struct endpoint *address; /* port 0 */
    size_t count;
    uint64_t read_us; /* loop_clock_us; 0: never */
};

/* True if `address`, whatever its port, belongs to an interface of this host; also as long as the
 * kernel has not said which addresses do. */
bool own_addresses_have(struct own_addresses *own, const struct endpoint *address, uint64_t now_us);

void own_addresses_fini(struct own_addresses *own);

#endif
