/* SPDX-License-Identifier: MIT */
/*
 * libc.h - the next definitions of the hooked functions, and raw system calls.
 *
 * `real.NAME(...)` is what the program would have called without the shim: libc's, or that of
 * another preloaded library. It is a cancellation point where libc's is.
 *
 * `raw_NAME(...)` makes the system call and is no cancellation point, so that a thread cannot be
 * cancelled in the middle of a swap. Both set errno as usual.
 */
#ifndef SHIM_BASE_LIBC_H
#define SHIM_BASE_LIBC_H

#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct real {
#define HOOK(type, name, params, args) type(*name) params;
#include "shim/base/libc.def"
};

/* Valid once real_bind has been called; every exported function ensures that (hooks/export.h). A
 * function that libc does not have is NULL. */
extern struct real real;

/* Looks up the next definitions. No system call; dlsym takes a lock of the dynamic loader. */
void real_bind(void);

static inline int raw_getpeername(int fd, void *addr, socklen_t *len) {
    return (int)real.syscall(SYS_getpeername, fd, addr, len);
}

static inline int raw_getsockname(int fd, void *addr, socklen_t *len) {
    return (int)real.syscall(SYS_getsockname, fd, addr, len);
}

static inline int raw_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    return (int)real.syscall(SYS_getsockopt, fd, level, name, value, len);
}

static inline int raw_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    return (int)real.syscall(SYS_setsockopt, fd, level, name, value, len);
}

static inline int raw_socket(int family, int type, int protocol) {
    return (int)real.syscall(SYS_socket, family, type, protocol);
}

static inline int raw_connect(int fd, const void *addr, socklen_t len) {
    return (int)real.syscall(SYS_connect, fd, addr, len);
}

static inline int raw_bind(int fd, const void *addr, socklen_t len) {
    return (int)real.syscall(SYS_bind, fd, addr, len);
}

static inline ssize_t raw_sendmsg(int fd, const struct msghdr *msg, int flags) {
    return real.syscall(SYS_sendmsg, fd, msg, flags);
}

static inline int raw_fcntl(int fd, int command, long argument) {
    return (int)real.syscall(SYS_fcntl, fd, command, argument);
}

static inline int raw_dup3(int old_fd, int new_fd, int flags) {
    return (int)real.syscall(SYS_dup3, old_fd, new_fd, flags);
}

static inline int raw_close(int fd) {
    return (int)real.syscall(SYS_close, fd);
}

/* Signals do not shorten it. `ns` is below a second. */
static inline void raw_sleep(long ns) {
    struct timespec left = {.tv_nsec = ns};
    while (real.syscall(SYS_nanosleep, &left, &left) < 0 && errno == EINTR)
        continue;
}

static inline int raw_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event) {
    return (int)real.syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

#endif
