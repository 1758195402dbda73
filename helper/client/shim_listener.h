/* SPDX-License-Identifier: MIT */
/*
 * shim_listener.h - the helper's listening sockets, and the requests of the shim
 * (core/common/CONTROL.md).
 *
 * Everything that comes in is a stranger's: who asks (SO_PEERCRED), what was sent, the descriptor
 * that came along and the destination are all checked, and a request that is no good costs one log
 * line.
 */
#ifndef HELPER_CLIENT_SHIM_LISTENER_H
#define HELPER_CLIENT_SHIM_LISTENER_H

#include <stdbool.h>

struct abandon_watches;
struct admission;
struct conns;
struct shim_listener;

/* Listens at `path` and at the abstract name derived from it, for those whom `admission` lets in as
 * it is then. NULL after logging what failed. */
struct shim_listener *shim_listener_new(struct conns *conns, struct abandon_watches *watches,
                                        const struct admission *admission, const char *path);

/* Listens no more and removes the path; requests that are being served go on. NULL is fine. */
void shim_listener_stop(struct shim_listener *local);

/* NULL is fine. The connections have ended. */
void shim_listener_free(struct shim_listener *local);

#endif
