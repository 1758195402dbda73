/* SPDX-License-Identifier: MIT */
/*
 * pending_reset.h - makes a reset the socket's pending error again, until the program has been told
 * of it.
 *
 * The kernel reports a socket's pending error once. With AF_UNIX, a call that has moved some bytes
 * before it meets the error returns their count and drops the error; with TCP, the next call would
 * still report the reset. So the shim puts the error back: it becomes the socket's pending error
 * again, for every process that holds the socket, for poll (POLLERR) and for calls that are not
 * hooked. It then has another number, which stands for ECONNRESET on a socket of ours.
 */
#ifndef SHIM_BASE_PENDING_RESET_H
#define SHIM_BASE_PENDING_RESET_H

#include <errno.h>
#include <stdbool.h>

/* The errno that the kernel can be made to store. An AF_UNIX stream socket has no other reason to
 * have it as its pending error. */
#define PENDING_RESET_PUT_BACK EMSGSIZE

/* Does this pending error of a socket of ours mean a reset or a failed connect? */
static inline bool pending_reset_is(int err) {
    return err == ECONNRESET || err == PENDING_RESET_PUT_BACK;
}

/* Makes a reset the pending error of `fd`, one of ours whose other end has closed. Preserves errno.
 * 1 system call, 2 if an error was pending. */
void pending_reset_put_back(int fd);

#endif
