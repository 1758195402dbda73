/* helper.c - see helper.h. */
#include "helper/client/helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/client/admin.h"
#include "helper/client/name_table.h"
#include "helper/client/shim_listener.h"
#include "helper/gateway/gateway.h"
#include "helper/gateway/gateway_config.h"
#include "helper/net/log.h"

static bool is_plain(const struct config *config, const struct config_gateway *gateway) {
    for (int i = 0; i < config->routes.n_routes; i++) {
        const struct route *route = &config->routes.route[i];
        if (route->handshake == ROUTE_PLAIN && strcmp(route->gateway, gateway->name) == 0)
            return true;
    }
    return false;
}

static bool make_upstreams(struct helper *helper, const struct config *config,
                           struct upstream **upstreams) {
    for (int i = 0; i < config->n_gateways; i++) {
        upstreams[i] = upstream_new(&helper->reactor, helper->lookups, &config->gateway[i],
                                    is_plain(config, &config->gateway[i]));
        if (!upstreams[i])
            return false;
    }
    return true;
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
    reactor_set_memory(&helper->reactor, config->helper.max_memory);
    helper->began_us = loop_now_us(helper->reactor.loop);
    helper->descriptors = descriptor_limit();
    pendings_init(&helper->pendings);
    if (getrandom(&helper->ids_seed, sizeof helper->ids_seed, GRND_NONBLOCK) < 0)
        helper->ids_seed = helper->began_us;
    helper->resolver = resolver_new(helper->reactor.loop, false, why);
    if (!helper->resolver)
        return false;
    *why = "out of memory";
    helper->lookups = resolver_client_new(helper->resolver);
    if (!helper->lookups)
        return false;
    helper->config = config;
    return make_upstreams(helper, config, helper->upstreams);
}

static void free_upstreams(struct helper *helper) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++) {
        if (helper->upstreams[i])
            upstream_free(helper->upstreams[i]);
        helper->upstreams[i] = NULL;
    }
}

void helper_fini(struct helper *helper) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (helper->upstreams[i])
            upstream_flush(helper->upstreams[i]);
    while (helper->conns)
        conn_end(helper->conns, ECANCELED);
    free_upstreams(helper);
    if (helper->direct)
        upstream_free(helper->direct);
    gateway_free(helper->direct_gateway);
    free(helper->direct_config);
    pendings_fini(&helper->pendings);
    names_free(helper->names);
    resolver_client_free(helper->lookups);
    resolver_free(helper->resolver);
    if (helper->reactor.loop)
        reactor_fini(&helper->reactor);
    free(helper->config);
}

/* ---- Configuration ---- */

struct upstream *helper_upstream(struct helper *helper, const char *gateway) {
    for (int i = 0; i < helper->config->n_gateways; i++)
        if (strcmp(helper->config->gateway[i].name, gateway) == 0)
            return helper->upstreams[i];
    return NULL;
}

static bool addresses_equal(const struct config_gateway *a, const struct config_gateway *b) {
    for (int i = 0; i < a->n_addresses; i++)
        if (a->address[i].scheme != b->address[i].scheme ||
            a->address[i].port != b->address[i].port ||
            strcmp(a->address[i].host, b->address[i].host) != 0)
            return false;
    return a->n_addresses == b->n_addresses;
}

static bool gateways_equal(const struct config_gateway *a, const struct config_gateway *b) {
    return strcmp(a->name, b->name) == 0 && addresses_equal(a, b) && a->version == b->version &&
           a->keepalive == b->keepalive && a->connections == b->connections &&
           a->keepalive_interval_ms == b->keepalive_interval_ms &&
           a->keepalive_timeout_ms == b->keepalive_timeout_ms &&
           a->dial_timeout_ms == b->dial_timeout_ms && a->retry_min_ms == b->retry_min_ms &&
           a->retry_max_ms == b->retry_max_ms && a->max_frame_size == b->max_frame_size &&
           a->max_receive_buffer == b->max_receive_buffer &&
           a->max_stream_buffer == b->max_stream_buffer && strcmp(a->psk, b->psk) == 0 &&
           strcmp(a->ca, b->ca) == 0 && strcmp(a->cert, b->cert) == 0 &&
           strcmp(a->key, b->key) == 0;
}

/* An upstream whose gateway is configured as before is kept, with its sessions. */
static struct upstream *take_equal(struct helper *helper, const struct config_gateway *gateway) {
    for (int i = 0; i < helper->config->n_gateways; i++) {
        struct upstream *upstream = helper->upstreams[i];
        if (upstream && gateways_equal(upstream_config(upstream), gateway)) {
            helper->upstreams[i] = NULL;
            return upstream;
        }
    }
    return NULL;
}

bool helper_reconfigure(struct helper *helper, struct config *config) {
    struct upstream *fresh[CONFIG_GATEWAYS_MAX] = {0};
    if (!make_upstreams(helper, config, fresh)) {
        for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
            free(fresh[i]);
        return false;
    }
    for (int i = 0; i < config->n_gateways; i++) {
        struct upstream *equal = take_equal(helper, &config->gateway[i]);
        if (!equal)
            continue;
        upstream_retire(fresh[i]);
        fresh[i] = equal;
    }
    for (int i = 0; i < helper->config->n_gateways; i++)
        if (helper->upstreams[i])
            upstream_retire(helper->upstreams[i]);
    memcpy(helper->upstreams, fresh, sizeof fresh);
    free(helper->config);
    helper->config = config;
    reactor_set_memory(&helper->reactor, config->helper.max_memory);
    if (helper->names)
        names_configure(helper->names, &config->names);
    return true;
}

bool helper_is_synthetic(const struct helper *helper, const struct shim_endpoint *address) {
    return helper->names && helper->config->routes.n_name_rules &&
           names_hold(helper->names, address);
}

/* ---- Direct connections: a gateway in this process, at the other end of a socketpair ---- */

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

struct upstream *helper_direct(struct helper *helper) {
    struct config_gateway config = {.name = "direct",
                                    .version = 2,
                                    .connections = 1,
                                    .max_frame_size = 65535,
                                    .max_receive_buffer = 64 << 20,
                                    .max_stream_buffer = 4 << 20};
    int pair[2];
    if (helper->direct && !upstream_is_lost(helper->direct))
        return helper->direct;
    if (helper->direct)
        upstream_retire(helper->direct);
    helper->direct = NULL;
    if (!helper->direct_gateway && !make_direct_gateway(helper))
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return NULL;
    helper->direct = upstream_new_connected(&helper->reactor, helper->lookups, &config, pair[0]);
    if (!helper->direct) {
        close(pair[0]);
        close(pair[1]);
        return NULL;
    }
    if (gateway_take(helper->direct_gateway, pair[1], false, "direct", NULL) != 0)
        close(pair[1]); /* the session ends, its streams with it */
    return helper->direct;
}

/* ---- Drain ---- */

/* Closed connections may still have something on its way. */
#define DRAIN_LOOK_US 20000u

static uint32_t streams_alive(const struct helper *helper) {
    uint32_t streams = helper->direct ? upstream_streams(helper->direct) : 0;
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (helper->upstreams[i])
            streams += upstream_streams(helper->upstreams[i]);
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
    local_stop(helper->local);
    names_hand_over(helper->names);
    helper->give_way(helper);
    helper_conn_gone(helper);
}
