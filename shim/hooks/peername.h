/* SPDX-License-Identifier: MIT */
/*
 * peername.h - getpeername, getsockname and shutdown as TCP has them.
 */
#ifndef SHIM_HOOKS_PEERNAME_H
#define SHIM_HOOKS_PEERNAME_H

#include <stdbool.h>
#include <sys/socket.h>

#include "shim/hooks/hooks.h"

#define ADDRESS_SIZE_UNKNOWN ((socklen_t)-1)

/* Is this what the kernel wrote for a descriptor of ours? `size` is what the caller had room for,
 * or ADDRESS_SIZE_UNKNOWN, `len` what the kernel says the whole name has. A system call only if the
 * name may have been cut, and may be a helper's. */
bool address_is_ours(int fd, const struct sockaddr *addr, socklen_t size, socklen_t len);

#endif
