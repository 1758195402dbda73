/*
 * early_name.h - the own address of a connection that is under way.
 *
 * TCP knows it as soon as connect has looked up the route; ours is chosen at the gateway, and known with
 * the outcome. Until then getsockname answers what TCP on this host would: what was bound, else the
 * address that leads to the destination, and some port. It is remembered by descriptor number in this
 * process and its forks; for other copies the address is unspecified. Only ever an answer to
 * getsockname: nothing is decided from it. Lock-free; safe in signal handlers.
 */
#ifndef SHIM_EARLY_NAME_H
#define SHIM_EARLY_NAME_H

#include "control_endpoint.h"

/* `fd` has begun to connect to `dest`, bound to `local` (any:0: not bound). */
void early_name_note(int fd, const struct shim_endpoint *dest, const struct shim_endpoint *local);

/* The own address of `fd`, whose connect is under way, in `family`. 4 system calls, fewer if it is
 * bound to an address. */
struct shim_endpoint early_name_get(int fd, uint16_t family);

#endif
