/* SPDX-License-Identifier: MIT */
/* epoll_registry.c - see epoll_registry.h. */
#include "shim/socket/epoll_registry.h"

#include <errno.h>
#include <stdatomic.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"

#define PER_FD_MAX 16 /* nodes of one descriptor; the swap asks the kernel about more */
#define NODES_MAX  ((uint32_t)HINT_FDS_MAX * HINT_TABLES_MAX)
#define CLAIMED    UINT32_MAX /* not the key of an epoll set: the node is being filled in */

/* One remembered registration. `key` is epfd + 1, so that a zero page holds free nodes; it is
 * written last and cleared first. If two threads change one registration at once, either change may
 * win, as in the kernel. */
struct node {
    _Atomic uint64_t data;
    _Atomic uint32_t events;
    _Atomic uint32_t key;
    uint32_t next; /* number of another node of this descriptor, or 0; never changes */
};

static struct node nodes[HINT_FDS_MAX]; /* number 0 means none */
static void *_Atomic far_nodes[HINT_TABLES_MAX];
static _Atomic uint32_t n_nodes; /* numbers in use so far */

static _Atomic uint32_t rows[HINT_FDS_MAX]; /* for each descriptor, the number of its first node */
static void *_Atomic far_rows[HINT_TABLES_MAX];

static inline struct node *node_at(uint32_t number, bool create) {
    if (number < HINT_FDS_MAX)
        return &nodes[number];
    struct node *table = hint_far_table(far_nodes, (int)number, sizeof *table, create);
    return table ? &table[number % HINT_FDS_MAX] : NULL;
}

static inline _Atomic uint32_t *row_of(int fd, bool create) {
    if ((unsigned)fd < HINT_FDS_MAX)
        return &rows[fd];
    _Atomic uint32_t *table = hint_far_table(far_rows, fd, sizeof *table, create);
    return table ? &table[(unsigned)fd % HINT_FDS_MAX] : NULL;
}

static struct node *first_node(int fd) {
    _Atomic uint32_t *row = row_of(fd, false);
    uint32_t number = row ? atomic_load(row) : 0;
    return number ? node_at(number, false) : NULL;
}

static struct node *next_node(const struct node *node) {
    return node->next ? node_at(node->next, false) : NULL;
}

static struct node *find(int fd, int epfd) {
    if (!hint_has(fd, HINT_EPOLL))
        return NULL;
    for (struct node *node = first_node(fd); node; node = next_node(node))
        if (atomic_load(&node->key) == (uint32_t)epfd + 1)
            return node;
    return NULL;
}

/* Claims a node that was never used and puts it at the head of the descriptor's list. */
static struct node *add_node(int fd) {
    _Atomic uint32_t *row = row_of(fd, true);
    uint32_t number = atomic_load(&n_nodes);
    do {
        if (!row || number + 1 >= NODES_MAX)
            return NULL;
    } while (!atomic_compare_exchange_weak(&n_nodes, &number, number + 1));
    struct node *node = node_at(++number, true);
    if (!node)
        return NULL;
    atomic_store(&node->key, CLAIMED);
    uint32_t first = atomic_load(row);
    do
        node->next = first;
    while (!atomic_compare_exchange_weak(row, &first, number));
    return node;
}

static struct node *claim(int fd) {
    int n = 0;
    for (struct node *node = first_node(fd); node; node = next_node(node), n++) {
        uint32_t free_key = 0;
        if (atomic_compare_exchange_strong(&node->key, &free_key, CLAIMED))
            return node;
    }
    return n < PER_FD_MAX ? add_node(fd) : NULL;
}

static void forget(struct node *node) {
    atomic_store_explicit(&node->key, 0, memory_order_release);
}

/* `node` is the node of (fd, epfd), or NULL if there is none yet. */
static void remember(struct node *node, int fd, int epfd, const struct epoll_event *event) {
    if (!node && !(node = claim(fd))) {
        hint_remove(fd, HINT_TCP);
        return;
    }
    atomic_store_explicit(&node->events, event->events, memory_order_relaxed);
    atomic_store_explicit(&node->data, event->data.u64, memory_order_relaxed);
    atomic_store_explicit(&node->key, (uint32_t)epfd + 1, memory_order_release);
    if (!hint_has(fd, HINT_EPOLL))
        hint_add(fd, HINT_EPOLL);
}

