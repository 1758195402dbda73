/* SPDX-License-Identifier: MIT */
/*
 * socket.h - the hooks of calls that give a new descriptor. What the number stood for before, which
 * may have been a connection of ours, is forgotten; of some kinds epoll_registry.h wants to know.
 * libc first; no system call.
 */
#ifndef SHIM_HOOKS_SOCKET_H
#define SHIM_HOOKS_SOCKET_H

#include <sys/socket.h>

#include "shim/hooks/hooks.h"

/* The descriptors in a message that has been received (SCM_RIGHTS). */
void opened_by_message(struct msghdr *msg);

/* libc has no function for it; made through syscall(2). */
int shim_io_uring_setup(unsigned n_entries, void *params);

#endif
