/* SPDX-License-Identifier: MIT */
/*
 * lookup.h - name lookups, hooked for routes that match by host name: which lookups matter, and
 * what they return.
 *
 * A name that matches a name rule of a route is resolved by libc as usual, and the result is
 * remembered (name_cache.h). If libc cannot resolve it, the helper assigns it a synthetic address
 * (name_ask.h), and the gateway resolves the name at connect. If no helper answers, the lookup
 * fails temporarily (EAI_AGAIN); if the helper has no address left, permanently (EAI_FAIL). Lookups
 * of other names, and all lookups if no route has a name rule, return libc's result.
 */
#ifndef SHIM_HOOKS_LOOKUP_H
#define SHIM_HOOKS_LOOKUP_H

#include <netdb.h>
#include <stdbool.h>

#include "shim/hooks/hooks.h"
#include "shim/process/name_ask.h"

#ifndef NETDB_INTERNAL /* musl */
#define NETDB_INTERNAL (-1)
#endif

/* The settings if a name rule of a route matches this host name, else NULL. No system call when the
 * routes are in the environment. */
const struct settings *lookup_watches(const char *name);

/* The settings if this address is a synthetic one, else NULL. */
const struct settings *lookup_synthetic(const struct endpoint *address);

/* Remembers an address that libc found for a name, unless it is in the synthetic range. */
void lookup_remember(const struct settings *settings, const struct endpoint *address,
                     const char *name);

/* Called when libc found no address of `family`: does the name have one of the other family? If so,
 * libc's answer stands. `no_data`: libc has said that the name exists. */
bool lookup_known_otherwise(const char *name, int family, bool no_data);

/* Gets a synthetic address for a name (AF_UNSPEC: IPv4, or IPv6 if no IPv4 address is left) and
 * remembers it. Returns 0, or an errno as in name_ask.h. */
int lookup_synthesize(const struct settings *settings, const char *name, int family,
                      struct endpoint *address);

/* Finds the name that a synthetic address stands for: in this process, else from the helper.
 * Returns 0, or an errno as in name_ask.h. */
int lookup_name(const struct settings *settings, const struct endpoint *address,
                char name[HELPER_HOST_NAME_MAX + 1]);

/* That errno as an error of getaddrinfo and of gethostbyname. 0: libc's own answer stands. */
struct lookup_failure {
    int eai, h_error;
};
struct lookup_failure lookup_failure(int err);

#endif
