/* SPDX-License-Identifier: MIT */
/* upstream_pool.c - see upstream_pool.h. */
#include "helper/client/upstream_pool.h"

#include <stdlib.h>
#include <string.h>

#include "helper/carrier/carrier_socket.h"
#include "helper/gateway/gateway.h"
#include "helper/gateway/gateway_config.h"
#include "helper/net/log.h"

/* ---- Life ---- */

static bool make_upstreams(struct upstream_pool *pool, const struct config *config,
                           struct upstreams *upstreams) {
    for (int i = 0; i < config->n_gateways; i++) {
        upstreams->to[i] = upstreams_make(pool->reactor, pool->lookups, config, i);
        if (!upstreams->to[i])
            return false;
    }
    return true;
}

/* The most sessions to one gateway that users have of their own, over all their links. */
#define OWN_SESSIONS_MAX 64

/* What sessions may always have on loan adds up to half of all buffers at most. */
static uint32_t owners_max(const struct upstream_pool *pool) {
    size_t most = pool->reactor->loans_max / (2 * PUMP_LOANS_MIN), links = 1;
    for (int i = 0; i < pool->config->n_gateways; i++) {
        unsigned sessions = config_gateway_sessions(&pool->config->gateway[i]);
        if (sessions > links)
            links = sessions;
    }
    most = (most < OWN_SESSIONS_MAX ? most : OWN_SESSIONS_MAX) / links;
    return most > 0 ? (uint32_t)most : 1;
}

bool upstream_pool_init(struct upstream_pool *pool, struct reactor *reactor,
                        const struct config *config, const char **why) {
    pool->reactor = reactor;
    pool->config = config;
    accounts_init(&pool->accounts, reactor->loop);
    pool->accounts.owners_max = owners_max(pool);
    pool->resolver = resolver_new(reactor->loop, false, config->helper.resolver, why);
    if (!pool->resolver)
        return false;
    *why = "out of memory";
    pool->lookups = resolver_client_new(pool->resolver);
    if (!pool->lookups)
        return false;
    return make_upstreams(pool, config, &pool->own);
}

void upstream_pool_fini(struct upstream_pool *pool) {
    accounts_fini(&pool->accounts);
    upstreams_free(&pool->own);
    gateway_free(pool->direct_gateway);
    free(pool->direct_config);
    resolver_client_free(pool->lookups);
    resolver_free(pool->resolver);
    upstream_trust_free(&pool->trust);
}

bool upstream_pool_reconfigure(struct upstream_pool *pool, const struct config *config) {
    struct upstreams fresh = {0};
    if (!make_upstreams(pool, config, &fresh)) {
        upstreams_free(&fresh);
        return false;
    }
    upstreams_follow(&pool->own, pool->config, config);
    for (int i = 0; i < config->n_gateways; i++) {
        if (pool->own.to[i])
            upstream_retire(fresh.to[i]);
        else
            pool->own.to[i] = fresh.to[i];
    }
    upstreams_follow(&pool->accounts.others, pool->config, config);
    list_for_each(owner, &pool->accounts.owners)
        upstreams_follow(account_of_owner(owner)->own, pool->config, config);
    pool->config = config;
    return true;
}

void upstream_pool_trust(struct upstream_pool *pool, struct upstream_trust *trust) {
    upstream_trust_free(&pool->trust);
    pool->trust = *trust;
    *trust = (struct upstream_trust){0};
    upstreams_use_trust(&pool->own, &pool->trust);
    upstreams_use_trust(&pool->accounts.others, &pool->trust);
    list_for_each(owner, &pool->accounts.owners)
        upstreams_use_trust(account_of_owner(owner)->own, &pool->trust);
}

void upstream_pool_take_limits(struct upstream_pool *pool) {
    pool->accounts.owners_max = owners_max(pool);
}

/* ---- Look-up ---- */

static struct upstreams *upstreams_of(struct upstream_pool *pool, struct account *account) {
    return account ? account_upstreams(&pool->accounts, account) : &pool->own;
}

