/* names.c - see names.h. */
#include "names.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#define BUCKET 8 /* entries that are tried for one address */

struct entry {
    _Atomic uint32_t version; /* odd: being written; 0: never used */
    uint8_t synthetic;
    uint16_t family;
    uint8_t addr[16];
    char name[SHIM_HOST_NAME_MAX + 1];
};

static struct entry table[NAMES_MAX];

static const uint8_t synthetic_v6[12] = {0xfd, 0x73, 0x6d, 0x78, 0x73, 0x68};

static uint32_t hash_bytes(const void *bytes, size_t len) {
    uint32_t hash = 0x811c9dc5u; /* FNV-1a, 32 bits */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x01000193u;
    return hash ^ hash >> 15;
}

static struct entry *slot(const struct shim_endpoint *address, unsigned i) {
    return &table[(hash_bytes(address->addr, 16) + i) % NAMES_MAX];
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

static bool entry_is_for(const struct entry *entry, const struct shim_endpoint *address) {
    return entry->family == address->family && memcmp(entry->addr, address->addr, 16) == 0;
}

static bool entry_write(struct entry *entry, const struct shim_endpoint *address, const char *name,
                        bool synthetic) {
    uint32_t version = atomic_load(&entry->version);
    if (version & 1 || !atomic_compare_exchange_strong(&entry->version, &version, version + 1))
        return false;
    entry->synthetic = synthetic;
    entry->family = address->family;
    memcpy(entry->addr, address->addr, 16);
    strcpy(entry->name, name);
    atomic_store_explicit(&entry->version, version + 2, memory_order_release);
    return true;
}

/* The entry to write: the address's own, an unused one, or the one written least often. */
static struct entry *choose(const struct shim_endpoint *address) {
    struct entry copy = {.synthetic = 0}, *best = NULL;
    uint32_t best_version = UINT32_MAX;
    for (unsigned i = 0; i < BUCKET; i++) {
        struct entry *entry = slot(address, i);
        uint32_t version = atomic_load(&entry->version);
        if (entry_read(entry, &copy) && entry_is_for(&copy, address))
            return entry;
        if (version < best_version && !(version && copy.synthetic)) {
            best = entry;
            best_version = version;
        }
    }
    return best;
}

void names_remember(const struct shim_endpoint *address, const char *name) {
    struct shim_endpoint plain = shim_endpoint_unmapped(address);
    if (!shim_host_name_valid(name, strnlen(name, SHIM_HOST_NAME_MAX + 1)) ||
        names_is_synthetic(&plain))
        return;
    struct entry *entry = choose(&plain);
    if (entry)
        entry_write(entry, &plain, name, false);
}

bool names_find(const struct shim_endpoint *dest, char *name, size_t size) {
    struct shim_endpoint plain = shim_endpoint_unmapped(dest);
    struct entry copy;
    for (unsigned i = 0; i < BUCKET; i++)
        if (entry_read(slot(&plain, i), &copy) && entry_is_for(&copy, &plain) &&
            strlen(copy.name) < size) {
            strcpy(name, copy.name);
            return true;
        }
    return false;
}

/* 198.18.0.0/15, without its first and last address. */
static void synthetic_v4(uint32_t number, struct shim_endpoint *address) {
    uint32_t ip = 0xc6120000u + 1 + number % 131070;
    *address = (struct shim_endpoint){.family = AF_INET};
    for (int i = 0; i < 4; i++)
        address->addr[i] = (uint8_t)(ip >> (24 - 8 * i));
}

static void as_synthetic_v6(struct shim_endpoint *address) {
    uint8_t v4[4];
    memcpy(v4, address->addr, 4);
    address->family = AF_INET6;
    memcpy(address->addr, synthetic_v6, 12);
    memcpy(address->addr + 12, v4, 4);
}

/* Gives `address` to `name`, unless another name has it. */
static bool take_address(const struct shim_endpoint *address, const char *name) {
    char owner[SHIM_HOST_NAME_MAX + 1];
    if (names_find(address, owner, sizeof owner))
        return strcasecmp(owner, name) == 0;
    struct entry *entry = choose(address);
    return entry && entry_write(entry, address, name, true);
}

bool names_synthesize(const char *name, int family, struct shim_endpoint *address) {
    size_t len = strnlen(name, SHIM_HOST_NAME_MAX + 1);
    char lower[SHIM_HOST_NAME_MAX + 1];
    if (!shim_host_name_valid(name, len))
        return false;
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    uint32_t number = hash_bytes(lower, len);
    for (uint32_t i = 0; i < 64; i++) {
        synthetic_v4(number + i, address);
        if (family == AF_INET6)
            as_synthetic_v6(address);
        if (take_address(address, name))
            return true;
    }
    return false;
}

bool names_is_synthetic(const struct shim_endpoint *address) {
    if (address->family == AF_INET)
        return address->addr[0] == 198 && (address->addr[1] & 0xfe) == 18;
    return address->family == AF_INET6 && memcmp(address->addr, synthetic_v6, 12) == 0;
}
