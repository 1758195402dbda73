/* SPDX-License-Identifier: MIT */
/*
 * gateway_place.h - who may have a session at the gateway when many want one.
 *
 * The number of sessions is limited (max-sessions), and a session costs its owner nothing but a
 * connection, so a place must be earned. A carrier that has sent nothing, or has opened no stream,
 * gives way to the next one, the oldest first; then one whose streams have all ended, first the one
 * that has opened none for longest. A session with streams is never ended for this. No source (an
 * address, a /64 of IPv6, a local user) may have more than its share (max-sessions-per-source): at
 * that limit, its new session replaces one of its own.
 */
#ifndef HELPER_GATEWAY_GATEWAY_PLACE_H
#define HELPER_GATEWAY_GATEWAY_PLACE_H

#include "helper/carrier/carrier_listener.h"
#include "helper/gateway/gateway_session.h"

/* The source of an accepted carrier: its peer's address, or user if it came over a unix socket. */
struct gateway_source gateway_source_of(const struct carrier_peer *peer);

/* Makes a place for one more session of that source, if necessary by ending another one. 0, or
 * -EMFILE and in *why which limit forbids it. */
int gateway_place_make(struct gateway_sessions *sessions, const struct gateway_source *source,
                       const char **why);

#endif
