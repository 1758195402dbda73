/* SPDX-License-Identifier: MIT */
/*
 * target.h - where a connect(2) goes: is there a route for it, and can its socket be swapped?
 *
 * Both functions preserve errno, are safe in signal handlers and change nothing.
 */
#ifndef SHIM_SOCKET_TARGET_H
#define SHIM_SOCKET_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/common/helper_protocol.h"
#include "shim/socket/swap.h"

enum target_way {
    TARGET_NOT_ROUTED,  /* the kernel's connect */
    TARGET_ROUTED,      /* `swap` is ready for swap_in */
    TARGET_DENIED,      /* EACCES: no good configuration, and SMUXSHIM_STRICT=1 */
    TARGET_UNREACHABLE, /* EHOSTUNREACH: a route has the name, but not this port */
};

struct target {
    struct swap swap;
    const struct route *route; /* NULL: a synthetic address whose name only the helper knows */
    char host[HELPER_HOST_NAME_MAX + 1]; /* swap.host points here: do not copy this struct */
};

/* Fills *target for a connect of `fd` to `addr`, `len` bytes that can be read. No system call for
 * a connect that no route matches, unless it is to the unspecified address. */
enum target_way target_of(struct target *target, int fd, const struct sockaddr *addr,
                          socklen_t len);

/* Would a connect go over a route, now or after a disconnect? */
bool target_is_routed(int fd, const struct sockaddr *addr, socklen_t len);

/* Does the address stand for a host name? Then it must never be connected to directly. */
bool target_is_synthetic(const struct settings *settings, const struct endpoint *dest);

#endif
