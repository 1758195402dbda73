/* SPDX-License-Identifier: MIT */
/* helper_socket.c - see helper_socket.h. */
#include "shim/process/helper_socket.h"

#include <errno.h>
#include <stdint.h>
#include <sys/time.h>

#include "core/common/helper_place.h"
#include "shim/base/libc.h"

int helper_socket_connect(int fd, const char *path) {
    static const struct helper_place_calls calls = {raw_connect, raw_getsockopt};
    return helper_place_connect(fd, path, &calls);
}

int helper_socket_refusal(int fd) {
    uint8_t err;
    int saved = errno;
    long n = real.syscall(SYS_recvfrom, fd, &err, sizeof err, MSG_OOB | MSG_PEEK | MSG_DONTWAIT,
                          NULL, NULL);
    errno = saved;
    return n == 1 ? err : 0;
}

/* ---- Exchanges that wait ---- */

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t helper_exchange_until(uint32_t wait_ms) {
    return now_ms() + wait_ms;
}

/* Limits the next call to what is left. False, with EAGAIN, if that is nothing. */
static bool limit(int fd, int option, int64_t until_ms) {
    int64_t left_ms = until_ms - now_ms();
    struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
    errno = EAGAIN;
    return left_ms > 0 && raw_setsockopt(fd, SOL_SOCKET, option, &left, sizeof left) == 0;
}

int helper_exchange_connect(int fd, const char *path, int64_t until_ms) {
    int err = EINTR;
    while (err == EINTR)
        err = limit(fd, SO_SNDTIMEO, until_ms) ? helper_socket_connect(fd, path) : errno;
    return err;
}

int helper_exchange_connect_to(int fd, const void *name, socklen_t len, int64_t until_ms) {
    int err = EINTR;
    while (err == EINTR)
        err = limit(fd, SO_SNDTIMEO, until_ms) && raw_connect(fd, name, len) == 0 ? 0 : errno;
    return err;
}

bool helper_exchange_send(int fd, const struct msghdr *msg, size_t len) {
    return raw_sendmsg(fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

ssize_t helper_exchange_receive(int fd, void *data, size_t len, int64_t until_ms) {
    ssize_t n = -1;
    errno = EINTR;
    while (n < 0 && errno == EINTR)
        n = limit(fd, SO_RCVTIMEO, until_ms)
                ? real.syscall(SYS_recvfrom, fd, data, len, 0, NULL, NULL)
                : -1;
    return n;
}
