/* SPDX-License-Identifier: MIT */
/*
 * peername.h - getpeername, getsockname and shutdown with TCP's semantics.
 */
#ifndef SHIM_HOOKS_PEERNAME_H
#define SHIM_HOOKS_PEERNAME_H

#include <stdbool.h>
#include <sys/socket.h>

#include "shim/hooks/hooks.h"

#define ADDRESS_SIZE_UNKNOWN ((socklen_t)-1)

/* Is this address, written by the kernel for `fd`, the name of a helper's socket, so that `fd` is
 * ours? `size`: the room that the caller had, or ADDRESS_SIZE_UNKNOWN; `len`: the length of the
 * whole name. A system call only if the name may have been truncated and may be a helper's. */
bool address_is_ours(int fd, const struct sockaddr *addr, socklen_t size, socklen_t len);

#endif
