/* SPDX-License-Identifier: MIT */
/* socket.c - see socket.h. */
#include "shim/hooks/socket.h"

#include <string.h>

#include "shim/base/libc.h"
#include "shim/socket/epoll_registry.h"

int shim_socket(int family, int type, int protocol) {
    const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = real.socket(family, type, protocol);
    if (fd >= 0)
        epoll_registry_opened(fd, (family == AF_INET || family == AF_INET6) &&
                                      (type & ~flags) == SOCK_STREAM);
    return fd;
}

/* A new descriptor of unknown kind: what was remembered of its number is dropped. */
static int given(int fd) {
    if (fd >= 0)
        epoll_registry_opened(fd, false);
    return fd;
}

int shim_socketpair(int family, int type, int protocol, int fds[2]) {
    int result = real.socketpair(family, type, protocol, fds);
    if (result == 0) {
        given(fds[0]);
        given(fds[1]);
    }
    return result;
}

int shim_accept(int fd, struct sockaddr *addr, socklen_t *len) {
    return given(real.accept(fd, addr, len));
}

int shim_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) {
    return given(real.accept4(fd, addr, len, flags));
}

/* Called by number, because glibc has had a function for it only since 2.36. */
int shim_pidfd_getfd(int pidfd, int fd, unsigned flags) {
    return given((int)real.syscall(SYS_pidfd_getfd, pidfd, fd, flags));
}

void opened_by_message(struct msghdr *msg) {
    int fd;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(msg); part; part = CMSG_NXTHDR(msg, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof fd <= part->cmsg_len; at += sizeof fd) {
            memcpy(&fd, (char *)part + at, sizeof fd);
            given(fd);
        }
    }
}

int shim_epoll_create(int size) {
    int epfd = real.epoll_create(size);
    epoll_sets_note(epfd);
    return epfd;
}

int shim_epoll_create1(int flags) {
    int epfd = real.epoll_create1(flags);
    epoll_sets_note(epfd);
    return epfd;
}

#ifdef SYS_io_uring_setup
int shim_io_uring_setup(unsigned n_entries, void *params) {
    int ring = (int)real.syscall(SYS_io_uring_setup, n_entries, params);
    if (ring >= 0)
        epoll_sets_note_ring();
    return ring;
}
#endif
