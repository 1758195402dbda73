/* SPDX-License-Identifier: MIT */
/* handshakes.c - see handshakes.h. */
#include "helper/carrier/handshakes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The address, or its first 64 bits. */
struct key {
    uint16_t family;
    bool shared;
    uint8_t network[8];
};

struct handshake_source {
    struct key key;
    uint32_t count;
    struct list waiting;   /* the oldest first */
    struct list_link link; /* in handshakes->source[] */
};

void handshakes_init(struct handshakes *handshakes) {
    memset(handshakes, 0, sizeof *handshakes);
    for (unsigned i = 0; i < HANDSHAKES_BUCKETS; i++)
        list_init(&handshakes->source[i]);
}

void handshakes_limit(struct handshakes *handshakes, uint32_t max, uint32_t max_per_source) {
    handshakes->max = max;
    handshakes->max_per_source = max_per_source;
}

/* ---- Sources ---- */

static struct key key_of(const struct endpoint *address, bool shared) {
    struct endpoint plain = endpoint_unmapped(address);
    struct key key = {.family = plain.family, .shared = shared};
    memcpy(key.network, plain.addr, sizeof key.network);
    return key;
}

static bool is_of(const struct handshake_source *source, const struct key *key) {
    return source->key.family == key->family && source->key.shared == key->shared &&
           memcmp(source->key.network, key->network, sizeof key->network) == 0;
}

/* The bounds keep the lists short, whoever chooses the addresses. */
static struct list *bucket_of(struct handshakes *handshakes, const struct key *key) {
    uint64_t bits;
    memcpy(&bits, key->network, sizeof bits);
    return &handshakes->source[(bits * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

static struct handshake_source *find(struct handshakes *handshakes, const struct key *key) {
    list_for_each(link, bucket_of(handshakes, key)) {
        struct handshake_source *source = container_of(link, struct handshake_source, link);
        if (is_of(source, key))
            return source;
    }
    return NULL;
}

static struct handshake_source *add(struct handshakes *handshakes, const struct key *key) {
    struct handshake_source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->key = *key;
    list_init(&source->waiting);
    list_prepend(bucket_of(handshakes, key), &source->link);
    return source;
}

static struct handshake *oldest_of(const struct handshake_source *source) {
    return container_of(list_first(&source->waiting), struct handshake, link);
}

static bool gives_way_before(const struct handshake_source *a, const struct handshake_source *b) {
    if (a->count != b->count)
        return a->count > b->count;
    return oldest_of(a)->number < oldest_of(b)->number;
}

static struct handshake_source *with_most(struct handshakes *handshakes) {
    struct handshake_source *most = NULL;
    for (unsigned i = 0; i < HANDSHAKES_BUCKETS; i++)
        list_for_each(link, &handshakes->source[i]) {
            struct handshake_source *source = container_of(link, struct handshake_source, link);
            if (!most || gives_way_before(source, most))
                most = source;
        }
    return most;
}

/* ---- Entering and leaving ---- */

static void oldest_gives_way(struct handshake_source *source, const char *why) {
    struct handshake *oldest = oldest_of(source);
    oldest->give_way(oldest, why);
}

static void make_room(struct handshakes *handshakes, const struct key *key) {
    struct handshake_source *source;
    while (!key->shared && (source = find(handshakes, key)) &&
           source->count >= handshakes->max_per_source)
        oldest_gives_way(source, "too many handshakes of one source (max-handshakes-per-source)");
    while (handshakes->count > 0 && handshakes->count >= handshakes->max)
        oldest_gives_way(with_most(handshakes), "too many handshakes (max-handshakes)");
}

int handshakes_enter(struct handshakes *handshakes, struct handshake *handshake,
                     const struct endpoint *address, bool shared) {
    struct key key = key_of(address, shared);
    make_room(handshakes, &key);
    struct handshake_source *source = find(handshakes, &key);
    if (!source)
        source = add(handshakes, &key);
    if (!source)
        return -ENOMEM;
    handshake->source = source;
    handshake->number = handshakes->entered++;
    list_append(&source->waiting, &handshake->link);
    source->count++;
    handshakes->count++;
    return 0;
}

void handshakes_leave(struct handshakes *handshakes, struct handshake *handshake) {
    struct handshake_source *source = handshake->source;
    if (!source)
        return;
    handshake->source = NULL;
    list_remove(&handshake->link);
    handshakes->count--;
    if (--source->count > 0)
        return;
    list_remove(&source->link);
    free(source);
}
