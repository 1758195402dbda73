/* SPDX-License-Identifier: MIT */
/* helper_socket.c - see helper_socket.h. */
#include "shim/process/helper_socket.h"

#include <errno.h>
#include <stdint.h>

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
