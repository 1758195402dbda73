/* SPDX-License-Identifier: MIT */
/*
 * helper_metrics.h - once a second, what the metrics say of a helper that nobody counts when it
 * changes: that its loop turns, whether a gateway may be alive, and how much there is of
 * everything.
 */
#ifndef HELPER_CLIENT_HELPER_METRICS_H
#define HELPER_CLIENT_HELPER_METRICS_H

#include "helper/client/helper.h"

/* Embedded in the caller's structure, zeroed before first use. */
struct helper_metrics {
    const struct helper *helper;
    struct loop_timer timer;
};

/* From now on the helper accepts connections. */
void helper_metrics_start(struct helper_metrics *metrics, const struct helper *helper);
void helper_metrics_stop(struct helper_metrics *metrics);

#endif
