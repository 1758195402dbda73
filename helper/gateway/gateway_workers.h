/* SPDX-License-Identifier: MIT */
/*
 * gateway_workers.h - the supervisor that keeps the workers running.
 */
#ifndef HELPER_GATEWAY_GATEWAY_WORKERS_H
#define HELPER_GATEWAY_GATEWAY_WORKERS_H

#include "helper/gateway/worker_sockets.h"

/* What the supervisor does not do itself. */
struct workers_ops {
    /* In a worker, which owns the sockets that it serves (worker_sockets_serves): returns the exit
     * status. */
    int (*serve)(void *user, struct worker_sockets *sockets, int worker);
    /* In the supervisor, on SIGHUP: reads anew what it uses itself. */
    void (*reload)(void *user);
};

/* Runs ops->serve in `workers` processes and replaces those that die, at most one a second each;
 * passes SIGHUP, SIGTERM and SIGINT on. SIGUSR2 starts a successor (successor.h); when that is
 * ready the workers get a SIGUSR2. Returns the exit status when all have ended after either, which
 * may take `drain_us` after a SIGTERM, and a worker's in the worker.
 *
 * Speaks to the service manager for all of them (service_notify.h). If that has a watchdog, a
 * worker that has not set its beat for that time is killed, and replaced. */
int workers_supervise(struct worker_sockets *sockets, int workers, uint64_t drain_us,
                      const struct workers_ops *ops, void *user);

/* In a worker: where it has to say that it is alive (service_pulse_start). NULL elsewhere. */
uint64_t *worker_beat(void);
/* In a worker: it accepts from now on. */
void worker_serves(void);

#endif
