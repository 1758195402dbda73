/* SPDX-License-Identifier: MIT */
/*
 * gateway_metrics.h - once a second, what the metrics say of a gateway that nobody counts when it
 * changes: that its loop turns, and how much there is of everything.
 */
#ifndef HELPER_GATEWAY_GATEWAY_METRICS_H
#define HELPER_GATEWAY_GATEWAY_METRICS_H

#include "helper/gateway/gateway.h"
#include "helper/net/loop.h"

/* Embedded in the caller's structure, zeroed before first use. */
struct gateway_metrics {
    const struct gateway *gateway;
    struct loop_timer timer;
};

/* From now on the gateway accepts connections. */
void gateway_metrics_start(struct gateway_metrics *metrics, const struct gateway *gateway);
void gateway_metrics_stop(struct gateway_metrics *metrics);

#endif
