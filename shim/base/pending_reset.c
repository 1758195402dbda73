/* SPDX-License-Identifier: MIT */
/* pending_reset.c - see pending_reset.h. */
#include "shim/base/pending_reset.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "shim/base/libc.h"

/* The kernel notes why the second message of recvmmsg(2) could not be received, for the next
 * call to tell. The first takes nothing away; the second has more vectors than there may be. An
 * error that is pending already would be told instead, so it is taken by the first try. */
void pending_reset_put_back(int fd) {
    int saved = errno;
    struct mmsghdr msgs[2] = {{.msg_len = 0}, {.msg_hdr = {.msg_iovlen = UIO_MAXIOV + 1}}};
    for (int tries = 0; tries < 2; tries++)
        if (real.syscall(SYS_recvmmsg, fd, msgs, 2u, MSG_DONTWAIT | MSG_PEEK, NULL) > 0)
            break;
    errno = saved;
}
