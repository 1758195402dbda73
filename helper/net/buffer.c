/* SPDX-License-Identifier: MIT */
/* buffer.c - see buffer.h. */
#include "helper/net/buffer.h"

#include <stdlib.h>
#include <string.h>

struct buffer *buffer_get(struct buffer_pool *pool) {
    struct buffer *buffer = pool->free;
    if (buffer) {
        pool->free = buffer->next;
        pool->free_count--;
    } else {
        buffer = malloc(sizeof *buffer);
        if (!buffer)
            return NULL;
    }
    memset(buffer, 0, offsetof(struct buffer, data));
    pool->used_count++;
    return buffer;
}

void buffer_put(struct buffer_pool *pool, struct buffer *buffer) {
    if (!buffer)
        return;
    pool->used_count--;
    if (pool->free_count >= BUFFER_POOL_KEEP) {
        free(buffer);
        return;
    }
    buffer->next = pool->free;
    pool->free = buffer;
    pool->free_count++;
}

void buffer_pool_fini(struct buffer_pool *pool) {
    while (pool->free) {
        struct buffer *buffer = pool->free;
        pool->free = buffer->next;
        free(buffer);
    }
    pool->free_count = 0;
}
