/* SPDX-License-Identifier: MIT */
/*
 * accounts.h - what each user of a shared helper is using.
 *
 * The helper's own user and root have no account and no limit, and share the helper's own sessions.
 * Every other user has separate sessions. Even if the peer's smux version has no windows, data of
 * different carriers is accounted for separately: the budget that slow readers use up, the stream
 * that is reset when it is full, the pause of a session that keeps more than its share (kept.h),
 * the borrowed buffers and the share of each turn then concern one user only.
 *
 * At most accounts.owners_max users have separate sessions. Further users share one more set, until
 * a user without connections can be found whose sessions are released.
 */
#ifndef HELPER_CLIENT_ACCOUNTS_H
#define HELPER_CLIENT_ACCOUNTS_H

#include <stdint.h>
#include <sys/types.h>

#include "helper/client/upstreams.h"
#include "helper/net/loop.h"

#define ACCOUNTS_BUCKETS 256

/* The limit on requests of one user that have not been read completely. (The shim sends them in one
 * piece.) */
#define ACCOUNT_REQUESTS_MAX 256

/* How long the sessions of a user without connections are kept. */
#define ACCOUNT_IDLE_US 60000000u

struct account {
    struct account *next;
    uid_t uid;
    uint32_t users;         /* of this structure; 0: kept for its sessions only */
    uint32_t requests;      /* not yet read completely */
    uint32_t streams;       /* connections with a route */
    struct upstreams *own;  /* NULL: the user has no separate sessions */
    uint64_t idle_us;       /* since when `users` is 0, if it is */
    struct list_link owner; /* in accounts.owners, with `own` */
};

static inline struct account *account_of_owner(struct list_link *owner) {
    return container_of(owner, struct account, owner);
}

struct accounts {
    struct loop *loop;
    struct account *bucket[ACCOUNTS_BUCKETS];
    struct list owners; /* accounts with separate sessions */
    uint32_t owner_count, owners_max;
    struct upstreams others;
    struct loop_timer timer; /* finds owners that have been idle */
};

void accounts_init(struct accounts *accounts, struct loop *loop);
/* Ends all sessions. No account may be in use. */
void accounts_fini(struct accounts *accounts);

/* The user's account, to be released with account_put. NULL if memory is short. */
struct account *account_get(struct accounts *accounts, uid_t uid);
/* Releases an account. NULL is fine. */
void account_put(struct accounts *accounts, struct account *account);

/* The upstreams for a new stream of the user. */
struct upstreams *account_upstreams(struct accounts *accounts, struct account *account);

#endif
