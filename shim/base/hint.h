/* SPDX-License-Identifier: MIT */
/*
 * hint.h - what this process remembers about its descriptors; may be missing or out of date.
 *
 * There is one word for each descriptor number, in zero pages that are not touched unless used. A
 * word may be stale (close is not hooked, and a number can be reused without passing the hooks of
 * socket.h), missing (another process made the connection), or copied by fork. So no decision may
 * depend on it: it only says where asking the kernel is worth a system call. Lock-free; safe in
 * signal handlers.
 */
#ifndef SHIM_BASE_HINT_H
#define SHIM_BASE_HINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef HINT_FDS_MAX       /* tests build a library with a small table */
#define HINT_FDS_MAX 65536 /* words in static memory, and in each table for higher numbers */
#endif
#define HINT_TABLES_MAX 256 /* 16 million descriptors; nothing is remembered of higher numbers */

enum {
    HINT_OURS = 1u << 31,      /* a connection of ours was at this number */
    HINT_PENDING = 1u << 30,   /* connect() has not yet told the application the outcome */
    HINT_EPOLL = 1u << 29,     /* an epoll registration is remembered */
    HINT_OWNER = 1u << 28,     /* F_SETOWN or F_SETSIG was called */
    HINT_LOWAT = 1u << 27,     /* SO_RCVLOWAT was set */
    HINT_SHUT = 1u << 26,      /* it was shut down for writing */
    HINT_TCP = 1u << 25,       /* a TCP socket, all of whose epoll registrations are remembered */
    HINT_SET = 1u << 24,       /* this number has been an epoll set */
    HINT_GIVEN_UP = 1u << 23,  /* a thread disconnected it: a TCP socket takes its place */
    HINT_OPTIONS = 0x007fffff, /* options to carry over a swap, by rows of options.def */

    HINT_LASTING = HINT_EPOLL | HINT_OWNER | HINT_LOWAT | HINT_TCP | HINT_SET, /* over a swap */
    HINT_NUMBER = HINT_EPOLL | HINT_SET, /* not inherited by a copy of the descriptor */
};

extern _Atomic uint32_t shim_hints[HINT_FDS_MAX];

/* Returns the table for `fd`, which must be at least HINT_FDS_MAX, out of the HINT_TABLES_MAX
 * entries of `tables`. A table has HINT_FDS_MAX rows of `row_size` bytes; it starts as zeros and is
 * never unmapped. NULL if the table does not exist or, with `create`, cannot be made. Preserves
 * errno; lock-free. */
void *hint_far_table(void *_Atomic *tables, int fd, size_t row_size, bool create);

/* The same for the word of one descriptor. */
_Atomic uint32_t *hint_far_word(int fd, bool create);

static inline _Atomic uint32_t *hint_word(int fd, bool create) {
    return (unsigned)fd < HINT_FDS_MAX ? &shim_hints[fd] : hint_far_word(fd, create);
}

/* Has this process, or one that it was forked from, ever seen a connection of ours? If not, it can
 * only have received one by exec or SCM_RIGHTS; such a one is recognized by the names of its
 * socket. */
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

/* The descriptor has turned out to be ours, whichever process connected it. */
static inline void hint_ours(int fd) {
    if ((unsigned)fd < HINT_FDS_MAX && !hint_has(fd, HINT_OURS)) {
        atomic_store_explicit(&shim_any_ours, true, memory_order_relaxed);
        hint_remove(fd, HINT_GIVEN_UP);
        hint_add(fd, HINT_OURS);
    }
}

/* Keeps only the bits in `keep` and adds `add`, atomically, so that a bit which another thread adds
 * at the same time is not lost. */
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
