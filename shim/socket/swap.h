/* SPDX-License-Identifier: MIT */
/*
 * swap.h - puts a socket of ours in the place of the application's TCP socket, and back.
 *
 * Steps 1 to 4 of core/common/CONTROL.md. Nothing here blocks; a failure leaves the application's
 * descriptor as it was and leaks none.
 */
#ifndef SHIM_SOCKET_SWAP_H
#define SHIM_SOCKET_SWAP_H

#include <stdbool.h>

#include "core/common/helper_protocol.h"
#include "core/common/routes.h"
#include "shim/process/settings.h"
#include "shim/socket/state.h"

struct swap {
    int fd; /* the application's */
    const struct settings *settings;
    struct endpoint dest;
    const char *host;      /* the name the program asked for, or NULL */
    int file_flags;        /* F_GETFL of fd */
    struct endpoint local; /* what getsockname says: family of the socket, and a bound address */
};

/* Added to the errno with which the helper refuses the user. */
#define SWAP_REFUSED 4096

/* Makes `swap->fd` a connecting socket of ours. Returns 0, or the errno of what went wrong: ENOENT
 * or ECONNREFUSED (no helper), EAGAIN (its backlog is full), EACCES, EMFILE, ENFILE, ENOMEM, ...;
 * or SWAP_REFUSED + an errno. */
int swap_in(const struct swap *swap);

/* Makes `fd`, one of ours in `state`, an unconnected TCP socket with the family and the options of
 * the old one, bound as the program had bound that one: for a connect to somewhere else. A
 * connection that has not failed is disconnected as TCP does it: its waiters wake up, the helper
 * gives it up, and the new socket's error is ECONNRESET. Returns 0 or an errno. */
int swap_out(int fd, const struct shim_state *state);

#endif
