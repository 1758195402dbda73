/* SPDX-License-Identifier: MIT */
/*
 * acceptor.h - accepting connections on a listening socket.
 *
 * When there are no descriptors or no memory for another connection, accepting pauses for a moment:
 * waiting connections stay in the kernel's backlog, and the loop does not spin.
 */
#ifndef HELPER_NET_ACCEPTOR_H
#define HELPER_NET_ACCEPTOR_H

#include <sys/socket.h>

#include "core/common/list.h"
#include "helper/net/loop.h"

#define ACCEPTOR_PAUSE_US 100000u

struct acceptor;

struct acceptor_ops {
    /* A connection has been accepted. `fd` is non-blocking and close-on-exec, and belongs to the
     * callee. `addr` is the peer's address, as accept(2) gives it. */
    void (*accepted)(struct acceptor *acceptor, int fd, const struct sockaddr_storage *addr,
                     socklen_t len);
    /* Accepting has failed for want of descriptors or memory, and pauses. `error` is a negative
     * errno. May be NULL. */
    void (*starved)(struct acceptor *acceptor, int error);
    /* False: no more connections now; accepting pauses. NULL: always true. */
    bool (*may_accept)(struct acceptor *acceptor);
    /* A pause is over. May be NULL. */
    void (*resumed)(struct acceptor *acceptor);
};

struct acceptor {
    struct loop *loop;
    struct loop_watch watch; /* open while it listens */
    struct loop_timer pause;
    struct list_link link; /* among those of this process that listen */
    const struct acceptor_ops *ops;
    unsigned per_turn; /* connections accepted in one turn, so that many leave time for data */
};

/* Begins to accept on a listening, non-blocking socket, which it takes over. 0, or a negative
 * errno: the descriptor then stays the caller's. */
int acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd, unsigned per_turn,
                   const struct acceptor_ops *ops);

/* Accepts nothing for ACCEPTOR_PAUSE_US. Harmless when it does not listen. */
void acceptor_pause(struct acceptor *acceptor);

/* Stops, and closes the socket. Harmless when it does not listen. May be called from its ops; the
 * memory may go at the end of the turn. */
void acceptor_stop(struct acceptor *acceptor);

/* The descriptors of all that listen in this process, for a successor of it (successor.h); the
 * first `max` of them. Returns their number. */
int acceptor_descriptors(int *out, int max);

/* Stops without closing, and returns the socket, which is the caller's again. -1 when it does not
 * listen. */
int acceptor_release(struct acceptor *acceptor);

#endif
