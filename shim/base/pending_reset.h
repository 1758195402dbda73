/* SPDX-License-Identifier: MIT */
/*
 * pending_reset.h - a reset that nobody has been told of yet.
 *
 * The kernel reports a socket's error once. An AF_UNIX socket also drops it in a call that succeeds
 * with the bytes it had moved before: the count is right, but the next call does not report the
 * reset, as TCP's would. So the error is put back: it is the socket's pending error again, for
 * every process that holds the socket, for poll (POLLERR) and for calls that no hook sees. It then
 * has another number, which stands for ECONNRESET on a socket of ours.
 */
#ifndef SHIM_BASE_PENDING_RESET_H
#define SHIM_BASE_PENDING_RESET_H

#include <errno.h>
#include <stdbool.h>

/* The errno that the kernel can be made to store; an AF_UNIX stream socket has it for no other
 * reason. */
#define PENDING_RESET_PUT_BACK EMSGSIZE

/* Does this pending error of a socket of ours mean a reset or a failed connect? */
static inline bool pending_reset_is(int err) {
    return err == ECONNRESET || err == PENDING_RESET_PUT_BACK;
}

/* Makes a reset the pending error of `fd`, one of ours whose other end has closed. Preserves errno.
 * 1 system call. */
void pending_reset_put_back(int fd);

#endif
