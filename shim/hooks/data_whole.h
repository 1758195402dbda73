/* SPDX-License-Identifier: MIT */
/*
 * data_whole.h - receiving a certain number of bytes.
 *
 * With MSG_WAITALL or SO_RCVLOWAT a receive may wait several times. On AF_UNIX, a call that meets a
 * pending reset after it has copied some bytes returns these and drops the reset. So here several
 * receives are made, none of which waits for more than is available, and a reset that ends the last
 * one is put back (pending_reset.h). Also, AF_UNIX would not wait at all with MSG_PEEK, and with
 * MSG_TRUNC it would write into a buffer that TCP leaves alone.
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

/* How many of `len` bytes a receive that cannot be split (splice) may ask for without dropping a
 * pending reset. No system call unless SO_RCVLOWAT was set. */
size_t data_at_most(int fd, size_t len);

/* recvmsg(2) on a descriptor of ours, with flags that do not include MSG_OOB or MSG_ERRQUEUE.
 * Addresses are left as the kernel gives them. One system call if all bytes are there at once and
 * SO_RCVLOWAT is not set. */
ssize_t shim_receive_whole(int fd, struct msghdr *msg, int flags);

/* The clock of receives with a time limit, in microseconds. No system call (vDSO). */
int64_t data_now_us(void);

#endif
