/* SPDX-License-Identifier: MIT */
/*
 * lookup.h - the lookups of names, watched for routes by host name: which of them matter, and what
 * they end with.
 *
 * A name that matches a name rule of a route is resolved by libc as ever, and what came out is
 * remembered (name_cache.h). If libc cannot resolve it the helper gives it a synthetic address
 * (name_ask.h), and the gateway resolves the name at connect. Where no helper answers that is a
 * temporary failure (EAI_AGAIN); where it has no address left, a permanent one (EAI_FAIL). Names
 * that match no rule, and everything if no route has a name rule, go straight to libc.
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

/* The settings if a route wants this host name; else NULL. No system call when the routes are in
 * the environment. */
const struct settings *lookup_watches(const char *name);

/* The settings if this address stands for a host name; else NULL. */
const struct settings *lookup_synthetic(const struct endpoint *address);

/* Remembers what libc found. */
void lookup_remember(const struct settings *settings, const struct endpoint *address,
                     const char *name);

/* libc found no address of `family`: has the name one of the other family? Then its answer stands.
 * `no_data`: libc said that the name exists. */
bool lookup_known_otherwise(const char *name, int family, bool no_data);

/* The synthetic address of a name (AF_UNSPEC: IPv4, or IPv6 if there is none left), remembered. 0,
 * or an errno as name_ask.h has it. */
int lookup_synthesize(const struct settings *settings, const char *name, int family,
                      struct endpoint *address);

/* The name behind a synthetic address: as this process or the helper knows it. */
int lookup_name(const struct settings *settings, const struct endpoint *address,
                char name[HELPER_HOST_NAME_MAX + 1]);

/* That errno, as getaddrinfo and gethostbyname say it. 0: libc's own answer stands. */
struct lookup_failure {
    int eai, h_error;
};
struct lookup_failure lookup_failure(int err);

#endif
