/* SPDX-License-Identifier: MIT */
/*
 * carrier_tls.h - carriers that speak TLS over another carrier, of whatever kind.
 *
 * Bytes are read from the lower carrier in large pieces. Small pieces of what is written share a
 * record, and many records share one write of the lower carrier. Records that it does not take wait
 * here; meanwhile nothing more is taken. A carrier that ends without TLS's own word for that
 * (close_notify) has been cut off: reading it fails, it does not end.
 */
#ifndef HELPER_CARRIER_CARRIER_TLS_H
#define HELPER_CARRIER_CARRIER_TLS_H

#include "helper/carrier/carrier_scheme.h"
#include "helper/carrier/tls_context.h"

/* What a server's carrier costs in memory at most, together with the socket below it: while the
 * client has said nothing; while it has not said all of its hello; while the handshake lasts, where
 * most is OpenSSL's; and when it is idle, as it has buffers only while something is in them.
 * Measured with OpenSSL 3.0: 4, 12, 48 and 18 KiB; later ones have larger keys. */
#define TLS_COST_SILENT    8192u
#define TLS_COST_HELLO     16384u
#define TLS_COST_HANDSHAKE 98304u
#define TLS_COST_IDLE      32768u

/* How many hellos are answered in a turn of the loop: each takes a key exchange and a signature,
 * for which established carriers wait. */
#define TLS_ANSWERS_PER_TURN 1u

/* Makes a TLS carrier over `lower`, which it takes over. It is a client or a server, as the context
 * is, to which it keeps a reference. `host` is what a client has connected to, NULL for a server.
 * NULL if memory is short (`lower` is the caller's then). */
struct carrier *carrier_tls_new(struct carrier *lower, struct tls_context *context,
                                const char *host);

/* What tls:// addresses are made with (carrier_scheme.h). Zeroed before its first use. */
struct tls_layer {
    struct carrier_layer layer;
    struct tls_context *context;
};

/* Carriers that are made from now on begin with `context`, to which the layer keeps a reference;
 * NULL: none can be made. */
void tls_layer_use(struct tls_layer *layer, struct tls_context *context);

#endif
