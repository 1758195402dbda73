/* SPDX-License-Identifier: MIT */
/* export.c - the exported functions: one line each, the logic is elsewhere. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "shim/base/environment.h"
#include "shim/base/libc.h"
#include "shim/hooks/by_number.h"
#include "shim/hooks/connect.h"
#include "shim/hooks/data.h"
#include "shim/hooks/dup.h"
#include "shim/hooks/export.h"
#include "shim/hooks/lookup.h"
#include "shim/hooks/peername.h"
#include "shim/hooks/socket.h"
#include "shim/hooks/sockopt.h"

struct real real;
bool hook_bound;

/* All there is to do at the start: look up, and copy some variables. No system call. */
void hook_bind_all(void) {
#define HOOK(type, name, params) real.name = (type(*) params)dlsym(RTLD_NEXT, #name);
#include "shim/base/libc.def"
#undef HOOK
    environment_capture();
    hook_bound = true;
}

/* A constructor, so that no lookup is left for a forked child or a signal handler to make: dlsym
 * takes a lock of the loader. */
__attribute__((constructor)) static void bind_at_start(void) {
    if (!hook_bound)
        hook_bind_all();
}

#define HOOK_LINE(type, name, params, args)                                                        \
    EXPORT(type, name, params) {                                                                   \
        READY;                                                                                     \
        return shim_##name args;                                                                   \
    }

