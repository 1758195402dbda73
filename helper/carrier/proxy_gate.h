/* SPDX-License-Identifier: MIT */
/*
 * proxy_gate.h - connections of balancers, which wait here until they have said for whom they are
 * (proxy_protocol.h).
 *
 * Nothing behind the header is read. A connection has PROXY_GATE_US to say it all, or less if the
 * gate says so, and counts as a handshake (handshakes.h) meanwhile.
 */
#ifndef HELPER_CARRIER_PROXY_GATE_H
#define HELPER_CARRIER_PROXY_GATE_H

#include "core/common/list.h"
#include "helper/carrier/handshakes.h"
#include "helper/net/loop.h"
#include "helper/net/proxy_protocol.h"

#define PROXY_GATE_US 5000000u

struct proxy_gate {
    struct loop *loop;
    /* A header has come; the fd, which is the callee's, has the bytes behind it. It was accepted
     * at `since_us`. */
    void (*passed)(struct proxy_gate *gate, int fd, const struct endpoint *balancer,
                   const struct proxy_header *header, uint64_t since_us);
    struct handshakes *handshakes; /* NULL: their number has no limit */
    uint64_t within_us;            /* 0: PROXY_GATE_US */
    struct list waiting;           /* for their headers */
};

/* Takes a connected, non-blocking socket of `balancer`, over. */
void proxy_gate_enter(struct proxy_gate *gate, int fd, const struct endpoint *balancer);
/* Closes all that wait. */
void proxy_gate_close(struct proxy_gate *gate);

#endif
