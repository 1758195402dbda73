/* lookup_internal.h - shared by lookup*.c only: which lookups matter, and what they end with. */
#ifndef SHIM_HOOKS_LOOKUP_INTERNAL_H
#define SHIM_HOOKS_LOOKUP_INTERNAL_H

#include <netdb.h>
#include <stdbool.h>

#include "shim/process/name_ask.h"

#ifndef NETDB_INTERNAL /* musl */
#define NETDB_INTERNAL (-1)
#endif

/* The settings if a route wants this host name; else NULL. No system call when the routes are in the
 * environment. */
const struct settings *resolve_watches(const char *name);

/* The settings if this address stands for a host name; else NULL. */
const struct settings *resolve_synthetic(const struct shim_endpoint *address);

/* Remembers what libc found. */
void resolve_remember(const struct settings *settings, const struct shim_endpoint *address,
                      const char *name);

/* libc found no address of `family`: has the name one of the other family? Then its answer stands.
 * `no_data`: libc said that the name exists. */
bool resolve_known_otherwise(const char *name, int family, bool no_data);

/* The synthetic address of a name (AF_UNSPEC: IPv4, or IPv6 if there is none left), remembered. 0,
 * or an errno as name_ask.h has it. */
int resolve_synthesize(const struct settings *settings, const char *name, int family,
                       struct shim_endpoint *address);

/* The name behind a synthetic address: as this process or the helper knows it. */
int resolve_name(const struct settings *settings, const struct shim_endpoint *address,
                 char name[SHIM_HOST_NAME_MAX + 1]);

/* That errno, as getaddrinfo and gethostbyname say it. 0: libc's own answer stands. */
struct resolve_failure {
    int eai, h_error;
};
struct resolve_failure resolve_failure(int err);

#endif
