/* SPDX-License-Identifier: MIT */
/*
 * proxy_source.h - how many connections each address has to one listener.
 *
 * An IPv4 address or an IPv6 network of 64 bits is one source.
 */
#ifndef HELPER_CLIENT_PROXY_SOURCE_H
#define HELPER_CLIENT_PROXY_SOURCE_H

#include <stdint.h>

#include "core/common/endpoint.h"
#include "core/common/list.h"

#define PROXY_SOURCES_BUCKETS 64u

struct proxy_sources {
    struct list bucket[PROXY_SOURCES_BUCKETS];
};

struct proxy_source {
    uint16_t family;
    uint8_t network[8];
    uint32_t count;        /* of connections */
    struct list_link link; /* in its bucket */
};

void proxy_sources_init(struct proxy_sources *sources);

/* The source of that address, with the connection counted, to be given back by proxy_source_leave.
 * NULL if memory is short. */
struct proxy_source *proxy_source_enter(struct proxy_sources *sources,
                                        const struct endpoint *address);
void proxy_source_leave(struct proxy_source *source); /* NULL is fine */

#endif
