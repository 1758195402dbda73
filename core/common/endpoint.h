/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h - an internet address and port in one fixed-size value.
 *
 * The shim, the launcher and the helper all pass addresses around: in the request, in the outcome
 * name and in the tables of routes. This is the one representation they share. Nothing here
 * allocates, keeps state or touches errno; everything is safe in any thread and in a signal
 * handler.
 */
#ifndef CORE_COMMON_ENDPOINT_H
#define CORE_COMMON_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Enough for "[ffff:...:ffff%4294967295]:65535" and its terminator. */
#define ENDPOINT_TEXT_SIZE 72

/* Host byte order throughout except `addr`, which is in network order: 4 bytes for AF_INET (the
 * other 12 are zero), 16 for AF_INET6. `family` is AF_INET, AF_INET6 or 0 (nothing known). */
struct endpoint {
    uint16_t family;
    uint16_t port;
    uint32_t scope_id; /* AF_INET6 only, else 0 */
    uint8_t addr[16];
};

_Static_assert(sizeof(struct endpoint) == 24, "the request's layout depends on this size");

/* Reads `sa` (of `len` bytes). Unless it is a complete sockaddr_in or sockaddr_in6, returns false
 * and sets *out to family 0. */
bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa, socklen_t len);

/* Fills `out` and returns the length of the address. Family 0 gives AF_INET 0.0.0.0:0. */
socklen_t endpoint_to_sockaddr(const struct endpoint *ep, struct sockaddr_storage *out);

/* True for ::ffff:a.b.c.d. */
bool endpoint_is_v4_mapped(const struct endpoint *ep);

/* The same destination with a v4-mapped address turned into AF_INET; anything else unchanged. */
struct endpoint endpoint_unmapped(const struct endpoint *ep);

/* `ep` as a socket of `family` would show it: AF_INET becomes v4-mapped for AF_INET6; an IPv6
 * address that cannot be shown on an AF_INET socket becomes 0.0.0.0 with its port kept. */
struct endpoint endpoint_as_family(const struct endpoint *ep, uint16_t family);

/* True if every byte of the address is zero (INADDR_ANY, in6addr_any). */
bool endpoint_is_any(const struct endpoint *ep);

/* Writes "10.0.0.1:80" or "[2001:db8::1]:80" (scope after '%', as a number); always terminated,
 * cut at `size`. Returns `out`. */
char *endpoint_text(const struct endpoint *ep, char *out, size_t size);

#endif
