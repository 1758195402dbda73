/* SPDX-License-Identifier: MIT */
/*
 * handshakes.h - how many connections may be there whose peers have not shown yet who they are.
 *
 * Whoever reaches a listener can open connections and then wait. So the number of those that wait
 * is bounded, in all and for each source. A new one is never turned away for that: an older one
 * gives way to it. Where a source has as many as it may have, that is its own oldest; where there
 * are too many in all, it is the oldest of the source that has most of them.
 *
 * A client that is honest is through after two or three round trips, while one who wants to occupy
 * a place must hold on to it, and so becomes the oldest. If new ones were turned away instead,
 * always or by chance, those who hold on would keep honest ones out until their time is up. As the
 * source with most of them gives way, to keep out a client that has an address of its own takes as
 * many addresses as there may be connections.
 */
#ifndef HELPER_CARRIER_HANDSHAKES_H
#define HELPER_CARRIER_HANDSHAKES_H

#include "core/common/endpoint.h"
#include "core/common/list.h"

#define HANDSHAKES_BUCKETS 256u

struct handshakes {
    uint32_t max, max_per_source;
    uint32_t count;
    uint64_t entered;
    struct list source[HANDSHAKES_BUCKETS]; /* by a hash of its key */
};

struct handshake_source;

/* Embedded in what waits, and zeroed before its first use. */
struct handshake {
    /* The place is needed: ends what waits, unless the peer has shown who it is meanwhile. In any
     * case it has left (handshakes_leave) on return. `why` names the limit. */
    void (*give_way)(struct handshake *handshake, const char *why);
    struct handshake_source *source; /* NULL: it is not in */
    struct list_link link;           /* in its source's list, the oldest first */
    uint64_t number;                 /* how many have entered before */
};

void handshakes_init(struct handshakes *handshakes);
/* For those who enter from now on. */
void handshakes_limit(struct handshakes *handshakes, uint32_t max, uint32_t max_per_source);

/* Enters one whose peer is at `address`: an IPv4 address or an IPv6 network of 64 bits is one
 * source. `shared`: for many clients, as a balancer is, so that a source's limit is not for it. 0
 * or -ENOMEM. */
int handshakes_enter(struct handshakes *handshakes, struct handshake *handshake,
                     const struct endpoint *address, bool shared);
/* It waits no more. Harmless if it is not in. */
void handshakes_leave(struct handshakes *handshakes, struct handshake *handshake);

#endif
