/* SPDX-License-Identifier: MIT */
/*
 * metrics_flow.h - one connection, and one session, in the metrics: each is counted where it
 * belongs, once, whatever happens to it.
 */
#ifndef HELPER_METRICS_METRICS_FLOW_H
#define HELPER_METRICS_METRICS_FLOW_H

#include "helper/metrics/metrics.h"

/* Embedded in a connection. Zeroed: not counted, and everything but _begin does nothing. */
struct metrics_flow {
    struct metrics_series *series; /* while it is opening or open */
    bool open;
};

/* It is being opened. */
void metrics_flow_begin(struct metrics_flow *flow, struct metrics_series *series);
/* It belongs elsewhere: before it is open. */
void metrics_flow_move(struct metrics_flow *flow, struct metrics_series *series);
/* It is open, after that time. */
void metrics_flow_opened(struct metrics_flow *flow, uint64_t after_us);
/* It will not be opened. Of several reasons the first counts. */
void metrics_flow_refused(struct metrics_flow *flow, enum metrics_refusal why);
/* It is over; if it was not open yet, it was abandoned. */
void metrics_flow_ended(struct metrics_flow *flow, enum metrics_end how);

/* What an error of connect means; negative. */
enum metrics_refusal metrics_refusal_of(int error);

/* A session, of which `*peer` says whose it is: NULL before it is counted and after it has ended.
 * `series` NULL: it has ended; otherwise it has begun, or belongs to somebody else from now on. */
void metrics_session(struct metrics_series **peer, struct metrics_series *series);

/* A session's smoothed round-trip time is looked at; *seen is what it was the last time. */
void metrics_round_trip(struct metrics_series *peer, uint64_t *seen_us, uint64_t us);

#endif
