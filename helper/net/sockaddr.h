/* SPDX-License-Identifier: MIT */
/*
 * sockaddr.h - configured addresses as the kernel takes them, and connects to them.
 */
#ifndef HELPER_NET_SOCKADDR_H
#define HELPER_NET_SOCKADDR_H

#include <stdbool.h>
#include <sys/socket.h>

struct config_address; /* core/common/config.h */

/* Fills *addr if the address needs no name resolution: an IP literal or a unix path. Otherwise, or
 * if the path does not fit, returns false. */
bool sockaddr_literal(const struct config_address *address, struct sockaddr_storage *addr,
                      socklen_t *len);

/* Starts a non-blocking connect. Returns the fd (connected or in progress), or a negative errno.
 * `reset_on_close`: a close resets the connection, whoever closes, also the kernel for a killed
 * process (SO_LINGER {1, 0}, set before there is a connection). */
int sockaddr_connect_start(const struct sockaddr_storage *addr, socklen_t len, bool reset_on_close);

#endif
