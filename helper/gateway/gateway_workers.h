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
 * one and the same for all. Logs where it listens. False after logging what failed. */
bool worker_sockets_open(struct worker_sockets *sockets, const struct gateway_config *config);

/* Runs `serve` in `workers` processes and replaces those that die, at most one a second each;
 * passes SIGHUP, SIGTERM and SIGINT on. Returns the exit status when all have ended after a
 * SIGTERM. In the worker, `serve` owns the sockets of that number and returns its exit status. */
int workers_supervise(struct worker_sockets *sockets, int workers,
                      int (*serve)(void *user, const struct worker_sockets *sockets, int worker),
                      void *user);

#endif
