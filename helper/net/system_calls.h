/* SPDX-License-Identifier: MIT */
/*
 * system_calls.h - the system calls that a process may still make (seccomp, by libseccomp).
 *
 * What the list does not have kills the process (SIGSYS). In the helper, which may run a user
 * directory's library (NSS), it fails with EPERM, but what no library could want kills it too; it
 * fails as well where a library answers HTTP requests. A few that libraries try now and then, and
 * can do without, fail with an errno everywhere.
 */
#ifndef HELPER_NET_SYSTEM_CALLS_H
#define HELPER_NET_SYSTEM_CALLS_H

#include <stdbool.h>

enum sandbox_role {
    SANDBOX_GATEWAY = 1, /* opens no file; what is not on its list kills it */
    SANDBOX_BROKER = 2,  /* opens files for the process that started it (file_broker.h) */
    SANDBOX_HELPER = 4,  /* opens files; what is not on its list fails with EPERM */
    SANDBOX_LOOKER = 8,  /* reads /proc for a helper (abandon_watch.h in helper/client) */
    SANDBOX_METRICS = 16 /* answers HTTP requests (metrics_process.h in helper/metrics) */
};

/* `only_log`: forbid nothing, let the kernel log what the list
 * does not have. `syslog`: datagrams to local sockets may be sent. Concerns all threads. 0 or a
 * negative errno; -ENOTSUP if this build has no libseccomp. */
int system_calls_restrict(enum sandbox_role role, bool only_log, bool syslog);

#endif
