/* SPDX-License-Identifier: MIT */
/*
 * carrier_listener.h - accepts connections and hands them out as carriers.
 */
#ifndef HELPER_CARRIER_CARRIER_LISTENER_H
#define HELPER_CARRIER_CARRIER_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>

#include "helper/carrier/carrier_scheme.h"
#include "helper/carrier/handshakes.h"
#include "helper/net/networks.h"

/* Who is at the other end of a carrier that was accepted. */
struct carrier_peer {
    struct sockaddr_storage addr;
    uid_t uid;         /* of a unix socket's; (uid_t)-1: not known */
    uint64_t since_us; /* when it was accepted, by the loop's clock */
};

struct carrier_listener;

/* A carrier that was not started yet; the callee owns it. */
typedef void carrier_accepted(void *user, struct carrier *carrier, const struct carrier_peer *peer);

/* Accepts carriers of that scheme on a listening, non-blocking socket, which it takes over. `layer`
 * is for schemes that have one; it stays the caller's and must outlive the listener. Pauses for a
 * moment when descriptors or memory have run out: the backlog waits in the kernel. NULL with errno
 * set (the socket is the caller's then). */
struct carrier_listener *carrier_listener_new(struct loop *loop, int fd, enum config_scheme scheme,
                                              const struct carrier_layer *layer,
                                              carrier_accepted *accepted, void *user);
/* Who comes from these networks is a proxy: it says first for whom it is (proxy_protocol.h), within
 * that time if it is less than PROXY_GATE_US, and that is the carrier's peer. From nobody else that
 * is taken. Meanwhile it counts as a handshake. Both stay the caller's and must outlive the
 * listener. */
void carrier_listener_accept_proxy(struct carrier_listener *listener,
                                   const struct networks *networks, struct handshakes *handshakes,
                                   uint64_t within_us);
/* Accepts nothing more and closes the socket. Those that have yet to say for whom they are still
 * may. */
void carrier_listener_stop(struct carrier_listener *listener);
/* Whether some still may. */
bool carrier_listener_is_busy(const struct carrier_listener *listener);
/* Closes the socket; the listener's memory is freed at the end of the turn. */
void carrier_listener_close(struct carrier_listener *listener);

#endif
