/* SPDX-License-Identifier: MIT */
/* epoll_sets.c - see epoll_sets.h. */
#include "shim/socket/epoll_sets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/common/number.h"
#include "shim/base/hint.h"
#include "shim/base/libc.h"

#define LISTED_MAX 256 /* if there have been more sets, /proc/self/fd is read */

static _Atomic int listed[LISTED_MAX]; /* epfd + 1 */
static atomic_int n_listed;            /* may be larger than LISTED_MAX */
static atomic_bool have_copies, have_ring;

/* HINT_SET stays with the number when the set is closed, because close is not hooked. */
void epoll_sets_note(int epfd) {
    if (epfd < 0 || hint_has(epfd, HINT_SET))
        return;
    hint_add(epfd, HINT_SET);
    if (atomic_load(&n_listed) > LISTED_MAX)
        return;
    int at = atomic_fetch_add(&n_listed, 1);
    if (at < LISTED_MAX)
        atomic_store(&listed[at], epfd + 1);
}

void epoll_sets_copied(int from, int to) {
    if (!hint_has(from, HINT_SET))
        return;
    atomic_store(&have_copies, true);
    epoll_sets_note(to);
}

bool epoll_sets_have_copies(void) {
    return atomic_load_explicit(&have_copies, memory_order_relaxed);
}

void epoll_sets_note_ring(void) {
    atomic_store(&have_ring, true);
}

bool epoll_sets_have_ring(void) {
    return atomic_load_explicit(&have_ring, memory_order_relaxed);
}

/* Reads the number after `label`; false if there is none. */
static bool field(const char *line, const char *label, unsigned base, unsigned long long *value) {
    const char *at = strstr(line, label);
    if (!at)
        return false;
    *value = number_read(at + strlen(label), base, NULL);
    return true;
}

/* Parses "tfd: 5 events: 40000004 data: 1f pos:0 ino:3039 sdev:9", a line of a set's fdinfo; on old
 * kernels it ends after `data`. The inode tells apart files that were registered under the same
 * number. */
static bool line_tells(const char *line, int fd, unsigned long long inode,
                       struct epoll_event *event) {
    unsigned long long tfd, events, data, ino;
    if (!field(line, "tfd:", 10, &tfd) || tfd != (unsigned)fd ||
        !field(line, "events:", 16, &events) || !field(line, "data:", 16, &data) ||
        (field(line, "ino:", 16, &ino) && ino != inode))
        return false;
    *event = (struct epoll_event){.events = (uint32_t)events, .data.u64 = data};
    return true;
}

/* ENOENT for every errno that does not mean a lack of resources. */
static int lack(int err) {
    return err == EMFILE || err == ENFILE || err == ENOMEM ? err : ENOENT;
}

int epoll_sets_read(int epfd, int fd, struct epoll_event *event) {
    char path[40], text[4096];
    struct stat own;
    size_t len = 0;
    int err = ENOENT;
    if (fstat(fd, &own) != 0)
        return ENOENT;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epfd);
    int info = (int)real.syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return lack(errno);
    for (ssize_t n;
         err && (n = real.syscall(SYS_read, info, text + len, sizeof text - 1 - len)) > 0;) {
        len += (size_t)n;
        text[len] = '\0';
        char *line = text;
        for (char *end; err && (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            if (line_tells(line, fd, own.st_ino, event))
                err = 0;
        }
        len = strlen(line);
        memmove(text, line, len);
    }
    raw_close(info);
    return err;
}

/* False if the kernel says that `fd` is not registered in the set; true if it is, or if kcmp is not
 * allowed or not available. `self`: this thread's id. */
static bool may_hold(int epfd, int fd, long self) {
    enum { KCMP_EPOLL_TFD = 7 }; /* linux/kcmp.h */
    struct {
        uint32_t epfd, fd, nth; /* the nth file that was registered as `fd` */
    } slot = {(uint32_t)epfd, (uint32_t)fd, 0};
    for (;; slot.nth++) {
        long order = real.syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, fd, &slot);
        if (order == 0)
            return true;
        if (order < 0)
            return errno == EPERM || errno == EACCES || errno == ENOSYS;
    }
}

bool epoll_sets_move(int epfd, int fd, struct epoll_event event, struct epoll_moved *moved) {
    if (raw_epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &event) != 0)
        return false;
    moved->set[moved->n].epfd = epfd;
    moved->set[moved->n].event = event;
    moved->n++;
    return true;
}

static int take_from(int epfd, int fd, long self, struct epoll_moved *moved) {
    struct epoll_event event;
    if (moved->n == EPOLL_SETS_MAX || epfd == fd || !may_hold(epfd, fd, self))
        return 0;
    int err = epoll_sets_read(epfd, fd, &event);
    if (err)
        return err == ENOENT ? 0 : err;
    epoll_sets_move(epfd, fd, event, moved);
    return 0;
}

static int take_from_listed(int fd, long self, struct epoll_moved *moved) {
    int err = 0;
    for (int i = 0; err == 0 && i < LISTED_MAX && i < atomic_load(&n_listed); i++) {
        int epfd = atomic_load(&listed[i]) - 1;
        err = epfd < 0 ? 0 : take_from(epfd, fd, self, moved);
    }
    return err;
}

/* The kernel's linux_dirent64, whatever libc's dirent looks like. */
struct entry {
    uint64_t inode, offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

static int number_of(const struct entry *entry) {
    return (int)number_read(entry->name, 10, NULL);
}

static int take_from_all(int fd, long self, struct epoll_moved *moved) {
    _Alignas(struct entry) char entries[2048];
    int err = 0, folder = (int)real.syscall(SYS_openat, AT_FDCWD, "/proc/self/fd",
                                            O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return lack(errno) == ENOENT ? 0 : errno;
    for (long n;
         err == 0 && (n = real.syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0;)
        for (long at = 0; err == 0 && at < n;) {
            const struct entry *entry = (const struct entry *)(entries + at);
            at += entry->size;
            if (entry->name[0] != '.' && number_of(entry) != folder)
                err = take_from(number_of(entry), fd, self, moved);
        }
    raw_close(folder);
    return err;
}

int epoll_sets_take(int fd, bool all, struct epoll_moved *moved) {
    int saved = errno;
    long self = real.syscall(SYS_gettid);
    int err = all || atomic_load(&n_listed) > LISTED_MAX ? take_from_all(fd, self, moved)
                                                         : take_from_listed(fd, self, moved);
    errno = saved;
    return err;
}
