/* SPDX-License-Identifier: MIT */
/*
 * connect.h - connect(2) as TCP has it, on both kinds of descriptor; and bind(2) and listen(2),
 * because after a failed connect a TCP socket may be used for something else.
 */
#ifndef SHIM_HOOKS_CONNECT_H
#define SHIM_HOOKS_CONNECT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "shim/hooks/hooks.h"
#include "shim/socket/state.h"

/* Is a connect of this descriptor, a new TCP socket or ours, to this address more than libc's? */
bool shim_connect_is_routed(int fd, const struct sockaddr *addr, socklen_t len);

/* The part of shutdown(2) on `fd`, one of ours in `state`, whose connect is under way: TCP gives
 * the connect up and says ECONNRESET. False if it is not under way, or for want of descriptors. */
bool shim_give_up(int fd, const struct shim_state *state);

/* Waits as TCP's connect does until the connection of `fd`, one of ours, is there or has failed.
 * Returns 0 or -1 with errno: the outcome's, EINTR, or EINPROGRESS when SO_SNDTIMEO is over.
 */
int shim_wait_connected(int fd);

/* Waits as a blocking send waits until `fd`, one of ours, takes more bytes; sends nothing. Returns
 * 0, or -1 with the errno that send(2) would give: EINTR, EAGAIN when SO_SNDTIMEO is over or the
 * descriptor does not block, ECONNRESET, EPIPE. */
int shim_wait_writable(int fd);

#endif
