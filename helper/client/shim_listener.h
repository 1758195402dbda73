/* SPDX-License-Identifier: MIT */
/*
 * shim_listener.h - the helper's listening sockets for the shim (core/common/CONTROL.md).
 *
 * No input is trusted: the user (SO_PEERCRED), the message, the passed descriptor and the
 * destination are all checked, and an invalid request causes one line in the log.
 */
#ifndef HELPER_CLIENT_SHIM_LISTENER_H
#define HELPER_CLIENT_SHIM_LISTENER_H

#include <stdbool.h>

struct abandon_watches;
struct admission;
struct conns;
struct shim_listener;

/* Listens at `path` and at the abstract name derived from it. Users are admitted by what
 * `admission` contains when they connect. NULL after logging what failed. */
struct shim_listener *shim_listener_new(struct conns *conns, struct abandon_watches *watches,
                                        const struct admission *admission, const char *path);

/* Stops listening and removes the path, unless the service manager listens there too
 * (passed_sockets.h); requests in progress continue. NULL is fine. */
void shim_listener_stop(struct shim_listener *local);

/* Frees it, after all connections have ended. NULL is fine. */
void shim_listener_free(struct shim_listener *local);

#endif
