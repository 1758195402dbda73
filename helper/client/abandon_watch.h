/* SPDX-License-Identifier: MIT */
/*
 * abandon_watch.h - connects under way, and whether their program still wants them.
 *
 * Until the outcome is known the helper holds a copy of the application's end, so the helper's end
 * cannot see that the application has closed its own. So a thread looks (holders.h) four times a
 * second, for no more of the time than LOOK_SHARE says, because users decide how much there is to
 * look at. The loop gives it a few connects at a time, each in its turn, and takes the answers.
 */
#ifndef HELPER_CLIENT_ABANDON_WATCH_H
#define HELPER_CLIENT_ABANDON_WATCH_H

#include "helper/client/conn.h"
#include "helper/net/loop.h"

struct look;
struct abandon_watches;

struct abandon_watch {
    struct abandon_watches *watches;
    struct conn *conn; /* NULL when not watched */
    struct abandon_watch *next, **at;
    uint64_t since_us;
    uint64_t inode;              /* of the application's end, 0: not asked yet */
    struct abandon_watch **slot; /* in the look under way */
    int app_fd;                  /* the helper's copy of the application's end */
    int holder_fd;               /* where it was last seen in conn->pid, or -1 */
    bool missed;                 /* the last look has not found it: another one decides */
};

/* All of a helper's. */
struct abandon_watches {
    struct loop *loop;
    struct abandon_watch *first, **end; /* whose turn it is comes first */
    struct loop_timer timer;
    uint64_t due_us;   /* when the thread may look again */
    struct look *look; /* NULL if memory or descriptors are short: nothing is looked for */
};

void abandon_watches_init(struct abandon_watches *watches, struct loop *loop);
/* Those that it has had are stopped. A look under way ends by itself. */
void abandon_watches_fini(struct abandon_watches *watches);

/* Watches from now on: if nobody but this process has the socket `app_fd` open, an AF_UNIX one, the
 * connection is ended (conn_end). `holder_fd`: the program's descriptor, -1 if unknown. The first
 * look is after a quarter of a second: quick connects are never looked at. */
void abandon_watch_start(struct abandon_watches *watches, struct abandon_watch *pending,
                         struct conn *conn, int app_fd, int holder_fd);

/* Stops watching. Harmless when it is not watched. */
void abandon_watch_stop(struct abandon_watch *pending);

#endif
