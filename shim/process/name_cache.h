/* SPDX-License-Identifier: MIT */
/*
 * name_cache.h - which host name was resolved to an address.
 *
 * A program resolves a name first and connects to an address second; a route by host name needs the
 * name at connect. The lookup hooks (lookup.h) remember here what they saw.
 *
 * A fixed table in static memory, copied by fork. Readers and writers never wait: an entry that is
 * being written is skipped. Of NAME_CACHE_MAX addresses the least recently written of a bucket is
 * replaced. What is lost by that or by exec matters only for addresses that libc found: synthetic
 * ones are the helper's (name_ask.h), which can always tell what they stand for.
 */
#ifndef SHIM_PROCESS_NAME_CACHE_H
#define SHIM_PROCESS_NAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/common/helper_protocol.h"

#define NAME_CACHE_MAX 4096

/* Remembers that `name` was resolved to `address` (its port does not matter). Names that are no
 * valid host names are ignored; a final dot, which only says that the name is complete, is not
 * kept. */
void name_cache_remember(const struct endpoint *address, const char *name);

/* Writes the name last remembered for the address of `dest` and returns true; false if there is
 * none. */
bool name_cache_find(const struct endpoint *dest, char *name, size_t size);

#endif
