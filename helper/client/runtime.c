/* SPDX-License-Identifier: MIT */
/* runtime.c - see runtime.h. */
#include "helper/client/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "helper/net/loop.h"

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

/* ---- The lock ---- */

#define BECOME_US 8000000u /* below the ten seconds that a launcher waits */
#define ANSWER_MS 500
#define PAUSE_US  20000

enum answer { NOBODY, SILENT, ANSWERS };

/* Returns the lock's descriptor; -EAGAIN if another process has it; or another negative errno. */
static int take_lock(const char *path) {
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

/* A helper closes a connection that ends before a request. The kernel resets those that nobody has
 * accepted when the last process that listens has ended. */
static enum answer await_end(int fd, int wait_ms) {
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char byte;
    if (shutdown(fd, SHUT_WR) != 0 || poll(&pfd, 1, wait_ms) != 1)
        return SILENT;
    return recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 ? ANSWERS : SILENT;
}

/* Does a helper serve there? That somebody listens says little. */
static enum answer ask(const char *path, int wait_ms) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int err = fd >= 0 ? helper_place_connect(fd, path, NULL) : errno;
    enum answer answer = err == 0 ? await_end(fd, wait_ms) : err == EAGAIN ? SILENT : NOBODY;
    if (fd >= 0)
        close(fd);
    return answer;
}

/* A running helper may hold another lock file, if its folder was deleted and made again: so who has
 * the lock asks as well. While there is no answer it leaves the lock to others: a service manager
 * may listen there, and start a helper because it was asked. */
int runtime_become(const char *path, bool passed, char *why, size_t size) {
    uint64_t now_us = loop_clock_us(), until_us = now_us + BECOME_US;
    enum answer answer;
    int lock;
    do {
        int left_ms = (int)((until_us - now_us) / 1000);
        lock = take_lock(path);
        if (lock < 0 && lock != -EAGAIN) {
            snprintf(why, size, "lock next to %s: %s", path, strerror(-lock));
            return lock;
        }
        answer = passed ? NOBODY : ask(path, lock >= 0 ? ANSWER_MS : left_ms);
        if (lock >= 0 && answer == NOBODY)
            return lock;
        if (lock >= 0)
            close(lock);
        if (answer == ANSWERS)
            return -EEXIST;
        usleep(PAUSE_US);
        now_us = loop_clock_us();
    } while (now_us < until_us);
    if (lock < 0)
        snprintf(why, size, "another instance holds the lock next to %s and does not answer", path);
    else
        snprintf(why, size, "%s: another process listens there and does not answer", path);
    return -EAGAIN;
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
