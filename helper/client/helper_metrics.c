/* SPDX-License-Identifier: MIT */
/* helper_metrics.c - see helper_metrics.h. */
#include "helper/client/helper_metrics.h"

#include "helper/metrics/metrics.h"

/* A gateway that nobody has needed yet may be alive. */
static bool may_reach_one(const struct helper *helper) {
    const struct config *config = helper->config;
    for (int i = 0; i < config->n_gateways; i++) {
        const struct upstream *upstream = helper->upstreams.own.to[i];
        if (!upstream || !upstream_is_dead(upstream))
            return true;
    }
    return config->n_gateways == 0;
}

static void look(struct loop_timer *timer) {
    struct helper_metrics *metrics = container_of(timer, struct helper_metrics, timer);
    struct loop *loop = metrics->helper->reactor.loop;
    metrics_beat(may_reach_one(metrics->helper));
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
