/* SPDX-License-Identifier: MIT */
/*
 * kept.h - accounts for the bytes that have arrived and are kept, over all sessions, because their
 * sockets take no more; and tells which sessions must stop reading for that.
 *
 * A session may keep as much as is left for the others, and a little in any case. So n sessions
 * that keep all they can have 1/(n+1) of the memory each, and as much is left for one more. One
 * that has more is not read from its carrier until enough has been released; the others go on.
 */
#ifndef HELPER_NET_KEPT_H
#define HELPER_NET_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/net/loop.h"

/* What a session may keep in any case: one with less is always read. */
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

/* Sets how much all may keep. Sessions that wait and now have less than their share go on. */
void kept_set_max(struct kept *kept, size_t max);

/* `keeper` NULL: its session has ended (kept_orphan). */
void kept_charge(struct kept *kept, struct keeper *keeper, size_t bytes);
void kept_release(struct kept *kept, struct keeper *keeper, size_t bytes);

/* Takes `bytes` off the account of a session that ends, for readers that have not read all yet.
 * False if too much is kept for such readers: the bytes must be released with their session. */
bool kept_orphan(struct kept *kept, struct keeper *keeper, size_t bytes);

/* May the session read more from its carrier? */
bool kept_may_read(const struct kept *kept, const struct keeper *keeper);
/* Is memory so plentiful that the session may pin more than it has use for? */
bool kept_is_plentiful(const struct kept *kept, const struct keeper *keeper, size_t bytes);

/* It may not: waits, and keeper->resume is called when it may. */
void kept_wait(struct kept *kept, struct keeper *keeper);
/* The session ends, or reads nevertheless. */
void kept_wait_no_more(struct keeper *keeper);

#endif
