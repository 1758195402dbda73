/* SPDX-License-Identifier: MIT */
/* iov.h - arrays of pieces for readv(2) and writev(2). */
#ifndef HELPER_NET_IOV_H
#define HELPER_NET_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The number of bytes in all pieces. */
static inline size_t iov_total(const struct iovec *iov, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

/* What is left of an array. */
struct iov_cursor {
    const struct iovec *iov;
    size_t off; /* in its first piece */
};

/* Takes at most `max` bytes, all of the same piece; returns how many, and where they are. There
 * must be any left. */
static inline size_t iov_take(struct iov_cursor *cursor, size_t max, const uint8_t **data) {
    size_t n = cursor->iov->iov_len - cursor->off;
    *data = (const uint8_t *)cursor->iov->iov_base + cursor->off;
    if (n > max) {
        cursor->off += max;
        return max;
    }
    cursor->iov++;
    cursor->off = 0;
    return n;
}

#endif
