/* SPDX-License-Identifier: MIT */
/*
 * carrier_scheme.h - what the scheme of a carrier address (enum config_scheme) stands for.
 *
 * Dialling (carrier_dial.h) and accepting (carrier_listener.h) make their carriers here.
 */
#ifndef HELPER_CARRIER_CARRIER_SCHEME_H
#define HELPER_CARRIER_CARRIER_SCHEME_H

#include "core/common/config.h"
#include "helper/carrier/carrier.h"

/* Lays a carrier of another kind over a connected one, as tls:// does over TCP. Embedded in a
 * structure that has what the kind needs, such as its keys. */
struct carrier_layer {
    /* Returns the upper carrier, not started, which owns `lower` (not started either); or NULL
     * with errno set, and then `lower` stays the caller's. `server_name` is the name that the peer
     * is expected to prove, NULL at the accepting end. */
    struct carrier *(*lay)(const struct carrier_layer *layer, struct carrier *lower,
                           const char *server_name);
};

/* True if carriers of this scheme need a struct carrier_layer. */
bool carrier_scheme_has_layer(enum config_scheme scheme);

/* True if nobody on a network can read or change what such a carrier carries: it is encrypted and
 * authenticated, or does not leave the machine. */
bool carrier_scheme_is_private(enum config_scheme scheme);

/* Makes a carrier, not started, of a connected socket, which it takes over. `layer` belongs to the
 * schemes that have one; the others ignore it and `server_name`. NULL with errno set
 * (EPROTONOSUPPORT: the scheme has a layer and none was given); the socket is closed then. */
struct carrier *carrier_scheme_make(enum config_scheme scheme, struct loop *loop, int fd,
                                    const char *peer, const struct carrier_layer *layer,
                                    const char *server_name);

#endif
