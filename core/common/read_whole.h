/* SPDX-License-Identifier: MIT */
/* read_whole.h - reading a file to its end. */
#ifndef CORE_COMMON_READ_WHOLE_H
#define CORE_COMMON_READ_WHOLE_H

#include <sys/types.h>

/* Reads until the end or until `size` bytes are there. Returns their number or a negative errno. */
ssize_t read_whole(int fd, char *out, size_t size);

#endif
