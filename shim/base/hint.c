/* SPDX-License-Identifier: MIT */
/* hint.c - see hint.h: the words themselves, and tables for descriptors with large numbers. */
#include "shim/base/hint.h"

#include <errno.h>
#include <sys/mman.h>

_Atomic uint32_t shim_hints[HINT_FDS_MAX];
atomic_bool shim_any_ours;

static void *_Atomic far_hints[HINT_TABLES_MAX];

void *hint_far_table(void *_Atomic *tables, int fd, size_t row_size, bool create) {
    unsigned number = (unsigned)fd / HINT_FDS_MAX;
    if (fd < 0 || number >= HINT_TABLES_MAX)
        return NULL;
    void *known = atomic_load(&tables[number]);
    if (known || !create)
        return known;
    int saved = errno;
    size_t size = row_size * HINT_FDS_MAX;
    void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED)
        fresh = NULL;
    else if (!atomic_compare_exchange_strong(&tables[number], &known, fresh)) {
        munmap(fresh, size);
        fresh = known;
    }
    errno = saved;
    return fresh;
}

_Atomic uint32_t *hint_far_word(int fd, bool create) {
    _Atomic uint32_t *table = hint_far_table(far_hints, fd, sizeof *table, create);
    return table ? &table[(unsigned)fd % HINT_FDS_MAX] : NULL;
}