/* A child of vfork shares its parent's memory but not its descriptors, which is why dup.c clears
 * nothing. Here clearing is safe, because such a child redirects descriptors but opens no
 * sockets. */
void epoll_registry_opened(int fd, bool tcp) {
    if (hint_has(fd, HINT_EPOLL))
        for (struct node *node = first_node(fd); node; node = next_node(node))
            forget(node);
    hint_change(fd, HINT_SET, tcp ? HINT_TCP : 0);
}

void epoll_registry_note(int epfd, int op, int fd, const struct epoll_event *event) {
    if (fd < 0 || epfd < 0)
        return;
    epoll_sets_note(epfd);
    if (!hint_has(fd, HINT_TCP))
        return;
    struct node *node = find(fd, epfd);
    if (op == EPOLL_CTL_DEL) {
        if (node)
            forget(node);
    } else if (event) {
        /* An ADD of a remembered registration, or a MOD of one that is not: this number was another
         * set before, or the registration was made through another number of the same set. */
        if (epoll_sets_have_copies() && (node != NULL) == (op == EPOLL_CTL_ADD))
            hint_remove(fd, HINT_TCP);
        remember(node, fd, epfd, event);
    }
}

static bool is_moved(const struct epoll_moved *moved, int epfd) {
    for (int i = 0; i < moved->n; i++)
        if (moved->set[i].epfd == epfd)
            return true;
    return false;
}

/* Sets *gone if `fd` was not registered in the remembered set. */
static void detach_one(int fd, struct node *node, struct epoll_moved *moved, bool *gone) {
    int epfd = (int)(atomic_load(&node->key) - 1);
    struct epoll_event event = {.events = atomic_load(&node->events),
                                .data.u64 = atomic_load(&node->data)};
    /* After its event, an EPOLLONESHOT registration still exists but is disarmed. If no descriptor
     * is left to look in /proc, it is taken to be armed: a spurious event is better than no
     * connection. */
    if (event.events & EPOLLONESHOT)
        epoll_sets_read(epfd, fd, &event);
    if (!epoll_sets_move(epfd, fd, event, moved)) {
        forget(node); /* the set was closed, or has another number now */
        *gone = true;
    }
}

static void detach_remembered(int fd, struct epoll_moved *moved, bool *gone) {
    for (struct node *node = first_node(fd); node; node = next_node(node)) {
        uint32_t key = atomic_load(&node->key);
        if (key != 0 && key != CLAIMED && moved->n < EPOLL_SETS_MAX &&
            !is_moved(moved, (int)(key - 1)))
            detach_one(fd, node, moved, gone);
    }
}

int epoll_registry_detach(int fd, struct epoll_moved *moved) {
    int saved = errno, err = 0;
    uint32_t hint = hint_get(fd);
    bool seek = !(hint & HINT_TCP) || epoll_sets_have_ring(), gone = false;
    moved->n = 0;
    if (seek)
        err = epoll_sets_take(fd, !(hint & HINT_TCP), moved);
    if (err == 0 && hint & HINT_EPOLL)
        detach_remembered(fd, moved, &gone);
    if (err == 0 && gone && !seek && epoll_sets_have_copies())
        err = epoll_sets_take(fd, false, moved);
    if (err == 0 && seek)
        hint_add(fd, HINT_TCP); /* from now on all registrations are remembered */
    errno = saved;
    return err;
}

void epoll_registry_attach(int fd, const struct epoll_moved *moved) {
    int saved = errno;
    for (int i = 0; i < moved->n; i++) {
        int epfd = moved->set[i].epfd;
        struct epoll_event event = moved->set[i].event;
        if (raw_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0)
            remember(find(fd, epfd), fd, epfd, &event);
    }
    errno = saved;
}
