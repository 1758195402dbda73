/* SPDX-License-Identifier: MIT */
/*
 * export_time64.c - the names that glibc uses in 32-bit programs built with _TIME_BITS=64.
 *
 * They are the same functions with wider time types. SO_RCVTIMEO and SO_SNDTIMEO have other numbers
 * there, which stand for the same two values of the socket. A kernel that does not know those
 * numbers (before 5.1) answers ENOPROTOOPT, after it has checked the caller's pointers.
 */
#include <features.h>

#if defined __GLIBC__ && __SIZEOF_POINTER__ == 4

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>

#include "shim/hooks/dup.h"
#include "shim/hooks/export.h"
#include "shim/hooks/sockopt.h"
#include "shim/socket/options.h"

enum { RCVTIMEO_64 = 66, SNDTIMEO_64 = 67 }; /* linux: asm-generic/socket.h, SO_RCVTIMEO_NEW */

struct time64 {
    int64_t sec, part; /* seconds, and micro- or nanoseconds */
};

static int narrow_name(int level, int name) {
    if (level != SOL_SOCKET || (name != RCVTIMEO_64 && name != SNDTIMEO_64))
        return 0;
    return name == RCVTIMEO_64 ? SO_RCVTIMEO : SO_SNDTIMEO;
}

static long narrow(int64_t seconds) {
    return seconds > INT32_MAX ? INT32_MAX : seconds < INT32_MIN ? INT32_MIN : (long)seconds;
}

EXPORT(int, __setsockopt64, (int fd, int level, int name, const void *value, socklen_t len)) {
    int narrower = narrow_name(level, name);
    struct time64 wide;
    READY;
    int result = shim_setsockopt(fd, level, name, value, len);
    if (result == 0 && narrower)
        options_note(fd, level, narrower);
    if (result == 0 || !narrower || errno != ENOPROTOOPT || len < sizeof wide)
        return result;
    memcpy(&wide, value, sizeof wide);
    struct timeval time = {.tv_sec = narrow(wide.sec), .tv_usec = narrow(wide.part)};
    return shim_setsockopt(fd, level, narrower, &time, sizeof time);
}

EXPORT(int, __getsockopt64, (int fd, int level, int name, void *value, socklen_t *len)) {
    int narrower = narrow_name(level, name);
    struct timeval time;
    socklen_t time_len = sizeof time;
    READY;
    int result = shim_getsockopt(fd, level, name, value, len);
    if (result == 0 || !narrower || errno != ENOPROTOOPT || *len < sizeof(struct time64))
        return result;
    result = shim_getsockopt(fd, level, narrower, &time, &time_len);
    if (result == 0) {
        struct time64 wide = {time.tv_sec, time.tv_usec};
        memcpy(value, &wide, sizeof wide);
        *len = sizeof wide;
    }
    return result;
}

EXPORT(ssize_t, __recvmsg64, (int fd, struct msghdr *msg, int flags)) {
    READY;
    return shim_recvmsg(fd, msg, flags);
}

EXPORT(ssize_t, __sendmsg64, (int fd, const struct msghdr *msg, int flags)) {
    READY;
    return shim_sendmsg(fd, msg, flags);
}

EXPORT(int, __sendmmsg64, (int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags)) {
    READY;
    return shim_sendmmsg(fd, msgs, n_msgs, flags);
}

EXPORT(int, __recvmmsg64,
       (int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags, struct time64 *timeout)) {
    READY;
    if (!timeout)
        return shim_recvmmsg(fd, msgs, n_msgs, flags, NULL);
    struct timespec time = {.tv_sec = narrow(timeout->sec), .tv_nsec = narrow(timeout->part)};
    int result = shim_recvmmsg(fd, msgs, n_msgs, flags, &time);
    *timeout = (struct time64){time.tv_sec, time.tv_nsec};
    return result;
}

EXPORT_OPTIONAL(__ioctl_time64, unsigned long, request, shim_ioctl(fd, request, argument))
EXPORT_OPTIONAL(__fcntl_time64, int, command,
                shim_fcntl_done(fd, command, real.fcntl64(fd, command, argument)))

#endif
