/* accounts.c - see accounts.h. */
#include "helper/client/accounts.h"

#include <stdlib.h>

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

void account_put(struct accounts *accounts, struct account *account) {
    if (!account || --account->users > 0)
        return;
    struct account **at = place_of(accounts, account->uid);
    *at = account->next;
    free(account);
}
