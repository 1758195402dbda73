/* SPDX-License-Identifier: MIT */
/* accounts.c - see accounts.h. */
#include "helper/client/accounts.h"

#include <stdlib.h>
#include <string.h>

void accounts_init(struct accounts *accounts, struct loop *loop) {
    memset(accounts, 0, sizeof *accounts);
    accounts->loop = loop;
    accounts->owners_max = 1;
    list_init(&accounts->owners);
}

/* ---- Accounts ---- */

static struct account **place_of(struct accounts *accounts, uid_t uid) {
    struct account **at = &accounts->bucket[uid % ACCOUNTS_BUCKETS];
    while (*at && (*at)->uid != uid)
        at = &(*at)->next;
    return at;
}

struct account *account_get(struct accounts *accounts, uid_t uid) {
    struct account **at = place_of(accounts, uid);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (!*at)
            return NULL;
        (*at)->uid = uid;
    }
    (*at)->users++;
    return *at;
}

static void forget(struct accounts *accounts, struct account *account) {
    struct account **at = place_of(accounts, account->uid);
    *at = account->next;
    free(account);
}

static void look_for_idle(struct loop_timer *timer);

void account_put(struct accounts *accounts, struct account *account) {
    if (!account || --account->users > 0)
        return;
    if (!account->own) {
        forget(accounts, account);
        return;
    }
    account->idle_us = loop_now_us(accounts->loop);
    if (!accounts->timer.armed)
        loop_timer_set(accounts->loop, &accounts->timer, account->idle_us + ACCOUNT_IDLE_US,
                       look_for_idle);
}

/* ---- Separate sessions ---- */

static struct account *longest_idle(const struct accounts *accounts) {
    struct account *longest = NULL;
    list_for_each(owner, &accounts->owners) {
        struct account *each = account_of_owner(owner);
        if (each->users == 0 && (!longest || each->idle_us < longest->idle_us))
            longest = each;
    }
    return longest;
}

/* Releases the sessions of an idle account. */
static void disown(struct accounts *accounts, struct account *account,
                   void (*end)(struct upstreams *upstreams)) {
    end(account->own);
    free(account->own);
    list_remove(&account->owner);
    accounts->owner_count--;
    forget(accounts, account);
}

static void look_for_idle(struct loop_timer *timer) {
    struct accounts *accounts = container_of(timer, struct accounts, timer);
    uint64_t now_us = loop_now_us(accounts->loop);
    struct account *account;
    while ((account = longest_idle(accounts)) && account->idle_us + ACCOUNT_IDLE_US <= now_us)
        disown(accounts, account, upstreams_retire);
    if (account)
        loop_timer_set(accounts->loop, timer, account->idle_us + ACCOUNT_IDLE_US, look_for_idle);
}

static bool make_place(struct accounts *accounts) {
    struct account *idle;
    while (accounts->owner_count >= accounts->owners_max && (idle = longest_idle(accounts)))
        disown(accounts, idle, upstreams_retire);
    return accounts->owner_count < accounts->owners_max;
}

struct upstreams *account_upstreams(struct accounts *accounts, struct account *account) {
    if (account->own)
        return account->own;
    if (make_place(accounts))
        account->own = calloc(1, sizeof *account->own);
    if (!account->own)
        return &accounts->others;
    accounts->owner_count++;
    list_prepend(&accounts->owners, &account->owner);
    return account->own;
}

void accounts_fini(struct accounts *accounts) {
    if (!accounts->loop)
        return; /* accounts_init was never called */
    list_for_each(owner, &accounts->owners)
        disown(accounts, account_of_owner(owner), upstreams_free);
    upstreams_free(&accounts->others);
    loop_timer_clear(accounts->loop, &accounts->timer);
}
