/* SPDX-License-Identifier: MIT */
/*
 * gateway_workers.h - the sockets of all workers, and the supervisor that keeps the workers
 * running.
 */
#ifndef HELPER_GATEWAY_GATEWAY_WORKERS_H
#define HELPER_GATEWAY_GATEWAY_WORKERS_H

#include "helper/gateway/gateway_config.h"

#define WORKERS_MAX 256

struct worker_sockets {
    int count; /* of addresses */
    enum config_scheme scheme[GATEWAY_ADDRESSES_MAX];
    int fd[WORKERS_MAX][GATEWAY_ADDRESSES_MAX];
};

/* Opens every worker's listening sockets: TCP ports are shared by SO_REUSEPORT, a unix socket is
 * one and the same for all, and so is one that was passed (passed_sockets.h). Logs where it
 * listens. False after logging what failed. */
bool worker_sockets_open(struct worker_sockets *sockets, const struct gateway_config *config);

/* What the supervisor does not do itself. */
struct workers_ops {
    /* In a worker, whose sockets it owns: returns the exit status. */
    int (*serve)(void *user, const struct worker_sockets *sockets, int worker);
    /* In the supervisor, on SIGHUP: reads anew what it uses itself. */
    void (*reload)(void *user);
};

/* Runs ops->serve in `workers` processes and replaces those that die, at most one a second each;
 * passes SIGHUP, SIGTERM and SIGINT on. Returns the exit status when all have ended after a
 * SIGTERM, which may take `drain_us`, and a worker's in the worker.
 *
 * Speaks to the service manager for all of them (service_notify.h). If that has a watchdog, a
 * worker that has not set its beat for that time is killed, and replaced. */
int workers_supervise(struct worker_sockets *sockets, int workers, uint64_t drain_us,
                      const struct workers_ops *ops, void *user);

/* In a worker: where it has to say that it is alive (service_pulse_start). NULL elsewhere. */
uint64_t *worker_beat(void);

#endif
