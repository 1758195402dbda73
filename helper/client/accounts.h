/*
 * accounts.h - what each user has under way in a helper that he shares with others.
 *
 * The helper's own user and root have no account, and no limit.
 */
#ifndef HELPER_CLIENT_ACCOUNTS_H
#define HELPER_CLIENT_ACCOUNTS_H

#include <stdint.h>
#include <sys/types.h>

#define ACCOUNTS_BUCKETS 256

/* Requests of one user that have not been read to their end. The shim sends them in one piece. */
#define ACCOUNT_REQUESTS_MAX 256

struct account {
    struct account *next;
    uid_t uid;
    uint32_t users;    /* of this structure */
    uint32_t requests; /* not read to their end yet */
    uint32_t streams;  /* connections with a route */
};

struct accounts {
    struct account *bucket[ACCOUNTS_BUCKETS];
};

/* The user's account, to be given back with account_put. NULL if memory is short. */
struct account *account_get(struct accounts *accounts, uid_t uid);
/* NULL is fine. */
void account_put(struct accounts *accounts, struct account *account);

#endif
