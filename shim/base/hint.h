/* SPDX-License-Identifier: MIT */
/*
 * hint.h - what this process remembers about its descriptors, if it does.
 *
 * A word per descriptor number, in zero pages that are never touched unless used. The word may be
 * stale (close is not hooked, nor does everything that gives a number away pass the hooks of
 * socket.h), absent (another process made the connection) or copied by fork. So no decision may
 * depend on it: it only says where asking the kernel is worth a system call. Lock-free; safe in
 * signal handlers.
 */
#ifndef SHIM_BASE_HINT_H
#define SHIM_BASE_HINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef HINT_FDS_MAX       /* tests build a library with few */
#define HINT_FDS_MAX 65536 /* in place; as many of those above share a table, mapped if needed */
#endif
#define HINT_TABLES_MAX 256 /* 16 million descriptors; those above are treated as never seen */

enum {
    HINT_OURS = 1u << 31,    /* this process put a connection of ours there */
    HINT_PENDING = 1u << 30, /* connect() has not yet told the application the outcome */
    HINT_EPOLL = 1u << 29,   /* some epoll registration is remembered */
    HINT_OWNER = 1u << 28,   /* F_SETOWN or F_SETSIG was called */
    HINT_LOWAT = 1u << 27,   /* SO_RCVLOWAT was set */
    HINT_SHUT = 1u << 26,    /* its writing side was shut down */
    HINT_TCP = 1u << 25,     /* a TCP socket, whose epoll registrations are all remembered */
    HINT_SET = 1u << 24,     /* the number has been that of an epoll set */
    HINT_GIVEN_UP =
        1u << 23, /* a thread has ended the connection: a TCP socket is or will be in its place */
    HINT_OPTIONS = 0x007fffff, /* one bit for each row of the options carried over a swap */

    HINT_LASTING = HINT_EPOLL | HINT_OWNER | HINT_LOWAT | HINT_TCP | HINT_SET, /* over a swap */
    HINT_NUMBER = HINT_EPOLL | HINT_SET, /* belongs to the number, not to a copy */
};

extern _Atomic uint32_t shim_hints[HINT_FDS_MAX];

/* The table of `fd`, at least HINT_FDS_MAX, out of HINT_TABLES_MAX: HINT_FDS_MAX rows of `row_size`
 * bytes, zero at first, and never unmapped. NULL if there is none or, with `create`, if none can be
 * made. Preserves errno; lock-free. */
void *hint_far_table(void *_Atomic *tables, int fd, size_t row_size, bool create);

/* The word of a descriptor; NULL if it has none yet. */
_Atomic uint32_t *hint_far_word(int fd, bool create);

static inline _Atomic uint32_t *hint_word(int fd, bool create) {
    return (unsigned)fd < HINT_FDS_MAX ? &shim_hints[fd] : hint_far_word(fd, create);
}

/* Has this process, or one that it was forked from, ever made a connection of ours? If not, it can
 * only have received some by exec or SCM_RIGHTS, and those are recognized by their names. */
extern atomic_bool shim_any_ours;

static inline uint32_t hint_get(int fd) {
    _Atomic uint32_t *word = hint_word(fd, false);
    return word ? atomic_load_explicit(word, memory_order_relaxed) : 0;
}

static inline bool hint_has(int fd, uint32_t bits) {
    return (hint_get(fd) & bits) != 0;
}

static inline void hint_add(int fd, uint32_t bits) {
    _Atomic uint32_t *word = hint_word(fd, true);
    if (word)
        atomic_fetch_or_explicit(word, bits, memory_order_relaxed);
}

static inline void hint_remove(int fd, uint32_t bits) {
    _Atomic uint32_t *word = hint_word(fd, false);
    if (word && atomic_load_explicit(word, memory_order_relaxed) & bits)
        atomic_fetch_and_explicit(word, ~bits, memory_order_relaxed);
}

/* The descriptor has turned out to be ours, whoever made it. */
static inline void hint_ours(int fd) {
    if ((unsigned)fd < HINT_FDS_MAX && !hint_has(fd, HINT_OURS)) {
        atomic_store_explicit(&shim_any_ours, true, memory_order_relaxed);
        hint_remove(fd, HINT_GIVEN_UP);
        hint_add(fd, HINT_OURS);
    }
}

/* Keeps only the bits in `keep` and adds `add`, in one step: what another thread adds meanwhile is
 * not lost. */
static inline void hint_change(int fd, uint32_t keep, uint32_t add) {
    _Atomic uint32_t *word = hint_word(fd, add != 0);
    if (add & HINT_OURS)
        atomic_store_explicit(&shim_any_ours, true, memory_order_relaxed);
    if (!word)
        return;
    uint32_t known = atomic_load_explicit(word, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(word, &known, (known & keep) | add,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

#endif
