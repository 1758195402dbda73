/* SPDX-License-Identifier: MIT */
/*
 * microhttpd.h - libmicrohttpd, loaded when it is needed.
 *
 * It brings a TLS library along, whose start alone takes 3 ms of each program that is linked with
 * it. The daemons themselves need neither: they are loaded into the process that answers
 * (metrics_process.h), and only there.
 */
#ifndef HELPER_METRICS_MICROHTTPD_H
#define HELPER_METRICS_MICROHTTPD_H

#include <stdbool.h>
#include <stddef.h>

/* A build without its header does without. */
#ifdef SMUX_MICROHTTPD

#include <microhttpd.h>

#define MICROHTTPD_FUNCTIONS(X)                                                                    \
    X(MHD_start_daemon)                                                                            \
    X(MHD_stop_daemon)                                                                             \
    X(MHD_run)                                                                                     \
    X(MHD_get_timeout)                                                                             \
    X(MHD_get_daemon_info)                                                                         \
    X(MHD_get_connection_info)                                                                     \
    X(MHD_lookup_connection_value)                                                                 \
    X(MHD_create_response_from_buffer)                                                             \
    X(MHD_add_response_header)                                                                     \
    X(MHD_queue_response)                                                                          \
    X(MHD_destroy_response)

#define MICROHTTPD_POINTER(name) __typeof__(&name) name##_;
extern struct microhttpd { MICROHTTPD_FUNCTIONS(MICROHTTPD_POINTER) } microhttpd;
#undef MICROHTTPD_POINTER

#endif

/* False, and one line in `why`, if it is not there. */
bool microhttpd_load(char *why, size_t size);

#endif