struct upstream *upstream_pool_get(struct upstream_pool *pool, struct account *account,
                                   const char *gateway) {
    for (int i = 0; i < pool->config->n_gateways; i++) {
        if (strcmp(pool->config->gateway[i].name, gateway) != 0)
            continue;
        struct upstream **to = &upstreams_of(pool, account)->to[i];
        if (!*to) {
            *to = upstreams_make(pool->reactor, pool->lookups, pool->config, i);
            if (*to)
                upstream_use_tls(*to, pool->trust.of[i]);
        }
        return *to;
    }
    return NULL;
}

/* ---- Direct connections: a gateway in this process, with a carrier between ---- */

static bool make_direct_gateway(struct upstream_pool *pool) {
    struct config_error error;
    const char *why = "out of memory";
    pool->direct_config = malloc(sizeof *pool->direct_config);
    if (!pool->direct_config)
        return false;
    gateway_config_init(pool->direct_config);
    pool->direct_config->of_helper = true;
    /* The routes have been checked; the gateway has nothing to add. */
    if (gateway_config_set(pool->direct_config, "allow", "*", &error))
        pool->direct_gateway = gateway_new(pool->reactor, pool->direct_config, &why);
    if (pool->direct_gateway)
        return true;
    log_error("direct connections are impossible: %s", why);
    free(pool->direct_config);
    pool->direct_config = NULL;
    return false;
}

struct upstream *upstream_pool_direct(struct upstream_pool *pool, struct account *account) {
    struct config_gateway config = {.name = "direct",
                                    .connections = 1,
                                    .session = {.version = 2,
                                                .max_frame_size = 65535,
                                                .max_receive_buffer = 64 << 20,
                                                .max_stream_buffer = 4 << 20}};
    struct upstream **direct = &upstreams_of(pool, account)->direct;
    struct carrier *pair[2];
    if (*direct && !upstream_is_lost(*direct))
        return *direct;
    if (*direct)
        upstream_retire(*direct);
    *direct = NULL;
    if (!pool->direct_gateway && !make_direct_gateway(pool))
        return NULL;
    if (carrier_new_pair(pool->reactor->loop, "direct", pair) != 0)
        return NULL;
    *direct = upstream_new_connected(pool->reactor, pool->lookups, &config, pair[0]);
    if (!*direct) {
        carrier_close(pair[0]);
        carrier_close(pair[1]);
        return NULL;
    }
    if (gateway_take(pool->direct_gateway, pair[1], NULL) != 0)
        carrier_close(pair[1]); /* the session ends, its streams with it */
    return *direct;
}

/* ---- All of them ---- */

/* Calls fn for the upstreams of all users. */
static void for_all_upstreams(struct upstream_pool *pool, void (*fn)(const struct upstreams *)) {
    fn(&pool->own);
    fn(&pool->accounts.others);
    list_for_each(owner, &pool->accounts.owners)
        fn(account_of_owner(owner)->own);
}

void upstream_pool_flush(struct upstream_pool *pool) {
    for_all_upstreams(pool, upstreams_flush);
}

uint32_t upstream_pool_streams(const struct upstream_pool *pool) {
    uint32_t streams = upstreams_streams(&pool->own);
    streams += upstreams_streams(&pool->accounts.others);
    list_for_each(owner, &pool->accounts.owners)
        streams += upstreams_streams(account_of_owner(owner)->own);
    return streams;
}

static void look_at(const struct upstream *upstream, struct upstream_load *load) {
    if (upstream)
        upstream_look(upstream, load);
}

void upstream_pool_look(const struct upstream_pool *pool, int i, struct upstream_load *load) {
    look_at(pool->own.to[i], load);
    look_at(pool->accounts.others.to[i], load);
    list_for_each(owner, &pool->accounts.owners)
        look_at(account_of_owner(owner)->own->to[i], load);
}

typedef void describe_fn(const struct upstreams *upstreams, const uid_t *uid, json_t *list);

static void describe(const struct upstream_pool *pool, json_t *list, describe_fn *fn) {
    fn(&pool->own, NULL, list);
    list_for_each(owner, &pool->accounts.owners) {
        const struct account *each = account_of_owner(owner);
        fn(each->own, &each->uid, list);
    }
    fn(&pool->accounts.others, NULL, list);
}

void upstream_pool_status(const struct upstream_pool *pool, json_t *list) {
    describe(pool, list, upstreams_status);
}

void upstream_pool_addresses(const struct upstream_pool *pool, json_t *list) {
    describe(pool, list, upstreams_addresses);
}
