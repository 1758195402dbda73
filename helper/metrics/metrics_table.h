/* SPDX-License-Identifier: MIT */
/*
 * metrics_table.h - the names, types and texts under which metrics.h's values are published.
 *
 * A name begins with "smuxshim_gateway_" or "smuxshim_helper_", which is not written here. Rows of
 * one name follow each other, and differ in their label.
 */
#ifndef HELPER_METRICS_METRICS_TABLE_H
#define HELPER_METRICS_METRICS_TABLE_H

#include "helper/metrics/metrics.h"

enum metrics_kind {
    METRICS_COUNTER, /* its name ends in _total */
    METRICS_GAUGE,
};

struct metrics_row {
    uint8_t programs; /* enum metrics_program; 0: none */
    uint8_t kind;     /* enum metrics_kind */
    bool micro;       /* microseconds, published as seconds */
    const char *name;
    const char *label; /* name="value"; NULL: none */
    const char *help;
};

extern const struct metrics_row metrics_worker_rows[WORKER_VALUES];
extern const struct metrics_row metrics_flow_rows[FLOW_VALUES];
extern const struct metrics_row metrics_peer_rows[PEER_VALUES];

/* Of the histograms; the kind is not used. */
extern const struct metrics_row metrics_flow_time, metrics_peer_time;

/* The names of the labels of a series, NULL after the last. */
extern const char *const metrics_flow_labels[METRICS_HELPER + 1][3];
extern const char *const metrics_peer_labels[METRICS_HELPER + 1][3];

#endif
