/* SPDX-License-Identifier: MIT */
/*
 * helper_place.h - where to find the helper: one rule and one look-up for the library, the
 * launcher, the helper and smuxctl.
 *
 * The path of its socket is the first of
 *     1. SMUXSHIM_SOCKET;
 *     2. `socket` of [helper] in the configuration;
 *     3. $XDG_RUNTIME_DIR/smuxshim/smuxshim-helper.sock, if that folder is the user's own;
 *     4. for root: /run/smuxshim/smuxshim-helper.sock;
 *     5. the same path, if a helper that admits this user listens there (the system's);
 *     6. /run/user/UID/smuxshim/smuxshim-helper.sock, if /run/user/UID is the user's own;
 *     7. /tmp/smuxshim-UID/smuxshim-helper.sock. TMPDIR is used only if /tmp is not writable,
 *        because it may differ between the programs of one user, which then would not find each
 *        other.
 * A folder is the user's own if it belongs to that user and nobody else can write to it. UID is the
 * one that the process started with: a daemon that drops root keeps looking where its launcher did.
 * So root creates nothing in the folder of a user whose environment it has (sudo -E, su), and a
 * user creates nothing in another user's.
 *
 * Where the path is gone (deleted, or hidden by a chroot) the helper is reached by an abstract name
 * derived from the path.
 */
#ifndef CORE_COMMON_HELPER_PLACE_H
#define CORE_COMMON_HELPER_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define HELPER_SYSTEM_RUNTIME "/run/smuxshim"

/* Writes the helper's socket path according to the rule; `configured` is the [helper] key or NULL.
 * Reads the environment, and looks at folders unless 1 or 2 decides. Returns false if the path does
 * not fit `size` or does not end in the fixed last component, and sets *why to what was expected
 * (static text). */
bool helper_place_socket(char *out, size_t size, const char *configured, const char **why);

/* Writes the folder for this user's own helpers: that of the path without 1, 2 and 5. */
bool helper_place_own(char *out, size_t size);

/* Whether this is a folder that smuxshim makes around a helper's socket, and that its user alone
 * can write to. */
bool helper_place_is_runtime(const char *folder);

/* Whether only the owner may use what is in the folder: true for those of 7, which lie among other
 * users' files. */
bool helper_place_is_private(const char *folder);

/* Whether only `uid` and root can put files into the folder. False as well if it cannot be
 * examined. */
bool helper_place_is_safe(const char *folder, unsigned uid);

/* The system calls of the look-up. The library passes calls that bypass its own hooks. */
struct helper_place_calls {
    int (*connect)(int fd, const void *addr, socklen_t len);
    int (*getsockopt)(int fd, int level, int name, void *value, socklen_t *len);
};

/* Connects `fd`, an AF_UNIX socket, to the helper's socket at `path`, or to the one beside it that
 * smuxctl uses. `calls` NULL: libc's. Returns 0 or an errno: ENOENT or ECONNREFUSED if there is no
 * helper; EAGAIN if its backlog is full; EINTR if a signal ended the wait for room there, after
 * which another call goes on; EACCES if this user may not use it, or if the listener is neither
 * this user nor root nor the owner of a folder that only its owner can write to. */
int helper_place_connect(int fd, const char *path, const struct helper_place_calls *calls);

/* Whether a helper accepts connections there. Tries it with a socket made by libc. */
bool helper_place_answers(const char *path);

#endif
