/* SPDX-License-Identifier: MIT
 *
 * An allocator that counts, fills, checks and fails on demand.
 */
#ifndef TEST_SUPPORT_ALLOC_H
#define TEST_SUPPORT_ALLOC_H

#include "core/smux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct test_alloc {
    size_t calls; /* of alloc, failed ones included */
    size_t failures;
    size_t live_blocks, live_bytes, peak_bytes;
    size_t fail_at;       /* the call with this number, counted from 1, fails; 0: none */
    size_t fail_count;    /* how many calls fail from there on; 0 counts as 1 */
    uint32_t fail_one_in; /* every call fails with this chance; 0: none */
    uint32_t random;
} test_alloc;

/* Precedes every block; 16 bytes, which keeps malloc's alignment. */
typedef struct test_block {
    size_t size;
    uint64_t magic;
} test_block;

#define TEST_BLOCK_LIVE 0x6c6976656c697665u
#define TEST_BLOCK_DEAD 0x6465616464656164u

static inline bool test_alloc_fails(test_alloc *a) {
    a->random = a->random * 1664525u + 1013904223u;
    if (a->fail_one_in && (a->random >> 8) % a->fail_one_in == 0)
        return true;
    size_t count = a->fail_count ? a->fail_count : 1;
    return a->fail_at && a->calls >= a->fail_at && a->calls - a->fail_at < count;
}

static inline void *test_alloc_get(void *context, size_t size) {
    test_alloc *a = context;
    a->calls++;
    if (test_alloc_fails(a)) {
        a->failures++;
        return NULL;
    }
    test_block *block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    *block = (test_block){.size = size, .magic = TEST_BLOCK_LIVE};
    a->live_blocks++;
    a->live_bytes += size;
    if (a->live_bytes > a->peak_bytes)
        a->peak_bytes = a->live_bytes;
    return memset(block + 1, 0xA5, size); /* fresh memory is not zero */
}

static inline void test_alloc_put(void *context, void *memory) {
    test_alloc *a = context;
    if (!memory)
        return;
    test_block *block = (test_block *)memory - 1;
    if (block->magic != TEST_BLOCK_LIVE) {
        fprintf(stderr, "free of %p, which is not a live block\n", memory);
        abort();
    }
    a->live_blocks--;
    a->live_bytes -= block->size;
    memset(memory, 0x5A, block->size);
    block->magic = TEST_BLOCK_DEAD;
    free(block);
}

static inline smux_allocator test_allocator(test_alloc *a) {
    return (smux_allocator){.alloc = test_alloc_get, .free = test_alloc_put, .context = a};
}

#endif
