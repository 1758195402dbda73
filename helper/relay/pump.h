/* SPDX-License-Identifier: MIT */
/*
 * pump.h - moves a smux session's bytes between its carrier and the engine.
 *
 * Read into the reactor's big buffer, smux_session_feed, hand out the events; smux_session_output,
 * writev, smux_session_output_done, once at the end of each turn for all that the turn queued; one
 * timer for the engine's deadline. Stream events go to the stream's relay, which is the stream's
 * user pointer.
 */
#ifndef HELPER_RELAY_PUMP_H
#define HELPER_RELAY_PUMP_H

#include "core/smux.h"
#include "helper/carrier/carrier.h"
#include "helper/net/reactor.h"

struct pump;
struct relay;

struct pump_ops {
    /* The peer opened a stream: smux_stream_accept it and make a relay of it, or smux_stream_reset
     * it. NULL in clients. */
    void (*accepted)(struct pump *pump, smux_stream *stream);
    /* The peer has said hello. May be NULL. */
    void (*hello)(struct pump *pump);
    /* The peer wants no more streams. May be NULL. */
    void (*goaway)(struct pump *pump);
    /* The last call: the session has ended, every relay has been told, and the pump frees itself at
     * the end of this turn. `why` is a text for the log. */
    void (*closed)(struct pump *pump, int error, const char *why);
};

/* DATA events of one stream that are written together. */
#define PUMP_GATHER_MAX 16

struct pump {
    struct reactor *reactor;
    struct carrier *carrier;
    smux_session *session;
    const struct pump_ops *ops;
    void *user; /* the owner's */
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_task task;
    struct loop_garbage garbage;
    struct relay *relays; /* of all streams that have one */
    struct relay *parked,
        **parked_end;    /* those that wait for buffers, in the order of their coming */
    uint32_t loans;      /* buffers that the engine has of them */
    struct relay *batch; /* whose DATA is gathered below and not yet written */
    struct iovec gather[PUMP_GATHER_MAX]; /* in the reactor's receive buffer */
    int gather_count;
    struct receive_buffer *held; /* what was read, and not all of it worked off; NULL: nothing is */
    struct keeper keeper;        /* what the relays keep for their sockets */
    bool readable, writable, ended, closing;
    bool kept_short;         /* the carrier's queues, */
    uint64_t kept_short_us;  /* and when that was looked at */
    bool failed;             /* SMUX_EVENT_FAILED seen */
    uint64_t since_us;       /* when it was made */
    uint64_t half_closed_us; /* how long a relay whose peer cannot say that it has closed in both
                                directions waits for a silent socket; 0: for ever */
    char why[160];           /* of the failure */
};

/* Makes a session on `carrier`, which it takes over together with the descriptor. NULL with errno
 * set; then both stay the caller's. */
struct pump *pump_new(struct reactor *reactor, struct carrier *carrier, enum smux_role role,
                      const smux_config *config, const struct pump_ops *ops, void *user);

/* Something was queued or consumed on the session: work it off at the end of the turn. Cheap. */
void pump_kick(struct pump *pump);

/* Ends the session: every stream fails, then ops->closed. Harmless when it has ended. */
void pump_fail(struct pump *pump, int error, const char *why);

/* The same at once, events included. Not from within an event (relay_ops, pump_ops). */
void pump_end(struct pump *pump, int error, const char *why);

/* Has the peer sent anything that is smux? */
bool pump_has_heard(const struct pump *pump);

/* Number of streams alive, those still flushing included. */
uint32_t pump_streams(const struct pump *pump);

/* Writes what is queued until nothing is left or the carrier would block; for the last words of a
 * process. */
void pump_flush(struct pump *pump);

#endif
