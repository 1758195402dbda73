/* SPDX-License-Identifier: MIT */
/*
 * dup.h - the hooks of dup(2) and its kin: a copy of a descriptor inherits the hint (hint.h), so
 * that a copy of a connection is known as one, and options set before on a socket that is then
 * copied go along when the copy connects. No system call.
 */
#ifndef SHIM_HOOKS_DUP_H
#define SHIM_HOOKS_DUP_H

#include "shim/hooks/hooks.h"

/* A descriptor has been copied: called with the result of the real function, which it returns. */
int shim_copied(int from, int result);

/* The same for fcntl(2), of which only F_DUPFD and F_DUPFD_CLOEXEC copy. Those that say who gets
 * SIGURG and SIGIO are noted, for the swap. */
int shim_fcntl_done(int fd, int command, int result);

#endif
