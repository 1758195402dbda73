/* SPDX-License-Identifier: MIT */
/*
 * connect.h - connect(2) with TCP's semantics, on TCP sockets and on sockets of ours; also bind(2)
 * and listen(2), because after a failed connect a program may use its socket for something else.
 */
#ifndef SHIM_HOOKS_CONNECT_H
#define SHIM_HOOKS_CONNECT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "shim/hooks/hooks.h"
#include "shim/socket/state.h"

/* Would connect(2) of this descriptor to this address be routed? (It must be a new TCP socket, or
 * ours.) */
bool shim_connect_is_routed(int fd, const struct sockaddr *addr, socklen_t len);

/* What shutdown(2) does to `fd`, one of ours in `state`, while its connect is in progress: TCP
 * aborts the connect, which fails with ECONNRESET. False if no connect is in progress, or if there
 * are no descriptors left. */
bool shim_give_up(int fd, const struct shim_state *state);

/* Waits, as TCP's connect does, until the connect of `fd`, one of ours, has succeeded or failed.
 * Returns 0, or -1 with errno: the outcome's, EINTR, or EINPROGRESS when SO_SNDTIMEO has
 * expired. */
int shim_wait_connected(int fd);

/* Waits, as a blocking send does, until `fd`, one of ours, has room for more bytes; sends nothing.
 * Returns 0, or -1 with the errno that send(2) would give: EINTR, EAGAIN (SO_SNDTIMEO has expired,
 * or the descriptor is non-blocking), ECONNRESET, EPIPE. */
int shim_wait_writable(int fd);

#endif
