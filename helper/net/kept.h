/* SPDX-License-Identifier: MIT */
/*
 * kept.h - counts, over all sessions, the received bytes that are kept because their sockets accept
 * no more, and decides which sessions must stop reading.
 *
 * A session may keep as much as is left for the others, and always a small amount. So n sessions
 * that keep all they can have 1/(n+1) of the memory each, and as much is left for one more. The
 * carrier of a session that has more is not read until enough has been released; the others go on.
 */
#ifndef HELPER_NET_KEPT_H
#define HELPER_NET_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/net/loop.h"

/* What a session may always keep: the carrier of a session with less is always read. */
#define KEPT_LITTLE (64u * 1024u)

/* The process's account. */
struct kept {
    struct loop *loop;
    size_t max;            /* bytes that all may keep */
    size_t bytes;          /* that all keep: the memory pinned, not only the bytes in use */
    size_t orphaned;       /* of these, bytes whose session has ended */
    struct list waiting;   /* sessions that are not read for now */
    struct loop_task task; /* looks at them after a release */
};

/* A session's account. */
struct keeper {
    size_t bytes;
    struct list_link waits;                /* in kept.waiting */
    void (*resume)(struct keeper *keeper); /* it may read again */
};

/* Begins with nothing kept and no limit set. */
void kept_init(struct kept *kept, struct loop *loop);

/* Sets how many bytes all sessions together may keep. Waiting sessions that now have less than
 * their share go on. */
void kept_set_max(struct kept *kept, size_t max);

/* Adds bytes to a session's account, and takes them off it. `keeper` NULL: the session has ended
 * (kept_orphan). */
void kept_charge(struct kept *kept, struct keeper *keeper, size_t bytes);
void kept_release(struct kept *kept, struct keeper *keeper, size_t bytes);

/* Takes `bytes` off the account of a session that ends, while its readers have not read all yet.
 * False if too much is kept for such readers; then the bytes must be released with the session. */
bool kept_orphan(struct kept *kept, struct keeper *keeper, size_t bytes);

/* May the session read more from its carrier? */
bool kept_may_read(const struct kept *kept, const struct keeper *keeper);
/* Is memory so plentiful that the session may pin more than it has use for? */
bool kept_is_plentiful(const struct kept *kept, const struct keeper *keeper, size_t bytes);

/* The session may not read more: keeper->resume is called when it may. */
void kept_wait(struct kept *kept, struct keeper *keeper);
/* Cancels that: the session ends, or reads nevertheless. */
void kept_wait_no_more(struct keeper *keeper);

#endif
