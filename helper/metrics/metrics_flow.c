/* SPDX-License-Identifier: MIT */
/* metrics_flow.c - see metrics_flow.h. */
#include "helper/metrics/metrics_flow.h"

#include <errno.h>

/* ---- Connections ---- */

void metrics_flow_begin(struct metrics_flow *flow, struct metrics_series *series) {
    flow->series = series;
    flow->open = false;
    metrics_add(&series->value[FLOW_OPENING], 1);
}

void metrics_flow_move(struct metrics_flow *flow, struct metrics_series *series) {
    if (!flow->series || flow->open || flow->series == series)
        return;
    metrics_take(&flow->series->value[FLOW_OPENING], 1);
    metrics_flow_begin(flow, series);
}

void metrics_flow_opened(struct metrics_flow *flow, uint64_t after_us) {
    struct metrics_series *series = flow->series;
    if (!series || flow->open)
        return;
    flow->open = true;
    metrics_take(&series->value[FLOW_OPENING], 1);
    metrics_add(&series->value[FLOW_ACTIVE], 1);
    metrics_add(&series->value[FLOW_OPENED], 1);
    metrics_observe(&series->time, after_us);
}

void metrics_flow_refused(struct metrics_flow *flow, enum metrics_refusal why) {
    struct metrics_series *series = flow->series;
    if (!series || flow->open)
        return;
    flow->series = NULL;
    metrics_take(&series->value[FLOW_OPENING], 1);
    metrics_add(&series->value[FLOW_REFUSED + why], 1);
}

void metrics_flow_ended(struct metrics_flow *flow, enum metrics_end how) {
    struct metrics_series *series = flow->series;
    metrics_flow_refused(flow, REFUSED_ABANDONED);
    if (!flow->series)
        return;
    flow->series = NULL;
    metrics_take(&series->value[FLOW_ACTIVE], 1);
    metrics_add(&series->value[FLOW_ENDED + how], 1);
}

enum metrics_refusal metrics_refusal_of(int error) {
    switch (error) {
    case -ECONNREFUSED:
        return REFUSED_REFUSED;
    case -ETIMEDOUT:
        return REFUSED_TIMEOUT;
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return REFUSED_UNREACHABLE;
    case -EACCES:
    case -EPERM:
        return REFUSED_DENIED;
    default:
        return REFUSED_OTHER;
    }
}

/* ---- Sessions ---- */

void metrics_session(struct metrics_series **peer, struct metrics_series *series) {
    struct metrics_series *old = *peer;
    if (old == series)
        return;
    *peer = series;
    if (old) {
        metrics_take(&old->value[PEER_SESSIONS], 1);
        metrics_add(&old->value[PEER_ENDED], 1);
    }
    if (series) {
        metrics_add(&series->value[PEER_SESSIONS], 1);
        metrics_add(&series->value[PEER_BEGUN], 1);
    }
}

void metrics_round_trip(struct metrics_series *peer, uint64_t *seen_us, uint64_t us) {
    if (!peer || us == 0 || us == *seen_us)
        return;
    *seen_us = us;
    metrics_observe(&peer->time, us);
}
