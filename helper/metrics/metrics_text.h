/* SPDX-License-Identifier: MIT */
/*
 * metrics_text.h - the metrics as text: Prometheus' format, version 0.0.4, or OpenMetrics 1.0.
 */
#ifndef HELPER_METRICS_METRICS_TEXT_H
#define HELPER_METRICS_METRICS_TEXT_H

#include "helper/metrics/metrics.h"

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS, METRICS_FORMATS };

/* What HTTP calls them. */
extern const char *const metrics_content_type[METRICS_FORMATS];

/* The format that a client wants by its Accept header, which may be NULL. */
enum metrics_format metrics_format_wanted(const char *accept);

/* The text of now, malloc'ed, and its length in *len. NULL if memory is short. Not for two threads
 * at a time. */
char *metrics_text(const struct metrics *metrics, enum metrics_format format, uint64_t now_us,
                   size_t *len);

/* Writes a label's value with what the formats want escaped. Returns `out`. */
char *metrics_escape(const char *value, char *out, size_t size);
#define METRICS_ESCAPED_SIZE (2 * METRICS_NAME_MAX + 1)

#endif
