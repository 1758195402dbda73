/* SPDX-License-Identifier: MIT */
/*
 * accounts.h - what each user has under way in a helper that he shares with others.
 *
 * The helper's own user and root have no account and no limit, and share the helper's own sessions.
 * Every other user has sessions of his own. Whatever the peer knows of windows, one carrier's bytes
 * can be kept apart from another's: the budget that slow readers use up, the stream that is reset
 * when it is full, the pause of a session that keeps more than its share (kept.h), the buffers on
 * loan and the share of each turn are then one user's alone.
 *
 * At most accounts.owners_max users have such. The others share one more set of sessions, until a
 * user without connections can be found who gives up his.
 */
#ifndef HELPER_CLIENT_ACCOUNTS_H
#define HELPER_CLIENT_ACCOUNTS_H

#include <stdint.h>
#include <sys/types.h>

#include "helper/client/upstreams.h"
#include "helper/net/loop.h"

#define ACCOUNTS_BUCKETS 256

/* Requests of one user that have not been read to their end. The shim sends them in one piece. */
#define ACCOUNT_REQUESTS_MAX 256

/* How long the sessions of a user stay who has no connection. */
#define ACCOUNT_IDLE_US 60000000u

struct account {
    struct account *next;
    uid_t uid;
    uint32_t users;                         /* of this structure; 0: it lives for its sessions */
    uint32_t requests;                      /* not read to their end yet */
    uint32_t streams;                       /* connections with a route */
    struct upstreams *own;                  /* NULL: he has no sessions of his own */
    uint64_t idle_us;                       /* since when there are no users, if so */
    struct account *owner_next, **owner_at; /* in accounts.owners, with `own` */
};

struct accounts {
    struct loop *loop;
    struct account *bucket[ACCOUNTS_BUCKETS];
    struct account *owners; /* those with sessions of their own */
    uint32_t owner_count, owners_max;
    struct upstreams others;
    struct loop_timer timer; /* looks for owners who have been idle */
};

void accounts_init(struct accounts *accounts, struct loop *loop);
/* Nobody uses an account any more: ends all sessions. */
void accounts_fini(struct accounts *accounts);

/* The user's account, to be given back with account_put. NULL if memory is short. */
struct account *account_get(struct accounts *accounts, uid_t uid);
/* NULL is fine. */
void account_put(struct accounts *accounts, struct account *account);

/* Where a new stream of the user goes. */
struct upstreams *account_upstreams(struct accounts *accounts, struct account *account);

#endif
