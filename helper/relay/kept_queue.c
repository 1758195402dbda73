/* SPDX-License-Identifier: MIT */
/* kept_queue.c - see kept_queue.h. */
#include "helper/relay/kept_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kept_chunk {
    struct kept_chunk *next;
    struct receive_buffer *shared; /* where the bytes were received; NULL: they are a copy */
    const uint8_t *bytes;
    size_t off, len, cap; /* bytes[off..len) is kept; a copy has room up to cap */
    uint8_t copy[];
};

/* Small messages share a chunk, which is smaller when memory is short. */
#define CHUNK_MIN       4096u
#define CHUNK_MIN_SHORT 256u

/* From this size on bytes are not copied while memory is plentiful: a reference keeps all of its
 * receive buffer alive, and is charged for all of it. */
#define SHARE_MIN (REACTOR_RECEIVE_SIZE / 8)

void kept_queue_init(struct kept_queue *queue, struct reactor *reactor) {
    *queue = (struct kept_queue){.reactor = reactor};
    queue->end = &queue->first;
}

/* The memory that the chunk pins. */
static size_t pinned(const struct kept_chunk *chunk) {
    return sizeof *chunk + (chunk->shared ? sizeof *chunk->shared : chunk->cap);
}

static void remove_first(struct kept_queue *queue) {
    struct kept_chunk *chunk = queue->first;
    queue->first = chunk->next;
    if (!queue->first)
        queue->end = &queue->first;
    kept_release(&queue->reactor->kept, queue->keeper, pinned(chunk));
    if (chunk->shared)
        reactor_receive_release(queue->reactor, chunk->shared);
    free(chunk);
}

void kept_queue_drop(struct kept_queue *queue) {
    while (queue->first)
        remove_first(queue);
    queue->len = 0;
    queue->urgent_at = 0;
}

void kept_queue_orphan(struct kept_queue *queue) {
    size_t bytes = 0;
    for (const struct kept_chunk *chunk = queue->first; chunk; chunk = chunk->next)
        bytes += pinned(chunk);
    if (!kept_orphan(&queue->reactor->kept, queue->keeper, bytes))
        kept_queue_drop(queue);
    queue->keeper = NULL;
}

static void append_chunk(struct kept_queue *queue, struct kept_chunk *chunk) {
    *queue->end = chunk;
    queue->end = &chunk->next;
    queue->len += chunk->len;
    kept_charge(&queue->reactor->kept, queue->keeper, pinned(chunk));
}

static bool append_reference(struct kept_queue *queue, const uint8_t *data, size_t len) {
    struct receive_buffer *shared = reactor_receive_share(queue->reactor, data, len);
    struct kept_chunk *chunk = shared ? malloc(sizeof *chunk) : NULL;
    if (chunk) {
        *chunk = (struct kept_chunk){.shared = shared, .bytes = data, .len = len, .cap = len};
        append_chunk(queue, chunk);
        return true;
    }
    if (shared)
        reactor_receive_release(queue->reactor, shared);
    return false;
}

/* Copies as much as fits into the last chunk. Returns how much that was. */
static size_t fill_last(struct kept_queue *queue, const uint8_t *data, size_t len) {
    if (!queue->first)
        return 0;
    struct kept_chunk *last = container_of(queue->end, struct kept_chunk, next);
    if (last->shared)
        return 0;
    size_t n = last->cap - last->len < len ? last->cap - last->len : len;
    memcpy(last->copy + last->len, data, n);
    last->len += n;
    queue->len += n;
    return n;
}

static int append_copy(struct kept_queue *queue, const uint8_t *data, size_t len, size_t least) {
    size_t cap = len > least ? len : least;
    struct kept_chunk *chunk = malloc(sizeof *chunk + cap);
    if (!chunk)
        return -ENOMEM;
    *chunk = (struct kept_chunk){.bytes = chunk->copy, .len = len, .cap = cap};
    memcpy(chunk->copy, data, len);
    append_chunk(queue, chunk);
    return 0;
}

int kept_queue_append(struct kept_queue *queue, const uint8_t *data, size_t len) {
    bool plenty = kept_is_plentiful(&queue->reactor->kept, queue->keeper, REACTOR_RECEIVE_SIZE);
    if (plenty && len >= SHARE_MIN && append_reference(queue, data, len))
        return 0;
    size_t done = fill_last(queue, data, len);
    if (done == len)
        return 0;
    return append_copy(queue, data + done, len - done, plenty ? CHUNK_MIN : CHUNK_MIN_SHORT);
}

void kept_queue_mark_urgent(struct kept_queue *queue) {
    queue->urgent_at = queue->len;
}

/* How many bytes may be written together. The urgent byte goes alone: which byte a short write with
 * MSG_OOB makes urgent is not certain. */
static size_t gather_max(const struct kept_queue *queue) {
    if (queue->urgent_at == 0)
        return SIZE_MAX;
    return queue->urgent_at > 1 ? queue->urgent_at - 1 : 1;
}

int kept_queue_gather(const struct kept_queue *queue, struct iovec *iov, int max, size_t *total) {
    size_t bytes_max = gather_max(queue);
    int count = 0;
    *total = 0;
    for (const struct kept_chunk *c = queue->first; c && count < max && *total < bytes_max;
         c = c->next) {
        size_t left = bytes_max - *total;
        size_t len = c->len - c->off < left ? c->len - c->off : left;
        iov[count++] = (struct iovec){(void *)(c->bytes + c->off), len};
        *total += len;
    }
    return count;
}

void kept_queue_advance(struct kept_queue *queue, size_t len) {
    queue->len -= len;
    queue->urgent_at -= queue->urgent_at ? len : 0;
    while (queue->first && len >= queue->first->len - queue->first->off) {
        len -= queue->first->len - queue->first->off;
        remove_first(queue);
    }
    if (queue->first)
        queue->first->off += len;
}
