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

/* More are refused: 256 processes of a predecessor (predecessor.h) with 8 addresses each. */
#define PASSED_SOCKETS_MAX 2048

/* Finds them, makes them non-blocking and close-on-exec, and removes the variables from the
 * environment. To be called once, while nobody else uses descriptors from 3 on. The number of
 * sockets, or a negative errno: -EBADF if one of them is not there, -E2BIG. */
int passed_sockets_find(void);

/* The one that listens at this address (port, and IP address or path), or -1. It belongs to the
 * caller, and is not found again. */
int passed_sockets_take(const struct sockaddr *addr, socklen_t len);

/* Whether there is one at that address that nobody has taken. */
bool passed_sockets_have(const struct sockaddr *addr, socklen_t len);

/* Whether this descriptor, which is open, was passed. */
bool passed_sockets_was(int fd);

/* Whether it was, and whoever started this process goes on listening there: a service manager, and
 * not a predecessor whose sockets have become this process's own. */
bool passed_sockets_was_lent(int fd);
/* From a predecessor (true), or from a service manager, which is the default. */
void passed_sockets_become_own(bool own);
bool passed_sockets_are_own(void);
/* While true, another process listens at all sockets of this one (a successor, or the predecessor
 * that this one has not replaced yet): all count as lent. */
void passed_sockets_hand_over(bool handed_over);

/* Writes the address of one that nobody has taken, and what its unit calls it. False: there is
 * none. */
bool passed_sockets_left(char *out, size_t size);

/* The same, and closes it. */
bool passed_sockets_drop(char *out, size_t size);

#endif
