/* SPDX-License-Identifier: MIT */
/*
 * rate.h - a token bucket that many share: how many bytes they move in a second, together.
 *
 * Each of its users asks before it moves bytes, and says how many it has moved. When there is
 * nothing left, it waits in a queue, and is called in its turn; whoever has waited gets a share of
 * what there is by then, so that those who move much do not keep it from those who move little. A
 * bucket has one timer, armed only while somebody waits. For one loop, in one thread.
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
    uint32_t per_second; /* bytes; 0: as many as you like */
    uint64_t credit;     /* millionths of a byte that may be moved now */
    uint64_t since_us;   /* when that was reckoned */
    struct rate_user *waiting, **waiting_end;
    struct rate_user *turn; /* who has been called, */
    size_t share;           /* and what is left for it */
    struct loop_timer timer;
};

/* Embedded in a structure of the user's, zeroed before the first use. */
struct rate_user {
    struct rate *rate;            /* NULL: no bounds */
    struct rate_user *next, **at; /* while it waits */
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

/* Sets how many bytes a second, 0 for no bounds. Those who wait are called soon. */
void rate_set(struct rate *rate, uint32_t per_second);

/* Makes it a user of `rate`, and no longer of the one before; NULL: of none. If it waited, `resume`
 * is called again in time: once the old bucket, or the new one, has something for it. */
void rate_join(struct rate_user *user, struct rate *rate, void (*resume)(struct rate_user *user));
/* The same with NULL, and it is not called again. Harmless in any state. */
void rate_leave(struct rate_user *user);

/* How many of `want` bytes it may move now. 0: it waits, and is called. */
size_t rate_room(struct rate_user *user, size_t want);
/* It has moved so many. */
void rate_spend(struct rate_user *user, size_t len);
/* It would move more if it could: it waits for its next turn, and is called. */
void rate_wait(struct rate_user *user);

#endif
