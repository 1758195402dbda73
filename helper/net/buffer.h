/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - the pool of buffers that are read into and lent to the engine.
 *
 * A buffer holds exactly one full frame: what is read into it goes out as one frame, without a
 * copy. One pool per event loop; not thread-safe.
 */
#ifndef HELPER_NET_BUFFER_H
#define HELPER_NET_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "core/common/list.h"
#include "core/smux.h"

#define BUFFER_SIZE 65535u

struct buffer {
    smux_sendbuf lent;     /* what the engine borrows */
    void *owner;           /* who is told when it comes back; NULL if the owner is gone */
    struct list_link loan; /* in the owner's list, while lent */
    struct buffer *next;   /* in the pool, while free */
    uint8_t data[BUFFER_SIZE];
};

struct buffer_pool {
    struct buffer *free;
    size_t free_count;
    size_t used_count; /* lent or being read into */
};

/* Free buffers kept for reuse: 128 * 64 KiB, enough for what one turn of a busy loop moves. */
#define BUFFER_POOL_KEEP 128

/* NULL if memory is short. */
struct buffer *buffer_get(struct buffer_pool *pool);
/* Takes a buffer back. NULL is fine. */
void buffer_put(struct buffer_pool *pool, struct buffer *buffer);
void buffer_pool_fini(struct buffer_pool *pool);

#endif
