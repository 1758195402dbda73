/* SPDX-License-Identifier: MIT */
/*
 * filter.h - which system calls of the program are brought to the supervisor.
 *
 * connect, getpeername, getsockname, shutdown; getsockopt and setsockopt where a socket of ours
 * answers otherwise than TCP's (options_get_differs, options_set_differs). All other calls run
 * untouched, but for two that would pass the trap by: io_uring_setup fails with ENOSYS and a send
 * with MSG_FASTOPEN with EOPNOTSUPP, so that programs do without. Calls in another machine's
 * convention (32-bit programs, x32) are let go.
 */
#ifndef SHIM_TRAP_FILTER_H
#define SHIM_TRAP_FILTER_H

#include <stdbool.h>

/* Has this kernel what the trap needs (Linux 5.9)? Changes nothing. */
bool filter_is_possible(void);

/* Installs the filter in this thread, for it and all that it starts, and sets no_new_privs. Returns
 * the listener (close-on-exec), or the negative of an errno. */
int filter_install(void);

#endif