HOOK_LINE(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
HOOK_LINE(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
HOOK_LINE(int, listen, (int fd, int backlog), (fd, backlog))
HOOK_LINE(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
HOOK_LINE(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
HOOK_LINE(int, shutdown, (int fd, int how), (fd, how))
HOOK_LINE(int, socket, (int family, int type, int protocol), (family, type, protocol))
HOOK_LINE(int, socketpair, (int family, int type, int protocol, int fds[2]),
          (family, type, protocol, fds))
HOOK_LINE(int, accept, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
HOOK_LINE(int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
          (fd, addr, len, flags))
HOOK_LINE(int, pidfd_getfd, (int pidfd, int fd, unsigned flags), (pidfd, fd, flags))
HOOK_LINE(int, epoll_create, (int size), (size))
HOOK_LINE(int, epoll_create1, (int flags), (flags))
HOOK_LINE(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
          (fd, level, name, value, len))
HOOK_LINE(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
          (fd, level, name, value, len))
HOOK_LINE(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event),
          (epfd, op, fd, event))
HOOK_LINE(ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len))
HOOK_LINE(ssize_t, readv, (int fd, const struct iovec *iov, int n_iov), (fd, iov, n_iov))
HOOK_LINE(ssize_t, recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags))
HOOK_LINE(ssize_t, recvfrom,
          (int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addr_len),
          (fd, buf, len, flags, addr, addr_len))
HOOK_LINE(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
HOOK_LINE(int, recvmmsg,
          (int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags, struct timespec *timeout),
          (fd, msgs, n_msgs, flags, timeout))
HOOK_LINE(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
HOOK_LINE(ssize_t, writev, (int fd, const struct iovec *iov, int n_iov), (fd, iov, n_iov))
HOOK_LINE(ssize_t, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags))
HOOK_LINE(ssize_t, sendto,
          (int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
           socklen_t addr_len),
          (fd, buf, len, flags, addr, addr_len))
HOOK_LINE(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
HOOK_LINE(int, sendmmsg, (int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags),
          (fd, msgs, n_msgs, flags))
HOOK_LINE(ssize_t, splice,
          (int in, void *in_offset, int out, void *out_offset, size_t len, unsigned flags),
          (in, in_offset, out, out_offset, len, flags))
HOOK_LINE(int, getaddrinfo,
          (const char *node, const char *service, const struct addrinfo *hints,
           struct addrinfo **res),
          (node, service, hints, res))
HOOK_LINE(int, getnameinfo,
          (const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len, char *serv,
           socklen_t serv_len, int flags),
          (addr, len, host, host_len, serv, serv_len, flags))
HOOK_LINE(struct hostent *, gethostbyname, (const char *name), (name))
HOOK_LINE(struct hostent *, gethostbyname2, (const char *name, int family), (name, family))
HOOK_LINE(int, gethostbyname_r,
          (const char *name, struct hostent *ret, char *buf, size_t len, struct hostent **result,
           int *h_error),
          (name, ret, buf, len, result, h_error))
HOOK_LINE(int, gethostbyname2_r,
          (const char *name, int family, struct hostent *ret, char *buf, size_t len,
           struct hostent **result, int *h_error),
          (name, family, ret, buf, len, result, h_error))
HOOK_LINE(struct hostent *, gethostbyaddr, (const void *addr, socklen_t len, int family),
          (addr, len, family))
HOOK_LINE(int, gethostbyaddr_r,
          (const void *addr, socklen_t len, int family, struct hostent *ret, char *buf, size_t size,
           struct hostent **result, int *h_error),
          (addr, len, family, ret, buf, size, result, h_error))

/* The pairs of names are one function where offsets have 64 bits anyway. */
EXPORT(ssize_t, preadv2, (int fd, const struct iovec *iov, int n_iov, off_t offset, int flags)) {
    READY;
    return shim_preadv2(fd, iov, n_iov, offset, flags);
}

EXPORT(ssize_t, preadv64v2,
       (int fd, const struct iovec *iov, int n_iov, int64_t offset, int flags)) {
    READY;
    return shim_preadv2(fd, iov, n_iov, offset, flags);
}

EXPORT(ssize_t, pwritev2, (int fd, const struct iovec *iov, int n_iov, off_t offset, int flags)) {
    READY;
    return shim_pwritev2(fd, iov, n_iov, offset, flags);
}

EXPORT(ssize_t, pwritev64v2,
       (int fd, const struct iovec *iov, int n_iov, int64_t offset, int flags)) {
    READY;
    return shim_pwritev2(fd, iov, n_iov, offset, flags);
}

EXPORT(ssize_t, sendfile, (int out, int in, void *offset, size_t len)) {
    READY;
    return shim_sendfile(real.sendfile, out, in, offset, len);
}

EXPORT(ssize_t, sendfile64, (int out, int in, void *offset, size_t len)) {
    READY;
    return shim_sendfile(real.sendfile64, out, in, offset, len);
}

EXPORT(int, dup, (int fd)) {
    READY;
    return shim_copied(fd, real.dup(fd));
}

EXPORT(int, dup2, (int fd, int to)) {
    READY;
    return shim_copied(fd, real.dup2(fd, to));
}

EXPORT(int, dup3, (int fd, int to, int flags)) {
    READY;
    return shim_copied(fd, real.dup3(fd, to, flags));
}

#define FCNTL_EXPORT(name)                                                                         \
    EXPORT(int, name, (int fd, int command, ...)) {                                                \
        va_list args;                                                                              \
        va_start(args, command);                                                                   \
        void *argument = va_arg(args, void *);                                                     \
        va_end(args);                                                                              \
        READY;                                                                                     \
        return shim_fcntl_done(fd, command, real.name(fd, command, argument));                     \
    }

FCNTL_EXPORT(fcntl)
FCNTL_EXPORT(fcntl64)

EXPORT(int, ioctl, (int fd, unsigned long request, ...)) {
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    READY;
    return shim_ioctl(fd, request, argument);
}

EXPORT(long, syscall, (long number, ...)) {
    long argument[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(args, long);
    va_end(args);
    READY;
    return shim_syscall(number, argument);
}

/* What compilers call instead when _FORTIFY_SOURCE is on, and libc's other names for the same. A
 * libc without them (musl) has no such callers either. */
extern void __chk_fail(void) __attribute__((noreturn, weak));

#define CHECKED(size, len)                                                                         \
    do {                                                                                           \
        READY;                                                                                     \
        if ((len) > (size))                                                                        \
            __chk_fail ? __chk_fail() : abort();                                                   \
    } while (0)

EXPORT(ssize_t, __read_chk, (int fd, void *buf, size_t len, size_t size)) {
    CHECKED(size, len);
    return shim_read(fd, buf, len);
}

EXPORT(ssize_t, __recv_chk, (int fd, void *buf, size_t len, size_t size, int flags)) {
    CHECKED(size, len);
    return shim_recv(fd, buf, len, flags);
}

EXPORT(ssize_t, __recvfrom_chk,
       (int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *addr,
        socklen_t *addr_len)) {
    CHECKED(size, len);
    return shim_recvfrom(fd, buf, len, flags, addr, addr_len);
}

#define ALIAS_LINE(type, name, target, params, args)                                               \
    EXPORT(type, name, params) {                                                                   \
        READY;                                                                                     \
        return shim_##target args;                                                                 \
    }

ALIAS_LINE(int, __connect, connect, (int fd, const struct sockaddr *addr, socklen_t len),
           (fd, addr, len))
ALIAS_LINE(ssize_t, __read, read, (int fd, void *buf, size_t len), (fd, buf, len))
ALIAS_LINE(ssize_t, __write, write, (int fd, const void *buf, size_t len), (fd, buf, len))
ALIAS_LINE(ssize_t, __send, send, (int fd, const void *buf, size_t len, int flags),
           (fd, buf, len, flags))
