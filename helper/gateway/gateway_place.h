/* SPDX-License-Identifier: MIT */
/*
 * gateway_place.h - who may have a session at the gateway when many want one.
 *
 * Sessions are few (max-sessions) and cost their owner nothing but a connection, so a place must be
 * earned: a carrier that has said nothing, or has opened no stream, gives way to the next that
 * comes, the oldest first; then one whose streams have all ended, the one that has opened none for
 * longest. A session with streams is never touched. And no source (an address, a /64 of IPv6, a
 * local user) may have more than its share (max-sessions-per-source): at its limit it takes from
 * itself.
 */
#ifndef HELPER_GATEWAY_GATEWAY_PLACE_H
#define HELPER_GATEWAY_GATEWAY_PLACE_H

#include "helper/carrier/carrier_listener.h"
#include "helper/gateway/gateway_session.h"

/* Of a carrier that was accepted: its peer's address, or user if it came over a unix socket. */
struct gateway_source gateway_source_of(const struct carrier_peer *peer);

/* Makes a place for one more session of that source, if need be by ending another one. 0, or
 * -EMFILE and in *why which limit stands against it. */
int gateway_place_make(struct gateway_sessions *sessions, const struct gateway_source *source,
                       const char **why);

#endif
