/* SPDX-License-Identifier: MIT */
/*
 * metrics_http.h - answers GET and HEAD of /metrics, /healthz and /readyz; everything else is 404,
 * other methods are 405.
 *
 * Whoever reaches the port costs little: there are at most METRICS_CONNECTIONS connections, the
 * oldest gives way when another one comes to the last place, none lasts longer than
 * METRICS_CONNECTION_US, each answers one request of at most METRICS_REQUEST_MAX bytes, and the
 * text is made METRICS_FRESH_US apart at most, however many ask for it.
 */
#ifndef HELPER_METRICS_METRICS_HTTP_H
#define HELPER_METRICS_METRICS_HTTP_H

#include "helper/metrics/metrics.h"

#define METRICS_CONNECTIONS   64
#define METRICS_CONNECTION_US 5000000u
#define METRICS_REQUEST_MAX   8192u
#define METRICS_FRESH_US      100000u

/* Answers on the listening, non-blocking socket `fd`, from now on. False, and one line in `why`, if
 * it cannot. Once per process. */
bool metrics_http_start(const struct metrics *metrics, int fd, char *why, size_t size);

/* Goes on until `until` has something to read, or has ended. */
void metrics_http_run(int until);

#endif
