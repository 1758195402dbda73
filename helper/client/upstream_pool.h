/* SPDX-License-Identifier: MIT */
/*
 * upstream_pool.h - all upstreams of the helper: those of its own user, those of the users whom it
 * admits (accounts.h), and the gateway in this process for connections that go out directly.
 */
#ifndef HELPER_CLIENT_UPSTREAM_POOL_H
#define HELPER_CLIENT_UPSTREAM_POOL_H

#include "core/common/config.h"
#include "helper/client/accounts.h"
#include "helper/client/upstreams.h"
#include "helper/net/reactor.h"
#include "helper/net/resolver.h"

struct gateway;
struct gateway_config;

struct upstream_pool {
    struct reactor *reactor;
    struct resolver *resolver;
    struct resolver_client *lookups; /* of all upstreams */
    const struct config *config;
    struct upstream_trust trust;    /* what the configuration's files had in them */
    struct upstreams own;           /* of the helper's own user and root; `to` is complete */
    struct accounts accounts;       /* of all others */
    struct gateway *direct_gateway; /* in this process, for on-failure = direct */
    struct gateway_config *direct_config;
};

/* `pool` is zeroed. Takes no ownership of `config`, which lives until upstream_pool_reconfigure
 * replaces it. False with a text in *why; call upstream_pool_fini then as well. */
bool upstream_pool_init(struct upstream_pool *pool, struct reactor *reactor,
                        const struct config *config, const char **why);
/* Ends all sessions. All connections must have ended before. */
void upstream_pool_fini(struct upstream_pool *pool);

/* Takes a new configuration: sessions whose gateway is configured as before go on. False, with
 * nothing changed, if memory is short. */
bool upstream_pool_reconfigure(struct upstream_pool *pool, const struct config *config);
/* Takes over the credentials that go with the present configuration: carriers that begin from now
 * on are made with them. */
void upstream_pool_trust(struct upstream_pool *pool, struct upstream_trust *trust);
/* The reactor's memory or the configuration has changed: how many users may have sessions of their
 * own follows from both. */
void upstream_pool_take_limits(struct upstream_pool *pool);

/* The user's upstream for a gateway's name; `account` NULL: the helper's own user's. NULL if there
 * is none, or memory is short. */
struct upstream *upstream_pool_get(struct upstream_pool *pool, struct account *account,
                                   const char *gateway);

/* The user's upstream that connects directly from this machine. NULL if memory or descriptors are
 * short. */
struct upstream *upstream_pool_direct(struct upstream_pool *pool, struct account *account);

/* Writes what the carriers accept now: the last data of closed connections. */
void upstream_pool_flush(struct upstream_pool *pool);

/* Streams alive, as upstream_streams counts them. */
uint32_t upstream_pool_streams(const struct upstream_pool *pool);

/* Adds what the upstreams of all users to config->gateway[i] have, for the metrics. */
void upstream_pool_look(const struct upstream_pool *pool, int i, struct upstream_load *load);

/* The sessions of all, for `smuxctl status`. */
void upstream_pool_status(const struct upstream_pool *pool, json_t *list);
/* The addresses of their gateways, for the same. */
void upstream_pool_addresses(const struct upstream_pool *pool, json_t *list);

#endif
