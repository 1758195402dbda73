/* SPDX-License-Identifier: MIT */
/*
 * upstreams.h - the upstreams of one user, or of several who share them: one to each gateway, and
 * one to the gateway in this process that connects directly.
 *
 * Each connects when its first stream is requested.
 */
#ifndef HELPER_CLIENT_UPSTREAMS_H
#define HELPER_CLIENT_UPSTREAMS_H

#include "helper/client/upstream.h"
#include "helper/client/upstream_trust.h"

struct upstreams {
    struct upstream
        *to[CONFIG_GATEWAYS_MAX]; /* in the order of config->gateway; NULL until needed */
    struct upstream *direct;      /* the same */
};

/* A new upstream to config->gateway[i]. NULL if memory is short. */
struct upstream *upstreams_make(struct reactor *reactor, struct resolver_client *names,
                                const struct config *config, int i);

/* The configuration `fresh` replaces `old`: an upstream whose gateway is configured as before is
 * kept, with its sessions, and the others are retired. */
void upstreams_follow(struct upstreams *upstreams, const struct config *old,
                      const struct config *fresh);

/* Carriers that begin from now on are made with these credentials, which are of the same
 * configuration. */
void upstreams_use_trust(const struct upstreams *upstreams, const struct upstream_trust *trust);

/* All of these are harmless where there is none. */
void upstreams_retire(struct upstreams *upstreams);
void upstreams_flush(const struct upstreams *upstreams);
void upstreams_free(struct upstreams *upstreams);
/* Streams alive, as upstream_streams counts them. */
uint32_t upstreams_streams(const struct upstreams *upstreams);

/* Appends the sessions to a list for `smuxctl status`; `uid`, if not NULL: of this user alone. */
void upstreams_status(const struct upstreams *upstreams, const uid_t *uid, json_t *list);
/* The same for the addresses of their gateways. */
void upstreams_addresses(const struct upstreams *upstreams, const uid_t *uid, json_t *list);

#endif
