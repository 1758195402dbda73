/* SPDX-License-Identifier: MIT */
/*
 * rate.h - a token bucket that many users share: it limits how many bytes they move per second in
 * total.
 *
 * Each user asks before it moves bytes, and then reports how many it has moved. When nothing is
 * left, it waits in a queue and is called in its turn. A user that has waited gets a share of what
 * is available by then, so that those who move much do not starve those who move little. A bucket
 * has one timer, armed only while somebody waits. For one loop, in one thread.
 */
#ifndef HELPER_NET_RATE_H
#define HELPER_NET_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/net/loop.h"

struct rate_user;

struct rate {
    struct loop *loop;
    uint32_t per_second; /* bytes; 0: unlimited */
    uint64_t credit;     /* millionths of a byte that may be moved now */
    uint64_t since_us;   /* when that was computed */
    struct list waiting;
    struct rate_user *turn; /* who has been called, */
    size_t share;           /* and what is left for it */
    struct loop_timer timer;
};

/* Embedded in a structure of the user's, zeroed before the first use. */
struct rate_user {
    struct rate *rate;      /* NULL: unlimited */
    struct list_link waits; /* in rate.waiting */
    void (*resume)(struct rate_user *user);
};

/* What may be moved at once after a pause: an eighth of a second's worth, or so much if that is
 * more; never more than a second's worth. */
#define RATE_BURST_MIN 4096u
/* The least share of a user in its turn, if there is as much. */
#define RATE_SHARE_MIN 1024u
/* How long those who wait are let wait, so that a turn is worth while. */
#define RATE_TURN_US 10000u

void rate_init(struct rate *rate, struct loop *loop);
/* Nobody waits any more. */
void rate_fini(struct rate *rate);

/* Sets the limit in bytes per second; 0: unlimited. Waiting users are called soon. */
void rate_set(struct rate *rate, uint32_t per_second);

/* Makes it a user of `rate` instead of its previous bucket; NULL: of none. If it waited, `resume`
 * is called again in time: once the old bucket, or the new one, has something for it. */
void rate_join(struct rate_user *user, struct rate *rate, void (*resume)(struct rate_user *user));
/* Makes it a user of no bucket; it is not called again. Harmless in any state. */
void rate_leave(struct rate_user *user);

/* Returns how many of `want` bytes it may move now. 0: it waits, and `resume` is called in its
 * turn. */
size_t rate_room(struct rate_user *user, size_t want);
/* Reports that it has moved `len` bytes. */
void rate_spend(struct rate_user *user, size_t len);
/* It has more to move: it waits for its next turn, in which `resume` is called. */
void rate_wait(struct rate_user *user);

#endif
