/* SPDX-License-Identifier: MIT */
/* proxy_source.c - see proxy_source.h. */
#include "helper/client/proxy_source.h"

#include <stdlib.h>
#include <string.h>

void proxy_sources_init(struct proxy_sources *sources) {
    for (unsigned i = 0; i < PROXY_SOURCES_BUCKETS; i++)
        list_init(&sources->bucket[i]);
}

/* The listener's own limit keeps the lists short, whoever chooses the addresses. */
static struct list *bucket_of(struct proxy_sources *sources, const uint8_t *network) {
    uint64_t bits;
    memcpy(&bits, network, sizeof bits);
    return &sources->bucket[(bits * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

struct proxy_source *proxy_source_enter(struct proxy_sources *sources,
                                        const struct endpoint *address) {
    struct endpoint plain = endpoint_unmapped(address);
    struct list *bucket = bucket_of(sources, plain.addr);
    list_for_each(link, bucket) {
        struct proxy_source *source = container_of(link, struct proxy_source, link);
        if (source->family == plain.family &&
            memcmp(source->network, plain.addr, sizeof source->network) == 0) {
            source->count++;
            return source;
        }
    }
    struct proxy_source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->family = plain.family;
    source->count = 1;
    memcpy(source->network, plain.addr, sizeof source->network);
    list_prepend(bucket, &source->link);
    return source;
}

void proxy_source_leave(struct proxy_source *source) {
    if (!source || --source->count > 0)
        return;
    list_remove(&source->link);
    free(source);
}
