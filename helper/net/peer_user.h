/* SPDX-License-Identifier: MIT */
/*
 * peer_user.h - whose the other end of a TCP connection within this machine is.
 *
 * The kernel tells for a unix socket (SO_PEERCRED), and for TCP whoever asks for the socket by its
 * addresses (sock_diag(7)): one request and one answer, whatever the number of sockets.
 */
#ifndef HELPER_NET_PEER_USER_H
#define HELPER_NET_PEER_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/common/endpoint.h"

/* Opens the socket to ask by. To be called before the sandbox is entered, which keeps from it.
 * Returns a descriptor or a negative errno. */
int peer_user_open(void);

/* The user of the socket whose own address is `peer`, and whose peer's is `own`. False if there is
 * none any more, or if no process has it open, or if it is of another network namespace. `fd` as
 * from peer_user_open, or negative: false. */
bool peer_user_find(int fd, const struct endpoint *peer, const struct endpoint *own, uid_t *uid);

#endif
