/* SPDX-License-Identifier: MIT */
/*
 * listen.h - listening sockets.
 */
#ifndef HELPER_NET_LISTEN_H
#define HELPER_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/common/config.h"

/* Opens a non-blocking listening socket at a carrier address. A unix socket file left behind by a
 * process that has ended is replaced; one in use is not. TCP hosts may be names (resolved,
 * blocking); `share` sets SO_REUSEPORT. Returns the fd, or a negative errno and in *why (static)
 * what failed. One that was passed for that address (passed_sockets.h) is used as it is. */
int listen_open(const struct config_address *address, bool share, uint32_t unix_mode,
                const char **why);

/* The same for a unix socket address: path or abstract. The mode of a path that was passed stays as
 * it is. */
int listen_open_unix(const struct sockaddr *addr, socklen_t len, uint32_t mode, const char **why);

/* Writes where the socket listens, as a URL of that scheme (with the port that the kernel chose).
 * Returns `out`. */
char *listen_text(int fd, enum config_scheme scheme, char *out, size_t size);

/* The port, in host order; 0 if it is not TCP. */
uint16_t listen_port(int fd);

#endif
