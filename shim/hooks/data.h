/* SPDX-License-Identifier: MIT */
/*
 * data.h - the calls that move data, with TCP's errors in place of AF_UNIX's.
 *
 * Receiving calls libc first and looks closer only at ECONNRESET (which may stand for the errno of
 * a failed connect), at the end of file of what was ours (which another thread may have given up),
 * at source addresses of family AF_UNIX, and before flags such as MSG_WAITALL. Sending is different
 * because of SIGPIPE, which cannot be taken back: where the hint says that the descriptor is ours,
 * the call is made with MSG_NOSIGNAL, and made again without if TCP would have sent the signal,
 * too. sendfile and splice have no such flag: there the hang-up is looked for before (one system
 * call for ours). After a send that was cut short it is looked for, too: the kernel may have told
 * that call of a reset (pending_reset.h).
 */
#ifndef SHIM_HOOKS_DATA_H
#define SHIM_HOOKS_DATA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

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

/* Is it a connection of ours that failed to be made, of which connect has told? A system call if
 * this process knows it as ours and connect has nothing left to tell. */
bool shim_is_disconnected(int fd);

#endif
