/* SPDX-License-Identifier: MIT */
/*
 * swap.h - replaces the application's TCP socket by a socket of ours, and the reverse.
 *
 * swap_in makes steps 1 to 4 of core/common/CONTROL.md. Nothing here blocks. A failure leaves the
 * application's descriptor as it was and leaks none.
 */
#ifndef SHIM_SOCKET_SWAP_H
#define SHIM_SOCKET_SWAP_H

#include <stdbool.h>

#include "core/common/helper_protocol.h"
#include "core/common/routes.h"
#include "shim/process/settings.h"
#include "shim/socket/state.h"

struct swap {
    int fd;     /* the application's descriptor, or a copy of it */
    int number; /* that of the application's descriptor */
    const struct settings *settings;
    struct endpoint dest;
    const char *host; /* the name that the program looked up, or NULL */
    int file_flags;   /* F_GETFL of fd */
    struct endpoint
        local; /* what getsockname says: the socket's family, and the bound address if any */
};

/* Added to the errno with which the helper refuses the user. */
#define SWAP_REFUSED 4096

/* Replaces `swap->fd` by a connecting socket of ours. Returns 0 or an errno: ENOENT or ECONNREFUSED
 * (no helper), EAGAIN (its backlog is full), EACCES, EMFILE, ENFILE, ENOMEM, ...; or SWAP_REFUSED +
 * the errno with which the helper refuses this user. */
int swap_in(const struct swap *swap);

/* The same without the replacement, which is the caller's: returns the connecting socket (the
 * request has been sent), or the negative of what swap_in returns. The caller must delay forks. */
int swap_in_open(const struct swap *swap);

/* Replaces `fd`, one of ours in `state`, by an unconnected TCP socket with the same family, options
 * and bound address, so that it can be connected elsewhere. A connection that has not failed is
 * disconnected as TCP does it: waiting threads wake up, the helper drops it, and the new socket's
 * pending error is ECONNRESET. Returns 0 or an errno. */
int swap_out(int fd, const struct shim_state *state);

/* The same without the replacement: returns the TCP socket or the negative of an errno. *restored:
 * see options_restore. The caller must delay forks. */
int swap_out_open(int fd, const struct shim_state *state, uint32_t *restored);

/* Sets the file status flags of a program's socket on the one that takes its place. */
void swap_file_flags(int new_fd, int file_flags);

#endif
