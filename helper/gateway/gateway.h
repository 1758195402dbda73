/* SPDX-License-Identifier: MIT */
/*
 * gateway.h - accepts carriers and opens, for each stream, the connection that it asks for by
 * SOCKS5.
 *
 * One event loop, one thread. gateway_process.c runs it, in several processes if so configured; the
 * helper runs one inside itself for routes with `on-failure = direct`.
 */
#ifndef HELPER_GATEWAY_GATEWAY_H
#define HELPER_GATEWAY_GATEWAY_H

#include "helper/carrier/carrier_scheme.h"
#include "helper/gateway/gateway_config.h"
#include "helper/gateway/gateway_session.h"
#include "helper/net/reactor.h"
#include "helper/relay/pump.h"

struct gateway;

/* Takes no ownership of `config`, which may be replaced by gateway_reconfigure. NULL and a text in
 * *why on failure. */
struct gateway *gateway_new(struct reactor *reactor, const struct gateway_config *config,
                            const char **why);
/* Cuts off the sessions that have not ended. */
void gateway_free(struct gateway *gateway);

/* Accepts carriers of that scheme on a listening, non-blocking socket, which it takes over.
 * `layer`, for schemes that have one, stays the caller's and must outlive the gateway. 0 or a
 * negative errno; then the socket stays the caller's. */
int gateway_listen(struct gateway *gateway, int fd, enum config_scheme scheme,
                   const struct carrier_layer *layer);

/* Serves a client on a carrier that was not started yet. `source` NULL: the client is this process
 * itself, and has no deadlines. 0 or a negative errno (the carrier then stays the caller's). */
int gateway_take(struct gateway *gateway, struct carrier *carrier,
                 const struct gateway_source *source);

/* How many sessions it has, and how many streams they have. */
struct gateway_load {
    uint32_t sessions, streams;
};
struct gateway_load gateway_load(const struct gateway *gateway);

/* Its sessions, for whoever wants to look at them. */
const struct gateway_sessions *gateway_sessions(const struct gateway *gateway);

/* Sets new rules and timeouts, for streams and sessions that begin from now on. */
void gateway_reconfigure(struct gateway *gateway, const struct gateway_config *config);

/* Stops listening, tells every client to open no more streams, and calls `drained` (once, from the
 * loop) when the last stream has ended, or after timeout_ms; what is left then is cut off.
 *
 * With GATEWAY_DRAIN_WHOLE nothing is cut off, because somebody else listens by now (successor.h):
 * carriers that have been accepted begin their sessions, and a client without extensions, which
 * cannot be told, may open streams until it has had none for a while. A later call sets a timeout
 * after all. */
#define GATEWAY_DRAIN_WHOLE UINT32_MAX
void gateway_drain(struct gateway *gateway, uint32_t timeout_ms,
                   void (*drained)(struct gateway *gateway, void *user), void *user);

#endif
