/* SPDX-License-Identifier: MIT */
/* helper.c - see helper.h. */
#include "helper/client/helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "helper/carrier/carrier_socket.h"
#include "helper/client/admin.h"
#include "helper/client/name_table.h"
#include "helper/client/shim_listener.h"
#include "helper/gateway/gateway.h"
#include "helper/gateway/gateway_config.h"
#include "helper/net/log.h"

static bool make_upstreams(struct helper *helper, const struct config *config,
                           struct upstreams *upstreams) {
    for (int i = 0; i < config->n_gateways; i++) {
        upstreams->to[i] = upstreams_make(&helper->reactor, helper->lookups, config, i);
        if (!upstreams->to[i])
            return false;
    }
    return true;
}

/* Users with sessions of their own, at most, to one gateway; over all links of theirs. */
#define OWN_SESSIONS_MAX 64

/* What a session may have on loan in any case adds up to half of what there is, at most. */
static uint32_t owners_max(const struct helper *helper) {
    size_t most = helper->reactor.loans_max / (2 * PUMP_LOANS_MIN), links = 1;
    for (int i = 0; i < helper->config->n_gateways; i++)
        if (helper->config->gateway[i].connections > links)
            links = helper->config->gateway[i].connections;
    most = (most < OWN_SESSIONS_MAX ? most : OWN_SESSIONS_MAX) / links;
    return most > 0 ? (uint32_t)most : 1;
}

static void take_limits(struct helper *helper) {
    reactor_set_memory(&helper->reactor, helper->config->helper.max_memory);
    helper->accounts.owners_max = owners_max(helper);
}

static uint32_t descriptor_limit(void) {
    struct rlimit limit = {.rlim_cur = UINT32_MAX};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
}

uint32_t helper_streams_per_user(const struct helper *helper) {
    uint32_t configured = helper->config->helper.max_streams_per_user;
    uint32_t share = helper->descriptors / 4;
    return configured < share ? configured : share;
}

bool helper_init(struct helper *helper, struct config *config, const char **why) {
    memset(helper, 0, sizeof *helper);
    int error = reactor_init(&helper->reactor);
    if (error) {
        *why = strerror(-error);
        return false;
    }
    accounts_init(&helper->accounts, helper->reactor.loop);
    helper->config = config;
    take_limits(helper);
    helper->began_us = loop_now_us(helper->reactor.loop);
    helper->descriptors = descriptor_limit();
    abandon_watches_init(&helper->pendings);
    if (getrandom(&helper->ids_seed, sizeof helper->ids_seed, GRND_NONBLOCK) < 0)
        helper->ids_seed = helper->began_us;
    helper->resolver = resolver_new(helper->reactor.loop, false, why);
    if (!helper->resolver)
        return false;
    *why = "out of memory";
    helper->lookups = resolver_client_new(helper->resolver);
    if (!helper->lookups)
        return false;
    return make_upstreams(helper, config, &helper->upstreams);
}

/* All users' at once. */
static void for_all_upstreams(struct helper *helper, void (*fn)(const struct upstreams *)) {
    fn(&helper->upstreams);
    fn(&helper->accounts.others);
    for (const struct account *each = helper->accounts.owners; each; each = each->owner_next)
        fn(each->own);
}

void helper_fini(struct helper *helper) {
    for_all_upstreams(helper, upstreams_flush);
    while (helper->conns)
        conn_end(helper->conns, ECANCELED);
    accounts_fini(&helper->accounts);
    upstreams_free(&helper->upstreams);
    gateway_free(helper->direct_gateway);
    free(helper->direct_config);
    abandon_watches_fini(&helper->pendings);
    name_table_free(helper->names);
    resolver_client_free(helper->lookups);
    resolver_free(helper->resolver);
    if (helper->reactor.loop)
        reactor_fini(&helper->reactor);
    free(helper->config);
}

/* ---- Configuration ---- */

static struct upstreams *upstreams_of(struct helper *helper, struct account *account) {
    return account ? account_upstreams(&helper->accounts, account) : &helper->upstreams;
}

struct upstream *helper_upstream(struct helper *helper, struct account *account,
                                 const char *gateway) {
    for (int i = 0; i < helper->config->n_gateways; i++) {
        if (strcmp(helper->config->gateway[i].name, gateway) != 0)
            continue;
        struct upstream **to = &upstreams_of(helper, account)->to[i];
        if (!*to)
            *to = upstreams_make(&helper->reactor, helper->lookups, helper->config, i);
        return *to;
    }
    return NULL;
}

