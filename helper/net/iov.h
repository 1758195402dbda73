/* SPDX-License-Identifier: MIT */
/* iov.h - arrays of pieces for readv(2) and writev(2). */
#ifndef HELPER_NET_IOV_H
#define HELPER_NET_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* The number of bytes in all pieces. */
static inline size_t iov_total(const struct iovec *iov, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

#endif
