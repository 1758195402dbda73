/* SPDX-License-Identifier: MIT */
/* helper_place.c - see helper_place.h. */
#include "core/common/helper_place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"

#define SUBDIR        "/smuxshim"
#define USER_RUNTIME  "/run/user"
#define TEMPORARY     "/tmp"
#define SYSTEM_SOCKET HELPER_SYSTEM_RUNTIME "/" HELPER_SOCKET_FILE
#define FOLDER_MAX    256

static const char *plain_getenv(const char *name) {
    return getenv(name);
}

const char *(*shim_getenv)(const char *name) = plain_getenv;

/* Makes no system call, and stays the same after setuid: see the header. */
static unsigned start_uid(void) {
    return (unsigned)getauxval(AT_EUID);
}

/* ---- The rule ---- */

static bool is_own(const char *folder) {
    struct stat st;
    return stat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == start_uid() &&
           !(st.st_mode & 0022);
}

static bool fits(int len, size_t size) {
    return len > 0 && (size_t)len < size;
}

static const char *temporary_folder(void) {
    const char *other = shim_getenv("TMPDIR");
    bool usable = access(TEMPORARY, W_OK | X_OK) == 0;
    return !usable && other && other[0] == '/' ? other : TEMPORARY;
}

static const char *given_runtime(void) {
    const char *runtime = shim_getenv("XDG_RUNTIME_DIR");
    return runtime && runtime[0] == '/' && is_own(runtime) ? runtime : NULL;
}

bool helper_place_own(char *out, size_t size) {
    const char *runtime = given_runtime();
    char usual[FOLDER_MAX];
    if (runtime)
        return fits(snprintf(out, size, "%s" SUBDIR, runtime), size);
    if (start_uid() == 0)
        return fits(snprintf(out, size, HELPER_SYSTEM_RUNTIME), size);
    snprintf(usual, sizeof usual, USER_RUNTIME "/%u", start_uid());
    if (is_own(usual))
        return fits(snprintf(out, size, "%s" SUBDIR, usual), size);
    return fits(snprintf(out, size, "%s" SUBDIR "-%u", temporary_folder(), start_uid()), size);
}

static bool default_path(char *out, size_t size) {
    char folder[FOLDER_MAX];
    if (start_uid() != 0 && !given_runtime() && access(SYSTEM_SOCKET, W_OK) == 0)
        return fits(snprintf(out, size, SYSTEM_SOCKET), size);
    return helper_place_own(folder, sizeof folder) &&
           fits(snprintf(out, size, "%s/" HELPER_SOCKET_FILE, folder), size);
}

bool helper_place_socket(char *out, size_t size, const char *configured, const char **why) {
    const char *given = shim_getenv("SMUXSHIM_SOCKET");
    struct sockaddr_un name;
    if (!given || !*given)
        given = configured;
    bool fit =
        given && *given ? fits(snprintf(out, size, "%s", given), size) : default_path(out, size);
    if (fit && out[0] == '/' && helper_path_name(&name, out) > 0)
        return true;
    *why = "an absolute path of at most 107 bytes that ends in /" HELPER_SOCKET_FILE;
    return false;
}

/* ---- Folders ---- */

bool helper_place_is_private(const char *folder) {
    char own[sizeof SUBDIR + 12];
    int len = snprintf(own, sizeof own, SUBDIR "-%u", start_uid());
    const char *at = strstr(folder, own);
    return at && (at[len] == '\0' || at[len] == '/');
}

bool helper_place_is_runtime(const char *folder) {
    const char *last = strrchr(folder, '/');
    return last && (strcmp(last, SUBDIR) == 0 || helper_place_is_private(last));
}

bool helper_place_is_safe(const char *folder, unsigned uid) {
    struct stat st;
    return stat(folder, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_uid == uid || st.st_uid == 0) &&
           !(st.st_mode & 0022);
}

/* ---- The look-up ---- */

static bool is_trusted_user(unsigned uid) {
    return uid == 0 || uid == start_uid() || uid == geteuid();
}

/* The owner of the folder may listen in it: a helper shared by several users has a folder of its
 * own. In /tmp anybody could have made that folder. */
static bool owns_folder_of(const char *path, unsigned uid) {
    char folder[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    return !helper_place_is_private(folder) && helper_place_is_safe(folder, uid);
}

static bool is_trusted(int fd, const char *path, const struct helper_place_calls *calls) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    return calls->getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (is_trusted_user(cred.uid) || (path && owns_folder_of(path, cred.uid)));
}

static int plain_connect(int fd, const void *addr, socklen_t len) {
    return connect(fd, addr, len);
}

static int plain_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    return getsockopt(fd, level, name, value, len);
}

int helper_place_connect(int fd, const char *path, const struct helper_place_calls *calls) {
    static const struct helper_place_calls plain = {plain_connect, plain_getsockopt};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t path_len = strlen(path);
    if (!calls)
        calls = &plain;
    if (path_len >= sizeof name.sun_path)
        return ENAMETOOLONG;
    memcpy(name.sun_path, path, path_len + 1);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + 1);
    if (calls->connect(fd, &name, len) == 0)
        return is_trusted(fd, path, calls) ? 0 : EACCES;
    if (errno != ENOENT && errno != ENOTDIR && errno != ECONNREFUSED)
        return errno;
    len = helper_abstract_name(&name, path);
    if (calls->connect(fd, &name, len) != 0)
        return errno == EAGAIN || errno == EINTR ? errno : ENOENT;
    return is_trusted(fd, NULL, calls) ? 0 : EACCES;
}

bool helper_place_answers(const char *path) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int err = fd >= 0 ? helper_place_connect(fd, path, NULL) : errno;
    if (fd >= 0)
        close(fd);
    return err == 0 || err == EAGAIN; /* a busy helper is one, too */
}
