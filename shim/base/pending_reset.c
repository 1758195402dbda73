/* SPDX-License-Identifier: MIT */
/* pending_reset.c - see pending_reset.h. */
#include "shim/base/pending_reset.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "shim/base/libc.h"

/* When the second message of a recvmmsg(2) cannot be received, the kernel stores the reason as the
 * socket's error. Here the first message takes nothing away and the second one has too many
 * vectors. An error that is already pending would be stored instead, so the first try takes it. */
void pending_reset_put_back(int fd) {
    int saved = errno;
    struct mmsghdr msgs[2] = {{.msg_len = 0}, {.msg_hdr = {.msg_iovlen = UIO_MAXIOV + 1}}};
    for (int tries = 0; tries < 2; tries++)
        if (real.syscall(SYS_recvmmsg, fd, msgs, 2u, MSG_DONTWAIT | MSG_PEEK, NULL) > 0)
            break;
    errno = saved;
}
