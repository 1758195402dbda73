/* SPDX-License-Identifier: MIT */
/*
 * local_address.h - the local address of a connection for which the helper has reported none.
 *
 * TCP knows it as soon as connect has looked up the route; ours is chosen at the gateway and comes
 * with the outcome. Until then, and if the outcome has none (a failed connect, `connect = eager`),
 * getsockname gives what TCP on this host would: the bound address, else the one that leads to the
 * destination, and some port. The answer is kept on the socket, so that it stays the same for
 * everybody. While the connect is under way only this process and its forks know the destination,
 * by descriptor number; holders of other copies get the bound address. Nothing but getsockname uses
 * this address. Lock-free; safe in signal handlers.
 */
#ifndef SHIM_SOCKET_LOCAL_ADDRESS_H
#define SHIM_SOCKET_LOCAL_ADDRESS_H

#include "core/common/endpoint.h"

/* `fd` has begun to connect to `dest`. */
void local_address_note(int fd, const struct endpoint *dest);

/* `to` is a copy of `from`. Memory only. */
void local_address_copy(int from, int to);

/* The local address of `fd` in `family`. `dest`: where the connection leads; NULL: as noted. 8
 * system calls the first time, fewer if it is bound to an address; then 1. */
struct endpoint local_address_get(int fd, uint16_t family, const struct endpoint *dest);

/* What the program has bound `fd` to, or any:0, in `family`. 1 system call. */
struct endpoint local_address_bound(int fd, uint16_t family);

#endif
