/*
 * names.h - which host name stands behind an address.
 *
 * A program resolves a name first and connects to an address second; a route by host name needs the
 * name at connect. The lookup hooks (resolve.h) remember here what they saw. A name that nobody
 * here can resolve, but that a route wants, gets a synthetic address: IPv4 from 198.18.0.0/15,
 * which RFC 2544 keeps off the internet, IPv6 from fd73:6d78:7368::/96 with the IPv4 one in its
 * last bits.
 *
 * A fixed table in static memory, copied by fork. Readers and writers never wait: an entry that is
 * being written is skipped. Of NAMES_MAX addresses the least recently written of a bucket is
 * replaced; synthetic ones are never given to another name in the same process.
 */
#ifndef SHIM_NAMES_H
#define SHIM_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "control.h"

#define NAMES_MAX 4096

/* Remembers that `name` was resolved to `address` (its port does not matter). Names that are no
 * valid host names are ignored. */
void names_remember(const struct shim_endpoint *address, const char *name);

/* Writes the name last remembered for the address of `dest` and returns true; false if there is
 * none. */
bool names_find(const struct shim_endpoint *dest, char *name, size_t size);

/* The synthetic address of `name`, made and remembered if it has none. False if the table is full
 * around it or the name is not valid. */
bool names_synthesize(const char *name, int family, struct shim_endpoint *address);

bool names_is_synthetic(const struct shim_endpoint *address);

#endif
