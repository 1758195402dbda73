/* SPDX-License-Identifier: MIT */
/*
 * data.h - the calls that send and receive, with TCP's errors in place of AF_UNIX's.
 *
 * A receive calls libc first and does more in few cases: after ECONNRESET (which may stand for the
 * errno of a failed connect), at an end of file of a connection of ours (which another thread may
 * have disconnected), for a source address of family AF_UNIX, and beforehand with flags such as
 * MSG_WAITALL. Sending is different, because SIGPIPE cannot be undone: if the hint says that the
 * descriptor is ours, the call is made with MSG_NOSIGNAL, and repeated without it if TCP would send
 * the signal. sendfile and splice have no such flag, so a hang-up is checked for first (one system
 * call on a connection of ours). It is also checked for after a short send, because the kernel may
 * have spent a reset on that call (pending_reset.h).
 */
#ifndef SHIM_HOOKS_DATA_H
#define SHIM_HOOKS_DATA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "shim/base/libc.h"
#include "shim/hooks/hooks.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8 /* linux/fs.h */
#endif

static inline size_t iov_bytes(const struct iovec *iov, size_t n_iov) {
    size_t total = 0;
    for (size_t i = 0; i < n_iov; i++)
        total += iov[i].iov_len;
    return total;
}

/* preadv2 or pwritev2. A libc may lack one of its two names or, if it is old, both; then the
 * program made the call by number. */
struct vector_call {
    ssize_t (*named64)(int fd, const struct iovec *iov, int n_iov, int64_t offset, int flags);
    ssize_t (*named)(int fd, const struct iovec *iov, int n_iov, off_t offset, int flags);
    long number;
};

static inline ssize_t call_vectors(struct vector_call call, int fd, const struct iovec *iov,
                                   int n_iov, int64_t offset, int flags) {
    if (call.named64)
        return call.named64(fd, iov, n_iov, offset, flags);
    if (call.named)
        return call.named(fd, iov, n_iov, (off_t)offset, flags);
    return real.syscall(call.number, fd, iov, n_iov, (long)offset, (long)(offset >> 32), flags);
}

/* Is it one of ours whose connect has failed and has reported so? A system call only if the hint
 * says that it is ours and that no outcome remains to be reported. */
bool shim_is_disconnected(int fd);

#endif
