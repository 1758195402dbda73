/* SPDX-License-Identifier: MIT */
/* privileges.c - see privileges.h. */
#include "helper/net/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Whom to become ---- */

static bool parse_id(const char *text, unsigned *id) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *id = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value < UINT32_MAX;
}

static bool find_user(struct privileges *privileges, const char *user, bool have_group, char *why,
                      size_t size) {
    unsigned id;
    const struct passwd *entry = getpwnam(user);
    if (!entry && parse_id(user, &id)) {
        entry = getpwuid(id);
        privileges->uid = id;
        if (!entry && !have_group) {
            snprintf(why, size, "user: uid %u has no entry in the user directory, expected a group",
                     id);
            return false;
        }
    } else if (!entry) {
        snprintf(why, size, "user: expected the name or id of a user, not \"%.63s\"", user);
        return false;
    }
    if (entry) {
        privileges->uid = entry->pw_uid;
        privileges->gid = entry->pw_gid;
        snprintf(privileges->user, sizeof privileges->user, "%s", entry->pw_name);
    }
    return true;
}

static bool find_group(struct privileges *privileges, const char *group, char *why, size_t size) {
    unsigned id;
    const struct group *entry = getgrnam(group);
    if (entry)
        privileges->gid = entry->gr_gid;
    else if (parse_id(group, &id))
        privileges->gid = id;
    else
        snprintf(why, size, "group: expected the name or id of a group, not \"%.63s\"", group);
    return entry || parse_id(group, &id);
}

bool privileges_find(struct privileges *privileges, const char *user, const char *group, char *why,
                     size_t size) {
    *privileges = (struct privileges){.uid = geteuid(), .gid = getegid()};
    if (!user[0] && !group[0])
        return true;
    if (user[0] && !find_user(privileges, user, group[0] != '\0', why, size))
        return false;
    if (group[0] && !find_group(privileges, group, why, size))
        return false;
    privileges->change = geteuid() == 0;
    if (privileges->change || (privileges->uid == geteuid() && privileges->gid == getegid()))
        return true;
    snprintf(why, size, "user: uid %u cannot become uid %u, gid %u: expected to be started by root",
             (unsigned)geteuid(), (unsigned)privileges->uid, (unsigned)privileges->gid);
    return false;
}

/* ---- Becoming it ---- */

/* What a later execve could give back. Ends at the first that this kernel does not know. */
static void drop_bounding_set(void) {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long capability = 0; capability < 64; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return;
}

static int change_ids(const struct privileges *privileges, const char **why) {
    *why = "cannot set the groups";
    if (privileges->user[0] ? initgroups(privileges->user, privileges->gid) < 0
                            : setgroups(1, &privileges->gid) < 0)
        return -errno;
    *why = "cannot set the group";
    if (setresgid(privileges->gid, privileges->gid, privileges->gid) < 0)
        return -errno;
    *why = "cannot set the user";
    return setresuid(privileges->uid, privileges->uid, privileges->uid) < 0 ? -errno : 0;
}

static int drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static bool has_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) < 0)
        return true;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        if (data[i].effective | data[i].permitted | data[i].inheritable)
            return true;
    return false;
}

/* Is there a way back? */
static bool is_irreversible(const struct privileges *privileges) {
    uid_t uid[3];
    gid_t gid[3];
    if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (privileges->change && (uid[i] != privileges->uid || gid[i] != privileges->gid))
            return false;
    if (privileges->change && privileges->uid != 0 &&
        (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setuid(0) == 0))
        return false;
    if (privileges->change && privileges->gid != 0 && setresgid((gid_t)-1, 0, (gid_t)-1) == 0)
        return false;
    return !has_capabilities();
}

int privileges_drop(const struct privileges *privileges, bool dumpable, const char **why) {
    int death_signal = 0;
    pid_t parent = getppid();
    prctl(PR_GET_PDEATHSIG, &death_signal);
    drop_bounding_set();
    int error = privileges->change ? change_ids(privileges, why) : 0;
    if (error)
        return error;
    *why = "cannot drop the capabilities";
    error = drop_capabilities();
    if (error)
        return error;
    *why = "the privileges could be had again";
    if (!is_irreversible(privileges))
        return -EPERM;
#ifdef SMUX_SANITIZED
    dumpable = true; /* it looks into its own process */
#endif
    prctl(PR_SET_DUMPABLE, dumpable ? 1 : 0, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, death_signal);
    if (death_signal && getppid() != parent)
        raise(death_signal);
    return 0;
}
