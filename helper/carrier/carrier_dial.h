/* SPDX-License-Identifier: MIT */
/*
 * carrier_dial.h - dials a carrier address: looks its name up, connects, makes the carrier.
 *
 * It hands out a carrier that has not been started: the caller starts it (carrier_start), and so
 * its handshake. Until then, carrier_dial_cancel gives up at any time.
 */
#ifndef HELPER_CARRIER_CARRIER_DIAL_H
#define HELPER_CARRIER_CARRIER_DIAL_H

#include "core/common/config.h"
#include "helper/carrier/carrier_scheme.h"
#include "helper/net/dial.h"
#include "helper/net/resolver.h"

/* What carrier_dial_start needs. It copies the structure; what the pointers refer to stays the
 * caller's and must remain valid until the dial is over. */
struct carrier_dial_options {
    const struct config_address *address;
    struct loop *loop;
    struct resolver_client *names;
    uint64_t timeout_us;               /* for the look-up and all connects together */
    const struct carrier_layer *layer; /* for tls:// */
    const char *server_name;           /* for the layer; NULL: the address's host */
};

/* Embedded and zeroed before its first use; it may be used again once it is over. */
struct carrier_dial {
    struct carrier_dial_options options;
    /* Called once, never from within carrier_dial_start. Either `carrier`, which is the callee's,
     * or NULL with `error`, a negative errno, and `why`, a text for the log that is valid during
     * the call. The dial is over before the call. */
    void (*done)(struct carrier_dial *dial, struct carrier *carrier, int error, const char *why);
    uint8_t state;               /* see carrier_dial.c */
    struct resolver_query query; /* while it resolves */
    struct loop_timer timer;     /* the same */
    uint64_t deadline_us;
    struct dial dial; /* while it connects */
    struct loop_watch watch;
    struct loop_task task; /* reports an address that cannot be used */
    int error;             /* why it cannot be used */
    const char *why;
};

void carrier_dial_start(struct carrier_dial *dial, const struct carrier_dial_options *options,
                        void (*done)(struct carrier_dial *dial, struct carrier *carrier, int error,
                                     const char *why));

/* Gives up: `done` will not be called. Harmless when it is over or was never started. */
void carrier_dial_cancel(struct carrier_dial *dial);

/* True while the name is being looked up. */
bool carrier_dial_is_resolving(const struct carrier_dial *dial);

#endif
