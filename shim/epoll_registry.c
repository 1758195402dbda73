/* epoll_registry.c - see epoll_registry.h. */
#include "epoll_registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hint.h"
#include "real.h"

#define PER_FD       2
#define OVERFLOW_MAX 4096

/* `key` is epfd + 1, so that zero pages mean "free"; it is written last and cleared first. A
 * program that changes one registration from two threads at once may get either, as it would
 * from the kernel. */
struct entry {
    _Atomic uint32_t key;
    _Atomic uint32_t events;
    _Atomic uint64_t data;
};

struct overflow_entry {
    _Atomic int32_t fd; /* fd + 1; 0: free */
    struct entry entry;
};

typedef struct entry entry_row[PER_FD];

static entry_row registry[HINT_FDS_MAX];
static void *_Atomic far_registry[HINT_TABLES_MAX];
static struct overflow_entry overflow[OVERFLOW_MAX];
static atomic_int overflow_used; /* slots from here on have never been used */

/* The entries of a descriptor; NULL if it has none (yet). */
static struct entry *row_of(int fd, bool create) {
    if ((unsigned)fd < HINT_FDS_MAX)
        return registry[fd];
    entry_row *table = hint_far_table(far_registry, fd, sizeof *table, create);
    return table ? table[(unsigned)fd % HINT_FDS_MAX] : NULL;
}

static void entry_store(struct entry *entry, const struct epoll_event *event) {
    atomic_store_explicit(&entry->events, event->events, memory_order_relaxed);
    atomic_store_explicit(&entry->data, event->data.u64, memory_order_relaxed);
}

static struct entry *find(int fd, int epfd) {
    struct entry *row = row_of(fd, false);
    for (int i = 0; row && i < PER_FD; i++)
        if (atomic_load(&row[i].key) == (uint32_t)epfd + 1)
            return &row[i];
    for (int i = 0; i < atomic_load(&overflow_used); i++)
        if (atomic_load(&overflow[i].fd) == fd + 1 &&
            atomic_load(&overflow[i].entry.key) == (uint32_t)epfd + 1)
            return &overflow[i].entry;
    return NULL;
}

/* A free slot of the shared table; if there is none, the one that has waited longest for its
 * turn. Nothing tells when a descriptor is closed, so old entries are more likely stale than new
 * ones. */
static struct entry *claim_overflow(int fd) {
    static _Atomic unsigned turn;
    for (int i = 0; i < OVERFLOW_MAX; i++) {
        int32_t free_mark = 0;
        if (!atomic_compare_exchange_strong(&overflow[i].fd, &free_mark, fd + 1))
            continue;
        int used = atomic_load(&overflow_used);
        while (used <= i && !atomic_compare_exchange_weak(&overflow_used, &used, i + 1))
            ;
        return &overflow[i].entry;
    }
    struct overflow_entry *victim = &overflow[atomic_fetch_add(&turn, 1) % OVERFLOW_MAX];
    atomic_store(&victim->entry.key, 0);
    atomic_store(&victim->fd, fd + 1);
    return &victim->entry;
}

static void remember(int fd, int epfd, const struct epoll_event *event) {
    struct entry *entry = find(fd, epfd), *row = row_of(fd, true);
    for (int i = 0; row && i < PER_FD && !entry; i++) {
        uint32_t free_key = 0;
        /* Claimed under a key that is no epoll set, filled in, then shown. */
        if (atomic_compare_exchange_strong(&row[i].key, &free_key, UINT32_MAX))
            entry = &row[i];
    }
    if (!entry)
        entry = claim_overflow(fd);
    entry_store(entry, event);
    atomic_store(&entry->key, (uint32_t)epfd + 1);
    hint_add(fd, HINT_EPOLL);
}

static void forget(struct entry *entry) {
    atomic_store(&entry->key, 0);
    uintptr_t at = (uintptr_t)entry, base = (uintptr_t)overflow;
    if (at >= base && at < base + sizeof overflow)
        atomic_store(&overflow[(at - base) / sizeof *overflow].fd, 0);
}

void epoll_registry_note(int epfd, int op, int fd, const struct epoll_event *event) {
    if (fd < 0 || epfd < 0)
        return;
    if (op != EPOLL_CTL_DEL && event) {
        remember(fd, epfd, event);
    } else if (hint_has(fd, HINT_EPOLL)) {
        struct entry *entry = find(fd, epfd);
        if (entry)
            forget(entry);
    }
}

/* A consumed EPOLLONESHOT is still registered, but with no event asked for: the kernel tells in
 * /proc/self/fdinfo. Lines are "tfd:   5 events: 40000000 data: ...". */
static bool oneshot_consumed(int epfd, int fd) {
    char path[40], text[4096];
    size_t len = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epfd);
    int info = (int)real.syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return false;
    bool consumed = false;
    for (ssize_t n; (n = real.syscall(SYS_read, info, text + len, sizeof text - 1 - len)) > 0;) {
        len += (size_t)n;
        text[len] = '\0';
        char *line = text;
        for (char *end; (end = strchr(line, '\n')); line = end + 1) {
            int tfd;
            unsigned events;
            if (sscanf(line, "tfd: %d events: %x", &tfd, &events) == 2 && tfd == fd)
                consumed = (events & ~(EPOLLONESHOT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE)) == 0;
        }
        len = strlen(line);
        memmove(text, line, len);
    }
    raw_close(info);
    return consumed;
}

static void detach_one(int fd, struct entry *entry, struct epoll_moved *moved) {
    int epfd = (int)(atomic_load(&entry->key) - 1);
    struct epoll_event event = {.events = atomic_load(&entry->events),
                                .data.u64 = atomic_load(&entry->data)};
    if (event.events & EPOLLONESHOT && oneshot_consumed(epfd, fd))
        event.events &= EPOLLONESHOT | EPOLLET;
    if (raw_epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &event) != 0) {
        forget(entry); /* stale: closed since, or another socket */
        return;
    }
    moved->set[moved->n].epfd = epfd;
    moved->set[moved->n].event = event;
    moved->n++;
}

void epoll_registry_detach(int fd, struct epoll_moved *moved) {
    int saved = errno;
    moved->n = 0;
    if (!hint_has(fd, HINT_EPOLL))
        return;
    struct entry *row = row_of(fd, false);
    for (int i = 0; row && i < PER_FD; i++) {
        uint32_t key = atomic_load(&row[i].key);
        if (key != 0 && key != UINT32_MAX)
            detach_one(fd, &row[i], moved);
    }
    for (int i = 0; i < atomic_load(&overflow_used) && moved->n < EPOLL_SETS_MAX; i++)
        if (atomic_load(&overflow[i].fd) == fd + 1)
            detach_one(fd, &overflow[i].entry, moved);
    errno = saved;
}

void epoll_registry_attach(int fd, const struct epoll_moved *moved) {
    int saved = errno;
    for (int i = 0; i < moved->n; i++) {
        struct epoll_event event = moved->set[i].event;
        raw_epoll_ctl(moved->set[i].epfd, EPOLL_CTL_ADD, fd, &event);
    }
    errno = saved;
}
