/* SPDX-License-Identifier: MIT */
/*
 * socket.h - the hooks of calls that return a new descriptor. They call libc first, and then drop
 * what was remembered of the number (it may have been a connection of ours) and note new TCP
 * sockets and epoll sets. No additional system call.
 */
#ifndef SHIM_HOOKS_SOCKET_H
#define SHIM_HOOKS_SOCKET_H

#include <sys/socket.h>

#include "shim/hooks/hooks.h"

/* The same for the descriptors in a received message (SCM_RIGHTS). */
void opened_by_message(struct msghdr *msg);

/* io_uring_setup(2), for which libc has no function: programs call it through syscall(2). */
int shim_io_uring_setup(unsigned n_entries, void *params);

#endif
