/* SPDX-License-Identifier: MIT */
/*
 * kept_queue.h - bytes that have arrived for a socket that takes no more, in the order in which
 * they go to it.
 *
 * Small pieces are copied. Of large ones only a reference to the receive buffer is kept, while
 * memory is plentiful. Everything that the queue pins is charged to its session's account (kept.h).
 */
#ifndef HELPER_RELAY_KEPT_QUEUE_H
#define HELPER_RELAY_KEPT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "helper/net/reactor.h"

struct kept_chunk;

/* Embedded in its relay, on whose thread it is used. Read-only for others. */
struct kept_queue {
    struct reactor *reactor;
    struct keeper *keeper; /* the account charged; NULL: that of queues without a session */
    struct kept_chunk *first, **end;
    size_t len;       /* bytes in the queue */
    size_t urgent_at; /* the urgent byte is the last of the first so many; 0: there is none */
};

void kept_queue_init(struct kept_queue *queue, struct reactor *reactor);

static inline bool kept_queue_is_empty(const struct kept_queue *queue) {
    return !queue->first;
}

/* Appends data[0..len), len > 0. 0, or -ENOMEM: then a first part of it may have been appended. */
int kept_queue_append(struct kept_queue *queue, const uint8_t *data, size_t len);

/* Marks the last byte as urgent. The queue must not be empty. */
void kept_queue_mark_urgent(struct kept_queue *queue);

/* Is the next byte the urgent one? */
static inline bool kept_queue_is_urgent(const struct kept_queue *queue) {
    return queue->urgent_at == 1;
}

/* Points up to `max` iovecs at what is to be written next and sets *total to the bytes in them. An
 * urgent byte comes alone. Returns the number of iovecs, which stay valid until the queue changes.
 */
int kept_queue_gather(const struct kept_queue *queue, struct iovec *iov, int max, size_t *total);

/* Removes the first `len` bytes, which have been written. */
void kept_queue_advance(struct kept_queue *queue, size_t len);

/* Removes all. */
void kept_queue_drop(struct kept_queue *queue);

/* The stream or session ends: moves what is kept to the common account of such queues, or drops it
 * if that has no room. */
void kept_queue_orphan(struct kept_queue *queue);

#endif
