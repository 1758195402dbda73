/* SPDX-License-Identifier: MIT */
/* pass_descriptor.h - handing a descriptor to another process, and getting one. */
#ifndef HELPER_NET_PASS_DESCRIPTOR_H
#define HELPER_NET_PASS_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Sends `len` bytes, at least one, over a unix socket, and `fd` with them (SCM_RIGHTS); `fd` stays
 * open. `flags` as send(2) has them. False if it failed, with errno
 * set, or if fewer bytes went. */
bool pass_descriptor(int socket, const void *data, size_t len, int fd, int flags);

/* Receives up to `len` bytes as recv(2) does, with errno. If one descriptor came with them, sets
 * *fd to it: it is the caller's, and close-on-exec. Otherwise *fd stays as it is. */
ssize_t receive_descriptor(int socket, void *data, size_t len, int *fd);

#endif
