/* SPDX-License-Identifier: MIT */
/*
 * carrier_listener.h - accepts connections and hands them out as carriers.
 */
#ifndef HELPER_CARRIER_CARRIER_LISTENER_H
#define HELPER_CARRIER_CARRIER_LISTENER_H

#include <sys/socket.h>

#include "helper/carrier/carrier.h"

/* Who is at the other end of a carrier that was accepted. */
struct carrier_peer {
    struct sockaddr_storage addr;
    uid_t uid; /* of a unix socket's; (uid_t)-1: not known */
};

struct carrier_listener;

/* A carrier that was not started yet; the callee owns it. */
typedef void carrier_accepted(void *user, struct carrier *carrier, const struct carrier_peer *peer);

/* Accepts on a listening, non-blocking socket, `tcp` or unix, which it takes over. Pauses for a
 * moment when descriptors or memory have run out: the backlog waits in the kernel. NULL with errno
 * set (the fd is the caller's then). */
struct carrier_listener *carrier_listener_new(struct loop *loop, int fd, bool tcp,
                                              carrier_accepted *accepted, void *user);
/* Closes the socket; its memory goes at the end of the turn. */
void carrier_listener_close(struct carrier_listener *listener);

#endif
