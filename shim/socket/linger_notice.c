/* SPDX-License-Identifier: MIT */
/* linger_notice.c - see linger_notice.h. */
#include "shim/socket/linger_notice.h"

#include <errno.h>

#include "core/common/helper_protocol.h"
#include "shim/base/libc.h"
#include "shim/process/helper_socket.h"

/* Connects to the helper that serves connection `fd`; it listens at the name of the peer. */
static int connect_notice(int fd, int64_t until_ms) {
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    int notice = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (notice < 0)
        return -1;
    if (raw_getpeername(fd, &name, &len) == 0 &&
        helper_exchange_connect_to(notice, &name, len, until_ms) == 0)
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
    int64_t until_ms = helper_exchange_until(HELPER_NOTICE_WAIT_MS);
    /* No fork guard is needed: a fork may copy this descriptor, because nothing depends on its
     * being closed. */
    int notice = connect_notice(fd, until_ms);
    if (notice >= 0) {
        if (helper_exchange_send(notice, &msg, sizeof req))
            helper_exchange_receive(notice, &end, 1, until_ms);
        raw_close(notice);
    }
    errno = saved;
}
