/* SPDX-License-Identifier: MIT */
/*
 * metrics_process.h - the process that publishes the metrics by HTTP, a child of the daemon's.
 *
 * A process and not a thread: it has the daemon's counters, which it can read, and nothing else -
 * no secret, no connection, no file, and a list of system calls that has little but accept, read
 * and write. Whoever breaks into it, by what he sends to its port, sees what the port shows anyway.
 * Nor does a daemon that forks workers have a thread that may hold a lock at that moment, and the
 * library that answers is loaded there alone (microhttpd.h).
 */
#ifndef HELPER_METRICS_METRICS_PROCESS_H
#define HELPER_METRICS_METRICS_PROCESS_H

#include "core/common/config.h"
#include "helper/metrics/metrics.h"
#include "helper/net/privileges.h"

struct metrics_process {
    const struct config_address *address;
    int fd; /* of metrics_process_listen */
    enum metrics_program program;
    uint32_t workers;
    const struct privileges *privileges; /* whom it becomes; NULL: nobody else */
    enum config_sandbox sandbox;
};

/* Opens the port. The descriptor, -1 if `address` has no host, or -2 after logging why it cannot
 * be opened. */
int metrics_process_listen(const struct config_address *address, uint32_t unix_mode);

/* Opens the segment (metrics.h), starts the child with the port, which it takes over, and waits
 * until that answers. It ends with this process. One per process, before that has other threads.
 * False after logging why it cannot. Without a port it does nothing. */
bool metrics_process_start(const struct metrics_process *process);

/* A child of this process has ended: logs it if it was this one. `pid`: of the child if it was
 * reaped, 0 to look. */
void metrics_process_look(pid_t pid);

/* Ends it and frees its port, for somebody who takes this process's place. */
void metrics_process_stop(void);

#endif
