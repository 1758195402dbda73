/* SPDX-License-Identifier: MIT */
/*
 * name_cache.h - which host name was resolved to an address.
 *
 * A program resolves a name first and connects to an address second; a route by host name needs the
 * name at connect. The lookup hooks (lookup.h) remember here what they saw.
 *
 * The cache is a fixed table of NAME_CACHE_MAX entries in static memory, copied by fork. Readers
 * and writers never wait: they skip an entry that is being written. When all places for an address
 * are taken, the entry that was written least often is replaced. An entry lost that way, or by
 * exec, matters only for addresses that libc found: synthetic addresses come from the helper, which
 * can always tell what they stand for (name_ask.h).
 */
#ifndef SHIM_PROCESS_NAME_CACHE_H
#define SHIM_PROCESS_NAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/common/helper_protocol.h"

#define NAME_CACHE_MAX 4096

/* Remembers that `name` was resolved to `address` (its port does not matter). Invalid host names
 * are ignored. A final dot, which only marks the name as fully qualified, is dropped. */
void name_cache_remember(const struct endpoint *address, const char *name);

/* Writes the name last remembered for the address of `dest` and returns true; false if there is
 * none. */
bool name_cache_find(const struct endpoint *dest, char *name, size_t size);

#endif
