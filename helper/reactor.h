/*
 * reactor.h - what everything in one event loop shares: the loop, the pool of buffers, and the
 * memory that carriers are read into. One per process (one per worker in the gateway).
 */
#ifndef HELPER_REACTOR_H
#define HELPER_REACTOR_H

#include "helper/buffer.h"
#include "helper/loop.h"

/* One read of a carrier: several full frames, and small enough to stay in a core's cache. */
#define REACTOR_RECEIVE_SIZE (256u * 1024u)

struct reactor {
    struct loop *loop;
    struct buffer_pool pool;
    uint8_t *receive; /* REACTOR_RECEIVE_SIZE bytes; worked off before anything else is read */
};

/* 0 or a negative errno. */
int reactor_init(struct reactor *reactor);
void reactor_fini(struct reactor *reactor);

#endif
