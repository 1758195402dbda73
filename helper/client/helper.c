/* SPDX-License-Identifier: MIT */
/* helper.c - see helper.h. */
#include "helper/client/helper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "helper/client/name_table.h"
#include "helper/client/shim_listener.h"
#include "helper/metrics/metrics.h"
#include "helper/net/log.h"

static uint32_t descriptor_limit(void) {
    struct rlimit limit = {.rlim_cur = UINT32_MAX};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
}

static void conns_emptied(struct conns *conns);

bool helper_init(struct helper *helper, struct config *config, const char **why) {
    struct conns *conns = &helper->conns;
    memset(helper, 0, sizeof *helper);
    int error = reactor_init(&helper->reactor);
    if (error) {
        *why = strerror(-error);
        return false;
    }
    helper->config = config;
    reactor_set_memory(&helper->reactor, config->helper.max_memory);
    helper->began_us = loop_now_us(helper->reactor.loop);
    abandon_watches_init(&helper->watches, helper->reactor.loop);
    conns_init(conns);
    conns->reactor = &helper->reactor;
    conns->config = config;
    conns->upstreams = &helper->upstreams;
    conns->descriptors = descriptor_limit();
    conns->emptied = conns_emptied;
    proxy_listeners_init(&helper->proxies, conns, &helper->admission);
    if (getrandom(&conns->ids_seed, sizeof conns->ids_seed, GRND_NONBLOCK) < 0)
        conns->ids_seed = helper->began_us;
    return upstream_pool_init(&helper->upstreams, &helper->reactor, config, why);
}

bool helper_load_names(struct helper *helper, const char *path) {
    helper->conns.names = name_table_new(path, &helper->config->names, geteuid());
    if (!helper->conns.names)
        log_error("cannot start: out of memory");
    return helper->conns.names != NULL;
}

void helper_fini(struct helper *helper) {
    upstream_pool_flush(&helper->upstreams);
    for (struct conn *conn; (conn = conns_first(&helper->conns));)
        conn_end(conn, -ECANCELED);
    proxy_listeners_fini(&helper->proxies);
    upstream_pool_fini(&helper->upstreams);
    abandon_watches_fini(&helper->watches);
    name_table_free(helper->conns.names);
    if (helper->reactor.loop)
        reactor_fini(&helper->reactor);
    free(helper->config);
}

bool helper_reconfigure(struct helper *helper, struct config *config) {
    if (!upstream_pool_reconfigure(&helper->upstreams, config))
        return false;
    free(helper->config);
    helper->config = config;
    helper->conns.config = config;
    reactor_set_memory(&helper->reactor, config->helper.max_memory);
    upstream_pool_take_limits(&helper->upstreams);
    if (helper->conns.names)
        name_table_configure(helper->conns.names, &config->names);
    return true;
}

/* ---- Drain ---- */

/* Closed connections may still have data to be sent. */
#define DRAIN_LOOK_US 20000u

static void drain_look(struct loop_timer *timer) {
    struct helper *helper = container_of(timer, struct helper, drain_timer);
    struct loop *loop = helper->reactor.loop;
    if (conns_first(&helper->conns))
        return;
    if (upstream_pool_streams(&helper->upstreams) > 0) {
        loop_timer_set(loop, timer, loop_now_us(loop) + DRAIN_LOOK_US, drain_look);
        return;
    }
    helper->drained = true;
    helper->stop(helper);
}

static void check_drained(struct helper *helper) {
    if (helper->draining && !conns_first(&helper->conns))
        drain_look(&helper->drain_timer);
}

static void conns_emptied(struct conns *conns) {
    check_drained(container_of(conns, struct helper, conns));
}

void helper_drain(struct helper *helper) {
    if (helper->draining)
        return;
    helper->draining = true;
    metrics_enter(METRICS_DRAINING);
    log_info("draining, %u connections open", helper->conns.count);
    shim_listener_stop(helper->local);
    proxy_listeners_stop(&helper->proxies);
    name_table_hand_over(helper->conns.names);
    helper->give_way(helper);
    check_drained(helper);
}
