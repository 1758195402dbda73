/* SPDX-License-Identifier: MIT */
/* gateway_metrics.c - see gateway_metrics.h. */
#include "helper/gateway/gateway_metrics.h"

#include "helper/metrics/metrics.h"

static void look(struct loop_timer *timer) {
    struct gateway_metrics *metrics = container_of(timer, struct gateway_metrics, timer);
    metrics_beat(true);
    loop_timer_set(metrics->loop, timer, loop_now_us(metrics->loop) + METRICS_BEAT_US, look);
}

void gateway_metrics_start(struct gateway_metrics *metrics, struct gateway *gateway,
                           struct loop *loop) {
    metrics->gateway = gateway;
    metrics->loop = loop;
    metrics_enter(METRICS_SERVING);
    if (metrics_are_open())
        look(&metrics->timer);
}

void gateway_metrics_stop(struct gateway_metrics *metrics) {
    if (metrics->loop)
        loop_timer_clear(metrics->loop, &metrics->timer);
}
