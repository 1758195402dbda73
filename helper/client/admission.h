/* SPDX-License-Identifier: MIT */
/*
 * admission.h - who may use the helper.
 */
#ifndef HELPER_CLIENT_ADMISSION_H
#define HELPER_CLIENT_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/common/config.h"

/* The file mode of the socket's path: if users or groups are admitted by name, it must let
 * everybody connect, and SO_PEERCRED decides. */
uint32_t admission_socket_mode(const struct config_helper *config);

/* More than fit the longest list. */
#define ADMISSION_IDS_MAX 512

/* Names are looked up once, when the configuration is read, because a user directory may be
 * slow. */
struct admission {
    uid_t own;
    gid_t own_group;
    uint32_t socket_mode;
    int user_count, group_count;
    uid_t users[ADMISSION_IDS_MAX];
    gid_t groups[ADMISSION_IDS_MAX];
};

/* Looks up allow-users and allow-groups. Returns NULL, or a static text that says which key has a
 * name that does not exist; the name is copied to `bad`. */
const char *admission_resolve(struct admission *admission, const struct config_helper *config,
                              char *bad, size_t size);

/* True if the process at the other end of `fd`, with these credentials, may use the helper: the
 * helper's own user, root, `allow-users`, `allow-groups` (primary or supplementary), and those that
 * `socket-mode` lets in beyond the owner. */
bool admission_check(const struct admission *admission, int fd, const struct ucred *cred);

/* The same of a user of whose process nothing else is known: its groups do not count. */
bool admission_check_user(const struct admission *admission, uid_t uid);

#endif
