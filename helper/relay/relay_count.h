/* SPDX-License-Identifier: MIT */
/*
 * relay_count.h - a relay in the metrics. A gateway's leads to a target, a helper's to a program.
 */
#ifndef HELPER_RELAY_RELAY_COUNT_H
#define HELPER_RELAY_RELAY_COUNT_H

#include "helper/metrics/metrics_flow.h"
#include "helper/relay/relay.h"

enum relay_socket { RELAY_TO_TARGET, RELAY_TO_PROGRAM };

/* The connection, which is being opened, counts in this series from now on, and so do its bytes. */
void relay_count(struct relay *relay, struct metrics_flow *flow, struct metrics_series *series,
                 enum relay_socket socket);

/* It has ended for this reason. */
void relay_count_end(struct metrics_flow *flow, enum relay_reason reason, enum relay_socket socket);

#endif
