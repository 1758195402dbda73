/* SPDX-License-Identifier: MIT */
/* holders.c - see holders.h. */
#include "helper/client/holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_SIZE 64

/* A search in one process, and its result. */
struct search {
    struct holders_wanted *wanted;
    size_t count, left;
    int fd;      /* where the last one was found */
    int *fds;    /* where each target was found, or NULL */
    bool any_fd; /* the process has at least one descriptor */
};

static int compare(const void *a, const void *b) {
    uint64_t x = ((const struct holders_wanted *)a)->inode;
    uint64_t y = ((const struct holders_wanted *)b)->inode;
    return (x > y) - (x < y);
}

/* The inode of a socket, from the link in /proc; 0 for anything else. */
static uint64_t socket_inode(int dir, const char *name) {
    char link[40];
    ssize_t n = readlinkat(dir, name, link, sizeof link - 1);
    if (n <= 0)
        return 0;
    link[n] = '\0';
    return strncmp(link, "socket:[", 8) == 0 ? strtoull(link + 8, NULL, 10) : 0;
}

static struct holders_wanted *find(const struct holders_wanted *wanted, size_t count,
                                   uint64_t inode) {
    struct holders_wanted key = {.inode = inode};
    return bsearch(&key, wanted, count, sizeof key, compare);
}

static void search_fd(struct search *search, int dir, const char *name) {
    uint64_t inode = socket_inode(dir, name);
    struct holders_wanted *hit = inode ? find(search->wanted, search->count, inode) : NULL;
    search->any_fd = true;
    if (!hit || hit->found)
        return;
    hit->found = true;
    search->left--;
    search->fd = (int)strtol(name, NULL, 10);
    if (search->fds)
        search->fds[hit - search->wanted] = search->fd;
}

/* Calls fn for every entry of the folder that is a number. 0, or a negative errno if the folder
 * cannot be opened. */
static int each_number(const char *path, struct search *search,
                       void (*fn)(struct search *search, int dir, const char *name)) {
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    for (struct dirent *entry; search->left > 0 && (entry = readdir(dir));)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            fn(search, dirfd(dir), entry->d_name);
    closedir(dir);
    return 0;
}

/* Do two threads share their descriptors? If that cannot be found out: yes, as nearly all do. */
static bool share_files(pid_t a, pid_t b) {
    enum { KCMP_FILES = 2 }; /* linux/kcmp.h */
    return syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0) <= 0;
}

/* Threads may have separate descriptor tables, and /proc/PID/fd of a process whose first thread has
 * ended is empty. */
static void search_threads(struct search *search, pid_t pid) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    bool leader_has_none = !search->any_fd;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && search->left > 0 && (entry = readdir(dir));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid <= 0 || tid == pid || (!leader_has_none && share_files(pid, tid)))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%d/fd", (int)pid, (int)tid);
        each_number(path, search, search_fd);
        leader_has_none = leader_has_none && !search->any_fd;
    }
    if (dir)
        closedir(dir);
}

static int search_process(struct search *search, pid_t pid) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    search->any_fd = false;
    int error = each_number(path, search, search_fd);
    if (error == 0 && search->left > 0)
        search_threads(search, pid);
    return error;
}

enum holders_verdict holders_in_process(pid_t pid, uint64_t inode, int *fd) {
    char path[PATH_SIZE];
    struct holders_wanted wanted = {.inode = inode};
    struct search search = {.wanted = &wanted, .count = 1, .left = 1};
    if (pid <= 0)
        return HOLDERS_UNKNOWN;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, *fd);
    if (*fd >= 0 && socket_inode(AT_FDCWD, path) == inode)
        return HOLDERS_FOUND;
    int error = search_process(&search, pid);
    if (wanted.found) {
        *fd = search.fd;
        return HOLDERS_FOUND;
    }
    /* /proc may hide processes, or may not be mounted. */
    if (error == -ENOENT)
        return kill(pid, 0) < 0 && errno == ESRCH ? HOLDERS_NONE : HOLDERS_UNKNOWN;
    return error ? HOLDERS_UNKNOWN : HOLDERS_NONE;
}

static pid_t skipped;

void holders_skip(pid_t pid) {
    skipped = pid;
}

static void search_other(struct search *search, int dir, const char *name) {
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    (void)dir;
    if (pid != getpid() && pid != skipped)
        search_process(search, pid);
}

bool holders_anywhere(struct holders_wanted *wanted, size_t count) {
    struct search search = {.wanted = wanted, .count = count, .left = count};
    for (size_t i = 0; i < count; i++)
        wanted[i].found = false;
    qsort(wanted, count, sizeof *wanted, compare);
    return each_number("/proc", &search, search_other) == 0;
}

bool holders_found(const struct holders_wanted *wanted, size_t count, uint64_t inode) {
    const struct holders_wanted *hit = find(wanted, count, inode);
    return !hit || hit->found;
}

/* ---- Many at once ---- */

static bool is_where_it_was(const struct holders_target *target) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)target->pid, target->fd);
    return target->fd >= 0 && socket_inode(AT_FDCWD, path) == target->inode;
}

static int compare_pids(const void *a, const void *b) {
    const struct holders_target *x = *(struct holders_target *const *)a;
    const struct holders_target *y = *(struct holders_target *const *)b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Searches one process for the `count` targets, all of which belong to it. If the process cannot be
 * inspected, they do not count as gone. */
static void look_into_process(struct holders_target **targets, size_t count) {
    struct holders_wanted wanted[HOLDERS_TARGETS_MAX] = {{0}};
    int fds[HOLDERS_TARGETS_MAX];
    struct search search = {.wanted = wanted, .count = count, .left = count, .fds = fds};
    for (size_t i = 0; i < count; i++)
        wanted[i] = (struct holders_wanted){.inode = targets[i]->inode};
    qsort(wanted, count, sizeof *wanted, compare);
    int error = search_process(&search, targets[0]->pid);
    bool exists = error != -ENOENT || kill(targets[0]->pid, 0) == 0 || errno != ESRCH;
    for (size_t i = 0; i < count; i++) {
        struct holders_wanted *hit = find(wanted, count, targets[i]->inode);
        targets[i]->gone = hit && !hit->found && !(error && exists);
        if (hit && hit->found)
            targets[i]->fd = fds[hit - wanted];
    }
}

static void look_everywhere(struct holders_target *targets, size_t count) {
    struct holders_wanted wanted[HOLDERS_TARGETS_MAX];
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (targets[i].gone)
            wanted[left++] = (struct holders_wanted){.inode = targets[i].inode};
    bool looked = left > 0 && holders_anywhere(wanted, left);
    for (size_t i = 0; i < count; i++)
        targets[i].gone =
            targets[i].gone && looked && !holders_found(wanted, left, targets[i].inode);
}

void holders_look(struct holders_target *targets, size_t count) {
    struct holders_target *missing[HOLDERS_TARGETS_MAX] = {NULL};
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        targets[i].gone = false;
        if (targets[i].pid > 0 && !is_where_it_was(&targets[i]))
            missing[left++] = &targets[i];
    }
    qsort(missing, left, sizeof(struct holders_target *), compare_pids);
    for (size_t i = 0, n; i < left; i += n) {
        for (n = 1; i + n < left && missing[i + n]->pid == missing[i]->pid;)
            n++;
        look_into_process(missing + i, n);
    }
    look_everywhere(targets, count);
}
