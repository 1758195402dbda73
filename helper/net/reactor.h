/* SPDX-License-Identifier: MIT */
/*
 * reactor.h - what everything in one event loop shares: the loop, the pool of buffers, and the
 * memory that carriers are read into. One per process (one per worker in the gateway).
 */
#ifndef HELPER_NET_REACTOR_H
#define HELPER_NET_REACTOR_H

#include "helper/net/buffer.h"
#include "helper/net/kept.h"
#include "helper/net/loop.h"

/* One read of a carrier: several full frames, and small enough to stay in a core's cache. */
#define REACTOR_RECEIVE_SIZE (256u * 1024u)

/* Memory that a carrier is read into. Usually its frames are processed at once, and the next read
 * uses it again. A relay whose socket accepts no more keeps a reference to it instead of a copy,
 * and the next read uses another one. */
struct receive_buffer {
    unsigned refs;
    struct receive_buffer *next; /* in the free list */
    uint8_t data[REACTOR_RECEIVE_SIZE];
};

/* Free receive buffers kept for reuse: 8 MiB. */
#define REACTOR_RECEIVE_KEEP 32

/* While small messages are passed on, and for this long after the last one, bulk data moves in
 * smaller steps, so that no small message waits long for its turn. */
#define REACTOR_MIXED_US   20000u
#define REACTOR_STEP_MIXED (64u * 1024u)
#define REACTOR_SMALL_MAX  4096u
#define REACTOR_SMALL_RUN  4

struct reactor {
    struct loop *loop;
    uint64_t small_us; /* when a small message passed last */
    struct buffer_pool pool;
    size_t
        loans_max; /* buffers of the pool that all sessions may have on loan (reactor_set_memory) */
    struct kept kept;               /* what has arrived and cannot be passed on yet */
    struct receive_buffer *receive; /* the current one */
    struct receive_buffer *receive_free;
    unsigned receive_free_count;
};

/* 0 or a negative errno. */
int reactor_init(struct reactor *reactor);
void reactor_fini(struct reactor *reactor);

/* How much memory one process may use for data in transit if nothing is configured: a quarter of
 * the memory of the machine or the control group, 64 MiB at least and 1 GiB at most. */
uint32_t reactor_default_memory(void);
/* Half of `bytes` (0: the default) is for buffers on loan, half for kept received data. */
void reactor_set_memory(struct reactor *reactor, uint64_t bytes);
/* How much one session may promise (smux_config.max_promised) so that its carrier is still read
 * when all of that is unread. Never less than promises need at all (core/PROTOCOL.md, section
 * 7). */
uint32_t reactor_promises(const struct reactor *reactor);

/* Notes that `len` bytes of a stream have been passed on in one direction. `*few` counts how often
 * in a row they were few: several small pieces in a row are a conversation, a single one may be
 * part of something long. */
static inline void reactor_note(struct reactor *reactor, uint8_t *few, size_t len) {
    if (len > REACTOR_SMALL_MAX)
        *few = 0;
    else if (*few < REACTOR_SMALL_RUN)
        ++*few;
    else
        reactor->small_us = loop_now_us(reactor->loop);
}

static inline bool reactor_is_mixed(const struct reactor *reactor) {
    return loop_now_us(reactor->loop) - reactor->small_us < REACTOR_MIXED_US;
}

/* How many bytes to move for one descriptor before the others have their turn. */
static inline size_t reactor_step(const struct reactor *reactor) {
    return reactor_is_mixed(reactor) ? REACTOR_STEP_MIXED : REACTOR_RECEIVE_SIZE;
}

/* The buffer to read into now: nobody else refers to it. NULL if memory is short. */
struct receive_buffer *reactor_receive_buffer(struct reactor *reactor);

/* Returns a reference to the current buffer if [data, data + len) lies in it, else NULL. */
struct receive_buffer *reactor_receive_share(struct reactor *reactor, const uint8_t *data,
                                             size_t len);
/* Returns a reference to the current buffer. */
struct receive_buffer *reactor_receive_hold(struct reactor *reactor);
/* Releases a reference. */
void reactor_receive_release(struct reactor *reactor, struct receive_buffer *buffer);

#endif
