/* SPDX-License-Identifier: MIT */
/*
 * passed_sockets.h - listening sockets that the process which started this one has opened for it:
 * socket activation, as sd_listen_fds(3) describes it (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES).
 *
 * listen.h takes them wherever a socket of the same address would be opened. One per process.
 */
#ifndef HELPER_NET_PASSED_SOCKETS_H
#define HELPER_NET_PASSED_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* More are refused. */
#define PASSED_SOCKETS_MAX 64

/* Finds them, makes them non-blocking and close-on-exec, and removes the variables from the
 * environment. To be called once, while nobody else uses descriptors from 3 on. The number of
 * sockets, or a negative errno: -EBADF if one of them is not there, -E2BIG. */
int passed_sockets_find(void);

/* The one that listens at this address (port, and IP address or path), or -1. It belongs to the
 * caller, and is not found again. */
int passed_sockets_take(const struct sockaddr *addr, socklen_t len);

/* Whether there is one at that address that nobody has taken. */
bool passed_sockets_have(const struct sockaddr *addr, socklen_t len);

/* Whether this descriptor, which is open, was passed. Whoever started this process then listens
 * there as well. */
bool passed_sockets_was(int fd);

/* Writes the address of one that nobody has taken, and what its unit calls it. False: there is
 * none. */
bool passed_sockets_left(char *out, size_t size);

#endif
