/* SPDX-License-Identifier: MIT */
/* admission.c - see admission.h. */
#include "helper/client/admission.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel allows more supplementary groups; of a process with more, only the first are
 * checked. */
#define PEER_GROUPS_MAX 1024

uint32_t admission_socket_mode(const struct config_helper *config) {
    bool by_name = config->allow_users[0] || config->allow_groups[0];
    return config->socket_mode | (by_name ? 0666 : 0);
}

/* Copies the next name from a comma-separated list. */
static bool next_name(const char **rest, char *out, size_t size) {
    *rest += strspn(*rest, ", ");
    size_t len = strcspn(*rest, ", ");
    if (len == 0)
        return false;
    snprintf(out, size, "%.*s", (int)len, *rest);
    *rest += len;
    return true;
}

static bool parse_id(const char *text, unsigned *id) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *id = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value < UINT32_MAX;
}

static bool user_id(const char *name, unsigned *id) {
    struct passwd *entry = getpwnam(name);
    if (entry)
        *id = entry->pw_uid;
    return entry || parse_id(name, id);
}

static bool group_id(const char *name, unsigned *id) {
    struct group *entry = getgrnam(name);
    if (entry)
        *id = entry->gr_gid;
    return entry || parse_id(name, id);
}

struct peer_groups {
    int count;
    gid_t gid[PEER_GROUPS_MAX + 1];
};

static void get_peer_groups(struct peer_groups *groups, int fd, gid_t primary) {
    socklen_t len = PEER_GROUPS_MAX * sizeof groups->gid[0];
    groups->gid[0] = primary;
    groups->count = 1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups->gid + 1, &len) == 0)
        groups->count += (int)(len / sizeof groups->gid[0]);
}

static bool in_group(const struct peer_groups *groups, gid_t gid) {
    for (int i = 0; i < groups->count; i++)
        if (groups->gid[i] == gid)
            return true;
    return false;
}

bool admission_check_user(const struct admission *admission, uid_t uid) {
    if (uid == admission->own || uid == 0 || (admission->socket_mode & 0002))
        return true;
    for (int i = 0; i < admission->user_count; i++)
        if (admission->users[i] == uid)
            return true;
    return false;
}

bool admission_check(const struct admission *admission, int fd, const struct ucred *cred) {
    struct peer_groups groups;
    if (admission_check_user(admission, cred->uid))
        return true;
    if (admission->group_count == 0 && !(admission->socket_mode & 0020))
        return false;
    get_peer_groups(&groups, fd, cred->gid);
    for (int i = 0; i < admission->group_count; i++)
        if (in_group(&groups, admission->groups[i]))
            return true;
    return (admission->socket_mode & 0020) && in_group(&groups, admission->own_group);
}

const char *admission_resolve(struct admission *admission, const struct config_helper *config,
                              char *bad, size_t size) {
    const char *list = config->allow_users;
    unsigned id;
    memset(admission, 0, sizeof *admission);
    admission->own = geteuid();
    admission->own_group = getegid();
    admission->socket_mode = config->socket_mode;
    while (next_name(&list, bad, size) && admission->user_count < ADMISSION_IDS_MAX) {
        if (!user_id(bad, &id))
            return "allow-users: no such user";
        admission->users[admission->user_count++] = id;
    }
    list = config->allow_groups;
    while (next_name(&list, bad, size) && admission->group_count < ADMISSION_IDS_MAX) {
        if (!group_id(bad, &id))
            return "allow-groups: no such group";
        admission->groups[admission->group_count++] = id;
    }
    return NULL;
}
