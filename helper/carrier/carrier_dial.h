/* SPDX-License-Identifier: MIT */
/*
 * carrier_dial.h - dials carrier addresses that need no look-up: connects to the first of several
 * that answers (dial.h), and makes the carrier.
 *
 * It hands out a carrier that has not been started: the caller starts it (carrier_start), and so
 * its handshake. Until then, carrier_dial_cancel gives up at any time.
 */
#ifndef HELPER_CARRIER_CARRIER_DIAL_H
#define HELPER_CARRIER_CARRIER_DIAL_H

#include "core/common/config.h"
#include "helper/carrier/carrier_scheme.h"
#include "helper/net/dial.h"

/* One of the addresses, and what it is called. */
struct carrier_place {
    const struct config_address *address; /* an IP address or a path: no name */
    const char *text;                     /* for the log */
    const char *server_name;              /* for the layer; NULL: the address's host */
};

/* What carrier_dial_start needs. It copies the structure, and the array of places; what the
 * pointers refer to stays the caller's and must remain valid until the dial is over. */
struct carrier_dial_options {
    const struct carrier_place *places;
    int count; /* of places, at most DIAL_ADDRESSES_MAX */
    struct loop *loop;
    uint64_t timeout_us;               /* for all connects together */
    const struct carrier_layer *layer; /* for tls:// */
};

/* Embedded and zeroed before its first use; it may be used again once it is over. */
struct carrier_dial {
    struct carrier_dial_options options;
    struct carrier_place places[DIAL_ADDRESSES_MAX];
    /* Called once, never from within carrier_dial_start. Either `carrier`, which is the callee's
     * and was made of dial->places[dial->won], or NULL with `error`, a negative errno.
     * carrier_dial_why says why each place has failed. The dial is over before the call. */
    void (*done)(struct carrier_dial *dial, struct carrier *carrier, int error);
    uint8_t state; /* see carrier_dial.c */
    int won;
    struct dial dial;
    struct loop_watch watch;
};

void carrier_dial_start(struct carrier_dial *dial, const struct carrier_dial_options *options,
                        void (*done)(struct carrier_dial *dial, struct carrier *carrier,
                                     int error));

/* Gives up: `done` will not be called. Harmless when it is over or was never started. */
void carrier_dial_cancel(struct carrier_dial *dial);

/* In `done`: why this place has failed, for the log. NULL: it has won, or its turn has not come, or
 * it was given up for another one that was begun with it. */
const char *carrier_dial_why(const struct carrier_dial *dial, int place);

#endif
