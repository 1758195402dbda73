/* SPDX-License-Identifier: MIT */
/*
 * abandon_watch.h - finds connects in progress that their program has abandoned.
 *
 * Until the outcome is known, the helper holds a copy of the application's end of the connection,
 * so a close by the application causes no hang-up at the helper's end. Therefore a child searches
 * /proc (holders.h) four times a second. It uses at most one part in LOOK_SHARE of the time,
 * because users determine how much there is to search. The event loop gives it a few connects at a
 * time, in turn, and handles the results. It is a process and no thread, because the helper's
 * sandbox (sandbox.h) keeps the helper from looking into others.
 */
#ifndef HELPER_CLIENT_ABANDON_WATCH_H
#define HELPER_CLIENT_ABANDON_WATCH_H

#include "helper/client/conn.h"
#include "helper/net/loop.h"

struct look;
struct abandon_watches;

struct abandon_watch {
    struct abandon_watches *watches;
    struct conn *conn;     /* NULL when not watched */
    struct list_link link; /* in watches->all */
    uint64_t since_us;
    uint64_t inode;              /* of the application's end; 0: not yet known */
    struct abandon_watch **slot; /* in the current search */
    int app_fd;                  /* the helper's copy of the application's end */
    int holder_fd;               /* where it was last seen in conn->pid, or -1 */
    bool missed;                 /* the last search has not found it; a second one decides */
};

/* All watches of a helper. */
struct abandon_watches {
    struct loop *loop;
    struct list all; /* in the order of their turns */
    struct loop_timer timer;
    uint64_t due_us;   /* when the next search may begin */
    struct look *look; /* NULL for want of memory: nothing is searched */
};

void abandon_watches_init(struct abandon_watches *watches, struct loop *loop);
/* Starts the child, before the helper enters its sandbox and has threads. Without this call it is
 * started when first needed. `mode`: the child's own sandbox. */
void abandon_watches_prepare(struct abandon_watches *watches, enum config_sandbox mode);
/* All watches must have been stopped. A search in progress ends by itself. */
void abandon_watches_fini(struct abandon_watches *watches);

/* Starts to watch: if no other process has the AF_UNIX socket `app_fd` open, the connection is
 * ended (conn_end). `holder_fd`: the program's descriptor, -1 if unknown. The first search comes
 * after a quarter of a second, so quick connects are never searched for. */
void abandon_watch_start(struct abandon_watches *watches, struct abandon_watch *pending,
                         struct conn *conn, int app_fd, int holder_fd);

/* Stops watching. Harmless if not watched. */
void abandon_watch_stop(struct abandon_watch *pending);

#endif
