/* SPDX-License-Identifier: MIT */
/*
 * dup.h - the hooks of dup(2) and its kin. A copy of a descriptor inherits the hint (hint.h), so
 * that the copy of a connection is recognized as one, and options set on the original are carried
 * over when the copy connects. No system call.
 */
#ifndef SHIM_HOOKS_DUP_H
#define SHIM_HOOKS_DUP_H

#include "shim/hooks/hooks.h"

/* Notes that a descriptor has been copied; `result` is what the real function returned, and is
 * returned. */
int shim_copied(int from, int result);

/* The same for fcntl(2), where only F_DUPFD and F_DUPFD_CLOEXEC copy. Commands that set who
 * receives SIGURG and SIGIO are noted for the swap. */
int shim_fcntl_done(int fd, int command, int result);

#endif
