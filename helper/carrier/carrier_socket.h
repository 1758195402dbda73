/* SPDX-License-Identifier: MIT */
/*
 * carrier_socket.h - carriers that are connected sockets: TCP and unix.
 */
#ifndef HELPER_CARRIER_CARRIER_SOCKET_H
#define HELPER_CARRIER_CARRIER_SOCKET_H

#include "helper/carrier/carrier.h"

struct carrier_socket {
    struct carrier carrier;
    struct loop_watch watch; /* once it has been started */
    int fd;
};

/* Makes a carrier of a connected socket, which it takes over. Sets O_NONBLOCK and, if `tcp`,
 * when it starts, NODELAY, keepalive and TCP_USER_TIMEOUT, so that a peer that vanished is noticed
 * also while data is unacknowledged. NULL with errno set (the fd is the caller's then). */
struct carrier *carrier_new_socket(struct loop *loop, int fd, bool tcp, const char *peer);

/* Two carriers that are each other's peers, within this process. 0 or a negative errno. */
int carrier_new_pair(struct loop *loop, const char *peer, struct carrier *pair[2]);

/* Unacknowledged data for this long means that the peer is gone. */
#define CARRIER_USER_TIMEOUT_MS 30000

/* Bytes that the kernel may hold without having sent them. What is queued in the engine instead can
 * be overtaken by other streams' small messages; less than this costs throughput on loopback. */
#define CARRIER_NOTSENT_MAX (512 * 1024)

#endif
