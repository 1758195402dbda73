/* SPDX-License-Identifier: MIT */
/* pending_reset.c - see pending_reset.h. */
#include "shim/base/pending_reset.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "shim/base/libc.h"

/* When recvmmsg(2) has received one message and cannot receive the next, the kernel stores the
 * reason as the socket's pending error. Here the first message only peeks, and the second one has
 * too many vectors (EMSGSIZE). If an error is already pending, the first call returns it and stores
 * nothing, so a second call is made. */
void pending_reset_put_back(int fd) {
    int saved = errno;
    struct mmsghdr msgs[2] = {{.msg_len = 0}, {.msg_hdr = {.msg_iovlen = UIO_MAXIOV + 1}}};
    for (int tries = 0; tries < 2; tries++)
        if (real.syscall(SYS_recvmmsg, fd, msgs, 2u, MSG_DONTWAIT | MSG_PEEK, NULL) > 0)
            break;
    errno = saved;
}
