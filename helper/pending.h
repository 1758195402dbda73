/*
 * pending.h - connects under way, and whether their program still wants them.
 *
 * Until the outcome is known the helper holds a copy of the application's socket A, which keeps B from
 * seeing that the application has closed its own. So it looks (holders.h).
 */
#ifndef HELPER_PENDING_H
#define HELPER_PENDING_H

#include "helper/conn.h"

struct pending {
    struct conn *conn; /* NULL when not watched */
    struct pending *next, **at;
    struct loop_timer timer;
    uint64_t inode; /* of A, 0: not asked yet */
    int app_fd;     /* the helper's copy of A */
    int holder_fd;  /* where it was last seen in conn->pid, or -1 */
    bool suspect;   /* the program seems to have closed it */
};

/* Watches from now on: four times a second is looked whether anybody but this process has the socket
 * `app_fd` open; if not, the connection is ended (conn_end). `holder_fd`: the program's descriptor, -1
 * if unknown. The first look is after a quarter of a second: quick connects are never looked at. */
void pending_start(struct pending *pending, struct conn *conn, int app_fd, int holder_fd);

/* Stops watching. Harmless when it is not watched. */
void pending_stop(struct pending *pending);

#endif
