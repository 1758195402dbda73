/* SPDX-License-Identifier: MIT */
/*
 * helper_start.h - starts a helper in a thread, because that may take seconds.
 */
#ifndef SHIM_TRAP_HELPER_START_H
#define SHIM_TRAP_HELPER_START_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct helper_start {
    int ended; /* eventfd: becomes readable when an attempt has ended */
    bool running;
    const char *socket_path;
    uint32_t limit_ms;
};

/* Begins an attempt, as autostart_helper does, unless one is running. */
void helper_start_begin(struct helper_start *start, const char *socket_path, uint32_t limit_ms);

/* After `ended` has become readable. */
void helper_start_end(struct helper_start *start);

#endif
