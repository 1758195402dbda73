/* SPDX-License-Identifier: MIT */
/*
 * connects.h - trapped connects: those in progress, each of which waits for its outcome.
 *
 * A connect that is not routed is let go at once. For a routed one the socket is swapped as in the
 * preloaded library (shim/socket/swap.h), but on a copy of the program's descriptor. A non-blocking
 * connect is then answered; a blocking one waits, without a thread, for its socket to become
 * writable. The socket goes to its place in the program at once, so that a connect that is left for
 * a signal handler goes on, and is found by the call that follows.
 *
 * For the supervisor's one thread. Each connect in progress holds one descriptor; with none left a
 * connect fails with EMFILE.
 */
#ifndef SHIM_TRAP_CONNECTS_H
#define SHIM_TRAP_CONNECTS_H

#include <stddef.h>
#include <stdint.h>

#include "shim/trap/call.h"
#include "shim/trap/helper_start.h"

struct waiting;

struct connects {
    int epoll;                /* has their sockets; data.ptr is the `struct waiting` */
    struct waiting **waiting; /* n of them, in no order */
    size_t n, room;
    int64_t look_ms; /* when to call connects_look; INT64_MAX: not */
    struct helper_start start;
};

/* Milliseconds of the monotonic clock. */
int64_t connects_now_ms(void);

/* A trapped connect, and a trapped shutdown. */
void connects_connect(struct connects *connects, const struct trap_call *call);
void connects_shutdown(struct connects *connects, const struct trap_call *call);

/* The socket of a connect in progress has become writable or has hung up. */
void connects_ready(struct connects *connects, struct waiting *waiting);

/* Ends connects whose time is over or whose call has vanished, and tries again where the helper's
 * backlog was full. To be called at `look_ms`. */
void connects_look(struct connects *connects);

/* The attempt to start a helper has ended: goes on with the connects that waited for it. */
void connects_helper_started(struct connects *connects);

#endif
