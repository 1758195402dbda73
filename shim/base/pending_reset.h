/* SPDX-License-Identifier: MIT */
/*
 * pending_reset.h - a reset that nobody has been told of yet.
 *
 * The kernel keeps a socket's error once, and an AF_UNIX socket gives it away also in a call that
 * then succeeds with what it had moved before: the count is right, and the next call knows of no
 * reset. TCP tells it then. So the error is put back: it is the socket's pending error again, for
 * every process that holds the socket, for poll (POLLERR) and for calls that no hook sees. It then
 * has another number, which stands for ECONNRESET on a socket of ours.
 */
#ifndef SHIM_BASE_PENDING_RESET_H
#define SHIM_BASE_PENDING_RESET_H

#include <errno.h>
#include <stdbool.h>

/* What the kernel can be made to note; no other error of an AF_UNIX stream socket. */
#define PENDING_RESET_PUT_BACK EMSGSIZE

/* Is this pending error of a socket of ours a reset (or a connect that failed)? */
static inline bool pending_reset_is(int err) {
    return err == ECONNRESET || err == PENDING_RESET_PUT_BACK;
}

/* Makes a reset the pending error of `fd`, one of ours whose other end has closed. Preserves errno.
 * 1 system call. */
void pending_reset_put_back(int fd);

#endif
