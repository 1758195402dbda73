/* SPDX-License-Identifier: MIT */
/* linger_notice.c - see linger_notice.h. */
#include "shim/socket/linger_notice.h"

#include <errno.h>
#include <sys/time.h>

#include "core/common/helper_protocol.h"
#include "shim/base/libc.h"

/* Connects to the helper that serves connection `fd`; it listens at the name of the peer. */
static int connect_notice(int fd) {
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    struct timeval wait = {.tv_sec = HELPER_NOTICE_WAIT_MS / 1000,
                           .tv_usec = HELPER_NOTICE_WAIT_MS % 1000 * 1000};
    int notice = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (notice < 0)
        return -1;
    raw_setsockopt(notice, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    raw_setsockopt(notice, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (raw_getpeername(fd, &name, &len) == 0 && raw_connect(notice, &name, len) == 0)
        return notice;
    raw_close(notice);
    return -1;
}

void linger_notice_send(int fd, uint64_t id, bool reset) {
    struct helper_request req = {.magic = HELPER_PROTOCOL_MAGIC,
                                 .version = HELPER_PROTOCOL_VERSION,
                                 .size = sizeof req,
                                 .id = id,
                                 .kind = HELPER_NOTICE_LINGER,
                                 .flags = reset ? HELPER_LINGER_RESET : 0};
    struct iovec iov = {&req, sizeof req};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    char end;
    int saved = errno;
    /* No fork guard is needed: a fork may copy this descriptor, because nothing depends on its
     * being closed. */
    int notice = connect_notice(fd);
    if (notice >= 0) {
        if (raw_sendmsg(notice, &msg, MSG_NOSIGNAL) == sizeof req)
            real.syscall(SYS_recvfrom, notice, &end, (size_t)1, 0, NULL, NULL);
        raw_close(notice);
    }
    errno = saved;
}
