/* SPDX-License-Identifier: MIT */
/*
 * networks.h - a short list of networks, in one flat value.
 */
#ifndef HELPER_NET_NETWORKS_H
#define HELPER_NET_NETWORKS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/common/endpoint.h"

#define NETWORKS_MAX 32

struct networks {
    uint16_t count;
    struct {
        uint16_t family;
        uint8_t prefix_len; /* bits */
        uint8_t addr[16];   /* the others are zero */
    } network[NETWORKS_MAX];
};

/* Adds "10.0.0.0/8", "2001:db8::/32", or an address. NULL, or what was expected instead. */
const char *networks_add(struct networks *networks, const char *text);

/* Does an address lie in one of them? A v4-mapped one is looked up as IPv4. */
bool networks_have(const struct networks *networks, const struct endpoint *address);

#endif