bool helper_reconfigure(struct helper *helper, struct config *config) {
    struct upstreams fresh = {0};
    if (!make_upstreams(helper, config, &fresh)) {
        upstreams_free(&fresh);
        return false;
    }
    upstreams_follow(&helper->upstreams, helper->config, config);
    for (int i = 0; i < config->n_gateways; i++) {
        if (helper->upstreams.to[i])
            upstream_retire(fresh.to[i]);
        else
            helper->upstreams.to[i] = fresh.to[i];
    }
    upstreams_follow(&helper->accounts.others, helper->config, config);
    for (struct account *each = helper->accounts.owners; each; each = each->owner_next)
        upstreams_follow(each->own, helper->config, config);
    free(helper->config);
    helper->config = config;
    take_limits(helper);
    if (helper->names)
        name_table_configure(helper->names, &config->names);
    return true;
}

bool helper_is_synthetic(const struct helper *helper, const struct endpoint *address) {
    return helper->names && helper->config->routes.n_name_rules &&
           name_table_hold(helper->names, address);
}

/* ---- Direct connections: a gateway in this process, with a carrier between ---- */

static bool make_direct_gateway(struct helper *helper) {
    struct config_error error;
    const char *why = "out of memory";
    helper->direct_config = malloc(sizeof *helper->direct_config);
    if (!helper->direct_config)
        return false;
    gateway_config_init(helper->direct_config);
    helper->direct_config->of_helper = true;
    /* The routes have been checked; the gateway has nothing to add. */
    if (gateway_config_set(helper->direct_config, "allow", "*", &error))
        helper->direct_gateway = gateway_new(&helper->reactor, helper->direct_config, &why);
    if (helper->direct_gateway)
        return true;
    log_error("direct connections are impossible: %s", why);
    free(helper->direct_config);
    helper->direct_config = NULL;
    return false;
}

struct upstream *helper_direct(struct helper *helper, struct account *account) {
    struct config_gateway config = {.name = "direct",
                                    .connections = 1,
                                    .session = {.version = 2,
                                                .max_frame_size = 65535,
                                                .max_receive_buffer = 64 << 20,
                                                .max_stream_buffer = 4 << 20}};
    struct upstream **direct = &upstreams_of(helper, account)->direct;
    struct carrier *pair[2];
    if (*direct && !upstream_is_lost(*direct))
        return *direct;
    if (*direct)
        upstream_retire(*direct);
    *direct = NULL;
    if (!helper->direct_gateway && !make_direct_gateway(helper))
        return NULL;
    if (carrier_new_pair(helper->reactor.loop, "direct", pair) != 0)
        return NULL;
    *direct = upstream_new_connected(&helper->reactor, helper->lookups, &config, pair[0]);
    if (!*direct) {
        carrier_close(pair[0]);
        carrier_close(pair[1]);
        return NULL;
    }
    if (gateway_take(helper->direct_gateway, pair[1], NULL) != 0)
        carrier_close(pair[1]); /* the session ends, its streams with it */
    return *direct;
}

/* ---- Status ---- */

void helper_status(const struct helper *helper, json_t *list) {
    upstreams_status(&helper->upstreams, NULL, list);
    for (const struct account *each = helper->accounts.owners; each; each = each->owner_next)
        upstreams_status(each->own, &each->uid, list);
    upstreams_status(&helper->accounts.others, NULL, list);
}

/* ---- Drain ---- */

/* Closed connections may still have something on its way. */
#define DRAIN_LOOK_US 20000u

static uint32_t streams_alive(const struct helper *helper) {
    uint32_t streams = upstreams_streams(&helper->upstreams);
    streams += upstreams_streams(&helper->accounts.others);
    for (const struct account *each = helper->accounts.owners; each; each = each->owner_next)
        streams += upstreams_streams(each->own);
    return streams;
}

static void drain_look(struct loop_timer *timer) {
    struct helper *helper = container_of(timer, struct helper, drain_timer);
    struct loop *loop = helper->reactor.loop;
    if (helper->conns)
        return;
    if (streams_alive(helper) == 0)
        helper->stop(helper);
    else
        loop_timer_set(loop, timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
}

void helper_conn_gone(struct helper *helper) {
    if (helper->draining && !helper->conns)
        drain_look(&helper->drain_timer);
}

void helper_drain(struct helper *helper) {
    if (helper->draining)
        return;
    helper->draining = true;
    log_info("draining, %u connections open", helper->conn_count);
    shim_listener_stop(helper->local);
    name_table_hand_over(helper->names);
    helper->give_way(helper);
    helper_conn_gone(helper);
}
