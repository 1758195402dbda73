/* SPDX-License-Identifier: MIT */
/* helper_metrics.c - see helper_metrics.h. */
#include "helper/client/helper_metrics.h"

#include "helper/metrics/metrics_self.h"

/* False: it is known to be dead. One that nobody has needed yet may be alive. */
static bool look_at_gateway(const struct helper *helper, int i) {
    struct metrics_series *peer =
        metrics_series(&metrics_slot()->peers, helper->config->gateway[i].name, NULL);
    struct upstream_load load = {0};
    upstream_pool_look(&helper->upstreams, i, &load);
    bool dead = load.dead > 0 && load.alive == 0;
    metrics_add(&peer->value[PEER_WAITING], load.waiters);
    metrics_add(&peer->value[PEER_OUTPUT_BYTES], load.queued);
    metrics_add(&peer->value[PEER_UNREACHABLE], dead);
    return !dead;
}

/* True if one may be reached, or if none is needed. */
static bool look_at_gateways(const struct helper *helper) {
    static const int gauges[] = {PEER_WAITING, PEER_OUTPUT_BYTES, PEER_UNREACHABLE};
    int alive = 0, count = helper->config->n_gateways;
    for (int i = 0; i < 3; i++)
        metrics_zero(&metrics_slot()->peers, gauges[i]);
    for (int i = 0; i < count; i++)
        alive += look_at_gateway(helper, i);
    return alive > 0 || count == 0;
}

static void look(struct loop_timer *timer) {
    struct helper_metrics *metrics = container_of(timer, struct helper_metrics, timer);
    const struct helper *helper = metrics->helper;
    struct resolver_load names = resolver_load(helper->upstreams.resolver);
    struct loop *loop = helper->reactor.loop;
    uint64_t *value = metrics_slot()->value;
    metrics_beat(look_at_gateways(helper));
    metrics_self_look();
    metrics_memory_look(&helper->reactor);
    metrics_set(&value[WORKER_QUEUED_NAMES], names.waiting);
    metrics_set(&value[WORKER_NAMES_UNDER_WAY], names.under_way);
    loop_timer_set(loop, timer, loop_now_us(loop) + METRICS_BEAT_US, look);
}

void helper_metrics_start(struct helper_metrics *metrics, const struct helper *helper) {
    metrics->helper = helper;
    metrics_enter(METRICS_SERVING);
    if (metrics_are_open())
        look(&metrics->timer);
}

void helper_metrics_stop(struct helper_metrics *metrics) {
    loop_timer_clear(metrics->helper->reactor.loop, &metrics->timer);
}
