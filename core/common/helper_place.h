/* SPDX-License-Identifier: MIT */
/*
 * helper_place.h - where the helper is: one rule and one look-up for the library, the launcher, the
 * helper and smuxctl.
 *
 * The path of its socket is the first of
 *     1. SMUXSHIM_SOCKET;
 *     2. `socket` of [helper] in the configuration;
 *     3. $XDG_RUNTIME_DIR/smuxshim/smuxshim-helper.sock, if that folder is the user's own;
 *     4. for root: /run/smuxshim/smuxshim-helper.sock;
 *     5. the same, if it is the socket of a helper that admits this user: the system's;
 *     6. /run/user/UID/smuxshim/smuxshim-helper.sock, if /run/user/UID is the user's own;
 *     7. /tmp/smuxshim-UID/smuxshim-helper.sock. TMPDIR counts only where nobody can write to /tmp,
 *        because it may differ between the programs of one user, which then would not find each
 *        other.
 * A folder is the user's own if it belongs to him and nobody else can write to it. UID is that of
 * the process's start: a daemon that gives root up goes on looking where its launcher did. So root
 * makes nothing in the folder of a user whose environment it has (sudo -E, su), and a user nothing
 * in another's.
 *
 * Where the path is gone (deleted, or hidden by a chroot) the helper is known by the abstract name
 * that is made of it.
 */
#ifndef CORE_COMMON_HELPER_PLACE_H
#define CORE_COMMON_HELPER_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define HELPER_SYSTEM_RUNTIME "/run/smuxshim"

/* Writes the helper's socket path after the rule; `configured` is the [helper] key or NULL. Reads
 * the environment, and looks at folders unless 1 or 2 decides. Returns false if it does not fit
 * `size` or does not end in the fixed last component: *why then says what was expected (static
 * text). */
bool helper_place_socket(char *out, size_t size, const char *configured, const char **why);

/* Writes the folder for helpers of this user's own, which is that of the path without 1, 2 and 5.
 * */
bool helper_place_own(char *out, size_t size);

/* Is this folder one that only smuxshim makes, and its user alone writes to: the one around a
 * helper's? */
bool helper_place_is_runtime(const char *folder);

/* May only its owner use what is in that folder? True for those of 7, which lie among strangers'.
 * */
bool helper_place_is_private(const char *folder);

/* Can nobody but `uid` and root put files into the folder? False as well if it cannot be seen. */
bool helper_place_is_safe(const char *folder, unsigned uid);

/* The system calls of the look-up: the library makes them past its own hooks. */
struct helper_place_calls {
    int (*connect)(int fd, const void *addr, socklen_t len);
    int (*getsockopt)(int fd, int level, int name, void *value, socklen_t *len);
};

/* Connects `fd`, an AF_UNIX socket, to the helper's socket at `path`, or the one beside it that
 * smuxctl uses. Returns 0 or an errno: ENOENT or ECONNREFUSED if there is no helper, EAGAIN if its
 * backlog is full, EACCES if this user may not use it, or if who listens there is neither this user
 * nor root nor the owner of a folder that only he can write to. NULL: libc's calls. */
int helper_place_connect(int fd, const char *path, const struct helper_place_calls *calls);

/* Does a helper accept connections there? Makes a socket of libc's for the question. */
bool helper_place_answers(const char *path);

#endif
