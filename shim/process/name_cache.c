/* SPDX-License-Identifier: MIT */
/* name_cache.c - see name_cache.h. */
#include "shim/process/name_cache.h"

#include <stdatomic.h>
#include <string.h>

#define BUCKET 8 /* places that an entry for one address may have */

struct entry {
    _Atomic uint32_t version; /* odd: being written; 0: never used */
    uint16_t family;
    uint8_t addr[16];
    char name[HELPER_HOST_NAME_MAX + 1];
};

static struct entry table[NAME_CACHE_MAX];

static uint32_t hash_bytes(const void *bytes, size_t len) {
    uint32_t hash = 0x811c9dc5u; /* FNV-1a, 32 bits */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x01000193u;
    return hash ^ hash >> 15;
}

static struct entry *slot(const struct endpoint *address, unsigned i) {
    return &table[(hash_bytes(address->addr, 16) + i) % NAME_CACHE_MAX];
}

/* Copies an entry out; false if it is unused or changes meanwhile. */
static bool entry_read(struct entry *entry, struct entry *copy) {
    uint32_t before = atomic_load_explicit(&entry->version, memory_order_acquire);
    if (before == 0 || before & 1)
        return false;
    memcpy(copy, entry, sizeof *copy);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&entry->version, memory_order_relaxed) == before;
}

static bool entry_is_for(const struct entry *entry, const struct endpoint *address) {
    return entry->family == address->family && memcmp(entry->addr, address->addr, 16) == 0;
}

static void entry_write(struct entry *entry, const struct endpoint *address, const char *name) {
    uint32_t version = atomic_load(&entry->version);
    if (version & 1 || !atomic_compare_exchange_strong(&entry->version, &version, version + 1))
        return;
    size_t len = strlen(name);
    entry->family = address->family;
    memcpy(entry->addr, address->addr, 16);
    memcpy(entry->name, name, len + 1);
    if (len > 1 && name[len - 1] == '.')
        entry->name[len - 1] = '\0';
    atomic_store_explicit(&entry->version, version + 2, memory_order_release);
}

/* The entry to write: the address's own, an unused one, or the one written least often. */
static struct entry *choose(const struct endpoint *address) {
    struct entry copy, *best = NULL;
    uint32_t best_version = UINT32_MAX;
    for (unsigned i = 0; i < BUCKET; i++) {
        struct entry *entry = slot(address, i);
        uint32_t version = atomic_load(&entry->version);
        if (entry_read(entry, &copy) && entry_is_for(&copy, address))
            return entry;
        if (version < best_version) {
            best = entry;
            best_version = version;
        }
    }
    return best;
}

void name_cache_remember(const struct endpoint *address, const char *name) {
    struct endpoint plain = endpoint_unmapped(address);
    if (!helper_host_name_valid(name, strnlen(name, HELPER_HOST_NAME_MAX + 1)))
        return;
    struct entry *entry = choose(&plain);
    if (entry)
        entry_write(entry, &plain, name);
}

bool name_cache_find(const struct endpoint *dest, char *name, size_t size) {
    struct endpoint plain = endpoint_unmapped(dest);
    struct entry copy;
    for (unsigned i = 0; i < BUCKET; i++)
        if (entry_read(slot(&plain, i), &copy) && entry_is_for(&copy, &plain) &&
            strlen(copy.name) < size) {
            strcpy(name, copy.name);
            return true;
        }
    return false;
}
