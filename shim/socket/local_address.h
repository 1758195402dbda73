/* SPDX-License-Identifier: MIT */
/*
 * local_address.h - the local address of a connection for which the helper has reported none.
 *
 * With TCP, the address is known as soon as connect has looked up the route. Ours is chosen at the
 * gateway and comes with the outcome. Until then, and if the outcome has none (a failed connect,
 * `connect = eager`), getsockname returns what TCP on this host would: the bound address, or else
 * the source address for the destination, and an ephemeral port. The answer is kept on the socket,
 * so that every process that holds it gets the same one. While the connect is in progress, only
 * this process and its forks know the destination, by descriptor number; other processes get the
 * bound address. Only getsockname uses this address. Lock-free; safe in signal handlers.
 */
#ifndef SHIM_SOCKET_LOCAL_ADDRESS_H
#define SHIM_SOCKET_LOCAL_ADDRESS_H

#include "core/common/endpoint.h"
#include "shim/socket/state.h"

/* Remembers that `fd` has begun to connect to `dest`. Memory only. */
void local_address_note(int fd, const struct endpoint *dest);

/* `to` is a copy of `from`. Memory only. */
void local_address_copy(int from, int to);

/* The local address of `fd` in `family`. `dest`: the destination; NULL: the one noted, if any. 8
 * system calls the first time, fewer if the socket is bound to an address; then 1. */
struct endpoint local_address_get(int fd, uint16_t family, const struct endpoint *dest);

/* What getsockname says of `fd`, which is ours in `state`. `pending`: connect has not yet told the
 * program the outcome. */
struct endpoint local_address_of(int fd, const struct shim_state *state, bool pending);

/* What the program has bound `fd` to, or any:0, in `family`. 1 system call. */
struct endpoint local_address_bound(int fd, uint16_t family);

#endif
