/* SPDX-License-Identifier: MIT */
/* by_number.c - see by_number.h. */
#include "shim/hooks/by_number.h"

#include "shim/base/libc.h"
#include "shim/hooks/connect.h"
#include "shim/hooks/data.h"
#include "shim/hooks/dup.h"
#include "shim/hooks/peername.h"
#include "shim/hooks/socket.h"
#include "shim/hooks/sockopt.h"

#define INT(i)     ((int)args[i])
#define SIZE(i)    ((size_t)args[i])
#define POINTER(i) ((void *)args[i])

/* On 32-bit machines the file position is passed in two halves. */
static int64_t position(const long args[6]) {
    if (sizeof(long) == sizeof(int64_t))
        return args[3];
    return (int64_t)((uint64_t)(uint32_t)args[4] << 32 | (uint32_t)args[3]);
}

/* The calls that copy descriptors, and those that are not hooked. */
static long copies_by_number(long number, const long args[6]) {
    long result = real.syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    switch (number) {
#ifdef SYS_dup2
    case SYS_dup2:
#endif
    case SYS_dup:
    case SYS_dup3:
        return shim_copied(INT(0), (int)result);
#ifdef SYS_fcntl64
    case SYS_fcntl64:
#endif
    case SYS_fcntl:
        return shim_fcntl_done(INT(0), INT(1), (int)result);
    default:
        return result;
    }
}

long shim_syscall(long number, const long args[6]) {
    switch (number) {
#ifdef SYS_connect /* a 32-bit machine may have only socketcall, which libc avoids */
    case SYS_connect:
        return shim_connect(INT(0), POINTER(1), (socklen_t)args[2]);
    case SYS_socket:
        return shim_socket(INT(0), INT(1), INT(2));
    case SYS_socketpair:
        return shim_socketpair(INT(0), INT(1), INT(2), POINTER(3));
    case SYS_accept4:
        return shim_accept4(INT(0), POINTER(1), POINTER(2), INT(3));
    case SYS_bind:
        return shim_bind(INT(0), POINTER(1), (socklen_t)args[2]);
    case SYS_listen:
        return shim_listen(INT(0), INT(1));
    case SYS_getpeername:
        return shim_getpeername(INT(0), POINTER(1), POINTER(2));
    case SYS_getsockname:
        return shim_getsockname(INT(0), POINTER(1), POINTER(2));
    case SYS_shutdown:
        return shim_shutdown(INT(0), INT(1));
    case SYS_getsockopt:
        return shim_getsockopt(INT(0), INT(1), INT(2), POINTER(3), POINTER(4));
    case SYS_setsockopt:
        return shim_setsockopt(INT(0), INT(1), INT(2), POINTER(3), (socklen_t)args[4]);
    case SYS_recvfrom:
        return shim_recvfrom(INT(0), POINTER(1), SIZE(2), INT(3), POINTER(4), POINTER(5));
    case SYS_recvmsg:
        return shim_recvmsg(INT(0), POINTER(1), INT(2));
    case SYS_recvmmsg:
        return shim_recvmmsg(INT(0), POINTER(1), (unsigned)args[2], INT(3), POINTER(4));
    case SYS_sendto:
        return shim_sendto(INT(0), POINTER(1), SIZE(2), INT(3), POINTER(4), (socklen_t)args[5]);
    case SYS_sendmsg:
        return shim_sendmsg(INT(0), POINTER(1), INT(2));
    case SYS_sendmmsg:
        return shim_sendmmsg(INT(0), POINTER(1), (unsigned)args[2], INT(3));
#endif
    case SYS_splice:
        return shim_splice(INT(0), POINTER(1), INT(2), POINTER(3), SIZE(4), (unsigned)args[5]);
#ifdef SYS_accept
    case SYS_accept:
        return shim_accept(INT(0), POINTER(1), POINTER(2));
#endif
#ifdef SYS_pidfd_getfd
    case SYS_pidfd_getfd:
        return shim_pidfd_getfd(INT(0), INT(1), (unsigned)args[2]);
#endif
#ifdef SYS_io_uring_setup
    case SYS_io_uring_setup:
        return shim_io_uring_setup((unsigned)args[0], POINTER(1));
#endif
#ifdef SYS_epoll_create
    case SYS_epoll_create:
        return shim_epoll_create(INT(0));
#endif
    case SYS_epoll_create1:
        return shim_epoll_create1(INT(0));
    case SYS_epoll_ctl:
        return shim_epoll_ctl(INT(0), INT(1), INT(2), POINTER(3));
    case SYS_ioctl:
        return shim_ioctl(INT(0), (unsigned long)args[1], POINTER(2));
    case SYS_read:
        return shim_read(INT(0), POINTER(1), SIZE(2));
    case SYS_readv:
        return shim_readv(INT(0), POINTER(1), INT(2));
    case SYS_write:
        return shim_write(INT(0), POINTER(1), SIZE(2));
    case SYS_writev:
        return shim_writev(INT(0), POINTER(1), INT(2));
    case SYS_preadv2:
        return shim_preadv64v2(INT(0), POINTER(1), INT(2), position(args), INT(5));
    case SYS_pwritev2:
        return shim_pwritev64v2(INT(0), POINTER(1), INT(2), position(args), INT(5));
    case SYS_sendfile:
        return shim_sendfile(INT(0), INT(1), POINTER(2), SIZE(3));
#ifdef SYS_sendfile64
    case SYS_sendfile64:
        return shim_sendfile64(INT(0), INT(1), POINTER(2), SIZE(3));
#endif
    default:
        return copies_by_number(number, args);
    }
}
