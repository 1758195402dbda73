/* SPDX-License-Identifier: MIT */
/*
 * privileges.h - becoming an ordinary user for good.
 *
 * A daemon that is started as root opens its ports and files, and then gives up everything that
 * root has: groups, user, capabilities, and the way back.
 */
#ifndef HELPER_NET_PRIVILEGES_H
#define HELPER_NET_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PRIVILEGES_NAME_MAX 63

/* Whom to become. */
struct privileges {
    bool change; /* false: stay who one is */
    uid_t uid;
    gid_t gid;
    char user[PRIVILEGES_NAME_MAX + 1]; /* whose supplementary groups; empty: none */
};

/* Looks the names up (or takes them as numeric ids); empty: not given. Without `group` it is the
 * user's own. False, and one line in `why`, if there is none of that name, or if this process may
 * not become somebody else. Blocks as long as the user directory does. */
bool privileges_find(struct privileges *privileges, const char *user, const char *group, char *why,
                     size_t size);

/* Becomes that user and drops every capability, from the bounding set too; root without a user to
 * become stays uid 0 without capabilities. Afterwards it has tried to get back, and failed. Keeps
 * the signal for the parent's death (PR_SET_PDEATHSIG), which the kernel clears; `dumpable` is what
 * PR_SET_DUMPABLE shall be. Before there are other threads. 0, or a negative errno and in *why
 * (static) what failed: the process must then end. */
int privileges_drop(const struct privileges *privileges, bool dumpable, const char **why);

#endif
