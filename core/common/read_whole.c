/* SPDX-License-Identifier: MIT */
/* read_whole.c - see read_whole.h. */
#include "core/common/read_whole.h"

#include <errno.h>
#include <unistd.h>

ssize_t read_whole(int fd, char *out, size_t size) {
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, out + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}
