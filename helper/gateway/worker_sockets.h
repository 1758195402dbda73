/* SPDX-License-Identifier: MIT */
/*
 * worker_sockets.h - the listening sockets of a gateway, and which of its workers accepts from
 * which.
 */
#ifndef HELPER_GATEWAY_WORKER_SOCKETS_H
#define HELPER_GATEWAY_WORKER_SOCKETS_H

#include "helper/gateway/gateway_config.h"
#include "helper/net/passed_sockets.h"

#define WORKERS_MAX 256

struct worker_sockets {
    int workers; /* as the supervisor has them */
    int count;   /* of addresses */
    struct listening {
        enum config_scheme scheme;
        int count;
        int fd[WORKERS_MAX];
    } at[GATEWAY_ADDRESSES_MAX];
    int metrics; /* of the port of metrics, kept for a successor; -1: none */
};

/* Opens the sockets. A TCP address has one for each worker (SO_REUSEPORT), a unix socket is one and
 * the same for all. Sockets that were passed (passed_sockets.h) are used as they are, all of them
 * and no others for their address: a connection may be queued in each. Logs where it listens.
 * False after logging what failed. */
bool worker_sockets_open(struct worker_sockets *sockets, const struct gateway_config *config);

/* Whether that worker accepts from socket `i` of an address: each socket has a worker that does,
 * and each worker a socket. */
bool worker_sockets_serves(const struct worker_sockets *sockets, const struct listening *at,
                           int worker, int i);

void worker_sockets_free_metrics(struct worker_sockets *sockets);

/* All of them, address by address, and that of metrics. Returns their number. */
int worker_sockets_list(const struct worker_sockets *sockets, int out[PASSED_SOCKETS_MAX]);

#endif
