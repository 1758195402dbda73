/* SPDX-License-Identifier: MIT */
/* foreign_numbers.h - the same calls by number: a table of them, each made by syscall(2) as hooked.
 * */
#ifndef FOREIGN_NUMBERS_H
#define FOREIGN_NUMBERS_H

#include "tests/oracle/foreign.h"

static struct calls by_number;

#define BY_NUMBER(type, name, params, ...)                                                         \
    static type number_##name params {                                                             \
        return (type)hooked.syscall(SYS_##name, __VA_ARGS__);                                      \
    }

BY_NUMBER(int, connect, (int fd, const struct sockaddr *a, socklen_t n), fd, a, n)
BY_NUMBER(int, bind, (int fd, const struct sockaddr *a, socklen_t n), fd, a, n)
BY_NUMBER(int, listen, (int fd, int n), fd, n)
BY_NUMBER(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), fd, a, n)
BY_NUMBER(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), fd, a, n)
BY_NUMBER(int, shutdown, (int fd, int how), fd, how)
BY_NUMBER(int, epoll_ctl, (int set, int op, int fd, struct epoll_event *e), set, op, fd, e)
BY_NUMBER(ssize_t, read, (int fd, void *b, size_t n), fd, b, n)
BY_NUMBER(ssize_t, readv, (int fd, const struct iovec *v, int n), fd, v, n)
BY_NUMBER(ssize_t, recvfrom, (int fd, void *b, size_t n, int f, struct sockaddr *a, socklen_t *l),
          fd, b, n, f, a, l)
BY_NUMBER(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), fd, m, f)
BY_NUMBER(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t), fd, m,
          n, f, t)
BY_NUMBER(ssize_t, write, (int fd, const void *b, size_t n), fd, b, n)
BY_NUMBER(ssize_t, writev, (int fd, const struct iovec *v, int n), fd, v, n)
BY_NUMBER(ssize_t, sendto,
          (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l), fd, b, n,
          f, a, l)
BY_NUMBER(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), fd, m, f)
BY_NUMBER(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int f), fd, m, n, f)
BY_NUMBER(ssize_t, sendfile, (int out, int in, void *o, size_t n), out, in, o, n)
BY_NUMBER(ssize_t, splice, (int in, void *a, int out, void *b, size_t n, unsigned f), in, a, out, b,
          n, f)
BY_NUMBER(ssize_t, preadv2, (int fd, const struct iovec *v, int n, off_t o, int f), fd, v, n,
          (long)o, (long)((int64_t)o >> 32), f)
BY_NUMBER(ssize_t, pwritev2, (int fd, const struct iovec *v, int n, off_t o, int f), fd, v, n,
          (long)o, (long)((int64_t)o >> 32), f)
BY_NUMBER(int, dup, (int fd), fd)
BY_NUMBER(int, dup3, (int fd, int to, int f), fd, to, f)

static int number_ioctl(int fd, unsigned long request, ...) {
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    return (int)hooked.syscall(SYS_ioctl, fd, request, argument);
}

static int number_fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return (int)hooked.syscall(SYS_fcntl, fd, command, argument);
}

static void numbers_init(void) {
    by_number = hooked;
#define TAKE(name) by_number.name = number_##name;
    TAKE(connect)
    TAKE(bind)
    TAKE(listen)
    TAKE(getpeername)
    TAKE(getsockname)
    TAKE(shutdown)
    TAKE(epoll_ctl)
    TAKE(read)
    TAKE(readv)
    TAKE(recvfrom)
    TAKE(recvmsg)
    TAKE(recvmmsg)
    TAKE(write)
    TAKE(writev)
    TAKE(sendto)
    TAKE(sendmsg)
    TAKE(sendmmsg)
    TAKE(sendfile)
    TAKE(splice)
    TAKE(preadv2)
    TAKE(pwritev2)
    TAKE(dup)
    TAKE(dup3)
    TAKE(ioctl)
    TAKE(fcntl)
#undef TAKE
}

#endif
