/* SPDX-License-Identifier: MIT */
/*
 * data_whole.h - receiving a certain number of bytes.
 *
 * MSG_WAITALL, SO_RCVLOWAT and MSG_TRUNC ask for more than one look at what has come. AF_UNIX takes
 * a pending reset away when it looks in vain after it has copied something, so here several
 * receives are made, each of which is content with what is there; a reset that ends the last one is
 * put back (pending_reset.h). With MSG_PEEK AF_UNIX would not wait at all, and with MSG_TRUNC write
 * into a buffer that TCP leaves alone.
 */
#ifndef SHIM_HOOKS_DATA_WHOLE_H
#define SHIM_HOOKS_DATA_WHOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/base/hint.h"

/* May a plain receive from `fd` have to wait for more than one byte? A hint only. */
static inline bool data_low_water(int fd) {
    return (hint_get(fd) & (HINT_OURS | HINT_LOWAT)) == (HINT_OURS | HINT_LOWAT);
}

/* How many of `len` bytes a receive that is one call of the kernel's (splice) may ask for
 * without taking a reset away. No system call unless there is a hint. */
size_t data_at_most(int fd, size_t len);

/* recvmsg(2), on a descriptor that is ours, with flags among which is no MSG_OOB and no
 * MSG_ERRQUEUE. Addresses are left as the kernel gives them. As many system calls as recvmsg if all
 * is there at once. */
ssize_t shim_receive_whole(int fd, struct msghdr *msg, int flags);

/* The time that receives with a limit go by. No system call: vDSO. */
int64_t data_now_us(void);

#endif
