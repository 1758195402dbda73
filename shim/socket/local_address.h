/* SPDX-License-Identifier: MIT */
/*
 * local_address.h - the own address of a connection whose helper has told none.
 *
 * TCP knows it as soon as connect has looked up the route; ours is chosen at the gateway, and known
 * with the outcome. Until then, and where the outcome does not tell (a failed connect, `connect =
 * eager`), getsockname answers what TCP on this host would: what was bound, else the address that
 * leads to the destination, and some port. An answer is kept on the socket, so that it stays the
 * same for everybody. While the connect is under way only this process and its forks know the
 * destination, by descriptor number; other copies are told what was bound. Only ever an answer to
 * getsockname: nothing is decided from it. Lock-free; safe in signal handlers.
 */
#ifndef SHIM_SOCKET_LOCAL_ADDRESS_H
#define SHIM_SOCKET_LOCAL_ADDRESS_H

#include "core/common/endpoint.h"

/* `fd` has begun to connect to `dest`. */
void local_address_note(int fd, const struct endpoint *dest);

/* `to` is a copy of `from`. Memory only. */
void local_address_copy(int from, int to);

/* The own address of `fd` in `family`. `dest`: where the connection leads, NULL: as noted. 8 system
 * calls the first time, fewer if it is bound to an address; then 1. */
struct endpoint local_address_get(int fd, uint16_t family, const struct endpoint *dest);

/* What the program has bound `fd` to, or any:0, in `family`. 1 system call. */
struct endpoint local_address_bound(int fd, uint16_t family);

#endif
