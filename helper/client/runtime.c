/* SPDX-License-Identifier: MIT */
/* runtime.c - see runtime.h. */
#include "helper/client/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"

#define LOCK_FILE        "smuxshim-helper.lock"
#define FOLDER_MODE      0711 /* other users may be admitted to the socket in it */
#define PRIVATE_MODE     0700
#define RUNTIME_PATH_MAX 256

static bool folder_of(const char *path, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    int len = slash == path ? 1 : (int)(slash - path);
    return snprintf(out, size, "%.*s", len, path) < (int)size;
}

/* The umask, which may be 077, applies to mkdir's mode, so chmod follows. */
static bool make_one(const char *folder) {
    mode_t mode = helper_place_is_private(folder) ? PRIVATE_MODE : FOLDER_MODE;
    return mkdir(folder, mode) == 0 && chmod(folder, mode) == 0;
}

/* Makes a folder and its parent, which is also used by helpers only (config_own_socket in
 * core/common/config.h). */
static bool make_folder(const char *folder) {
    char around[RUNTIME_PATH_MAX];
    return make_one(folder) || (errno == ENOENT && folder_of(folder, around, sizeof around) &&
                                make_one(around) && make_one(folder));
}

static bool is_folder(const char *path, struct stat *st) {
    /* A symbolic link in a world-writable folder may have been made by another user. */
    int failed = helper_place_is_private(path) ? lstat(path, st) : stat(path, st);
    return failed == 0 && S_ISDIR(st->st_mode);
}

static bool check_folder(const char *folder, char *why, size_t size) {
    bool private = helper_place_is_private(folder);
    struct stat st;
    if (!is_folder(folder, &st)) {
        snprintf(why, size, "%s: expected a folder", folder);
        return false;
    }
    if (st.st_uid == geteuid() ? !(st.st_mode & 0022) : !private && helper_place_is_safe(folder, 0))
        return true;
    snprintf(why, size,
             "%s: expected a folder that belongs to uid %u%s and that others cannot "
             "write to (found uid %u, mode %04o)",
             folder, (unsigned)geteuid(), private ? "" : " or root", (unsigned)st.st_uid,
             st.st_mode & 07777);
    return false;
}

/* Checks an existing socket, which may date from a time when others could write to the folder. */
static bool check_socket(const char *path, char *why, size_t size) {
    struct stat st;
    if (lstat(path, &st) < 0 || st.st_uid == geteuid() || st.st_uid == 0)
        return true;
    snprintf(why, size, "%s: expected a socket that belongs to uid %u or root (found uid %u)", path,
             (unsigned)geteuid(), (unsigned)st.st_uid);
    return false;
}

/* Checks the parent of the socket's folder, if it is a helper's folder as well, which we may have
 * made. */
static bool check_around(const char *folder, char *why, size_t size) {
    char around[RUNTIME_PATH_MAX];
    return !folder_of(folder, around, sizeof around) || !helper_place_is_runtime(around) ||
           check_folder(around, why, size);
}

bool runtime_prepare(const char *path, char *why, size_t size) {
    char folder[RUNTIME_PATH_MAX];
    if (!folder_of(path, folder, sizeof folder)) {
        snprintf(why, size, "%s: expected an absolute path", path);
        return false;
    }
    if (!make_folder(folder) && errno != EEXIST) {
        snprintf(why, size, "%s: cannot be created: %s", folder, strerror(errno));
        return false;
    }
    return check_folder(folder, why, size) && check_around(folder, why, size) &&
           check_socket(path, why, size);
}

int runtime_lock(const char *path) {
    char folder[RUNTIME_PATH_MAX], file[RUNTIME_PATH_MAX + sizeof LOCK_FILE + 1];
    if (!folder_of(path, folder, sizeof folder))
        return -ENAMETOOLONG;
    snprintf(file, sizeof file, "%s/" LOCK_FILE, folder);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int saved = errno;
    close(fd);
    return -saved;
}

/* ---- Background ---- */

static void wait_for_child(pid_t pid, int fd) {
    char byte;
    int status;
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(0);
    /* It ended before it was ready: exit with its status. */
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            _exit(1);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int runtime_detach(void) {
    int pipe_fd[2];
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0) {
        int saved = errno;
        close(pipe_fd[0]);
        close(pipe_fd[1]);
        return -saved;
    }
    if (pid > 0) {
        close(pipe_fd[1]);
        wait_for_child(pid, pipe_fd[0]);
    }
    close(pipe_fd[0]);
    setsid();
    return pipe_fd[1];
}

void runtime_detached(int fd, bool quiet) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (quiet)
            dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
    ssize_t written = write(fd, "", 1);
    (void)written;
    close(fd);
}
