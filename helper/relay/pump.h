/* SPDX-License-Identifier: MIT */
/*
 * pump.h - moves a smux session's bytes between its carrier and the engine.
 *
 * Read into the reactor's big buffer, smux_session_feed, hand out the events; smux_session_output,
 * writev, smux_session_output_done, once at the end of each turn for all that the turn queued; one
 * timer for the engine's deadline. What happens on a stream is told to its sink, a table of
 * functions that the stream's user pointer leads to; the pump does not know who stands behind it.
 */
#ifndef HELPER_RELAY_PUMP_H
#define HELPER_RELAY_PUMP_H

#include "core/smux.h"
#include "helper/carrier/carrier.h"
#include "helper/net/reactor.h"

struct pump;
struct pump_sink;

struct pump_ops {
    /* The carrier, which was not so when pump_new returned, is ready. May be NULL. */
    void (*ready)(struct pump *pump);
    /* The peer opened a stream: smux_stream_accept it and make a relay of it, or smux_stream_reset
     * it. NULL in clients. */
    void (*accepted)(struct pump *pump, smux_stream *stream);
    /* The peer has said hello. May be NULL. */
    void (*hello)(struct pump *pump);
    /* The peer wants no more streams. May be NULL. */
    void (*goaway)(struct pump *pump);
    /* The last call: the session and the carrier have ended, every sink has been told, and the pump
     * frees itself at the end of this turn. `why` is a text for the log. */
    void (*closed)(struct pump *pump, int error, const char *why);
};

/* What a stream's user is told. */
struct pump_sink_ops {
    /* Bytes of the stream, from several frames if they came one behind the other. They lie in the
     * reactor's receive buffer and are valid during the call; the array may be changed. Each byte
     * is to be smux_stream_consumed when it has been dealt with. `urgent`: the last one is. */
    void (*data)(struct pump_sink *sink, struct iovec *iov, int count, bool urgent);
    /* The peer will send no more. */
    void (*eof)(struct pump_sink *sink);
    /* The peer reads nothing that is sent from now on. */
    void (*peer_closed)(struct pump_sink *sink);
    /* The stream was reset, or the session has failed: pump_unbind it. `error` is a smux_error. */
    void (*reset)(struct pump_sink *sink, int error);
    /* The peer's window lets something out again. */
    void (*writable)(struct pump_sink *sink);
    /* A buffer that it lent is back. It must not be kept: the pump puts it into the pool. */
    void (*returned)(struct pump_sink *sink, struct buffer *buffer);
    /* It was parked, and may borrow buffers now. If it has no use for them, it must pump_unpark the
     * next one. */
    void (*may_borrow)(struct pump_sink *sink);
};

/* A stream's user, embedded in a structure of its own. Zeroed but for `ops` before the first use.
 */
struct pump_sink {
    const struct pump_sink_ops *ops;
    struct list_link bound;  /* in pump->sinks, from pump_bind to pump_unbind */
    struct list_link parked; /* in pump->parked, while it may borrow no more */
};

/* DATA events of one stream that are handed over together. */
#define PUMP_GATHER_MAX 16

/* Buffers of one session on loan: so many it may always have, and never more than that, whatever it
 * has streams. In between reactor.loans_max decides. */
#define PUMP_LOANS_MIN 16
#define PUMP_LOANS_MAX 1024

struct pump {
    struct reactor *reactor;
    struct carrier *carrier;
    smux_session *session;
    const struct pump_ops *ops;
    void *user; /* the owner's */
    struct loop_timer timer;
    struct loop_task task;
    struct loop_garbage garbage;
    struct list sinks;                    /* of all streams that have one */
    struct list parked;                   /* who waits for buffers, in the order of their coming */
    uint32_t loans;                       /* buffers that the engine has of them */
    struct pump_sink *batch;              /* whose DATA is gathered, and not yet handed over */
    struct iovec gather[PUMP_GATHER_MAX]; /* in the reactor's receive buffer */
    int gather_count;
    struct receive_buffer *held; /* what was read, and not all of it worked off; NULL: nothing is */
    struct keeper keeper;        /* what the sinks keep of what they were given */
    bool readable, writable;     /* as far as the carrier has told */
    bool ended;                  /* no more bytes will come in than are there */
    bool closing;                /* the session has ended; the carrier may still be doing so */
    bool closed;                 /* ops->closed was called */
    bool kept_short;             /* the carrier's queues, */
    uint64_t kept_short_us;      /* and when that was looked at */
    bool failed;                 /* SMUX_EVENT_FAILED seen */
    bool peer_closed;            /* the carrier's peer has closed it and given no reason. (A close
                                    with data unread is a reset.) */
    uint8_t first;               /* byte that the peer has sent */
    uint64_t since_us;           /* when it was made */
    char why[CARRIER_WHY_SIZE + 40]; /* of the failure */
};

/* Makes a session on `carrier`, which it starts and takes over. The session begins when the
 * carrier is ready, and fails if that is not so in time. NULL with errno set; then the carrier is
 * the caller's to close. */
struct pump *pump_new(struct reactor *reactor, struct carrier *carrier, enum smux_role role,
                      const smux_config *config, const struct pump_ops *ops, void *user);

/* Makes `sink` the stream's user, until the stream is given up. */
void pump_bind(struct pump *pump, struct pump_sink *sink, smux_stream *stream);
/* It is told nothing more of it; the stream is still to be closed or reset. */
void pump_unbind(struct pump *pump, struct pump_sink *sink, smux_stream *stream);

/* May one more buffer be lent? A session whose peer reads nothing keeps what it has borrowed: the
 * others must have some too. */
bool pump_may_borrow(const struct pump *pump);
/* Lends buffer->data to the stream from `data` on; ops->returned tells when it comes back, unless
 * buffer->owner has been set to NULL. 0 or a negative smux_error, and then the buffer is the
 * caller's still. */
int pump_lend(struct pump *pump, struct pump_sink *sink, smux_stream *stream, struct buffer *buffer,
              const uint8_t *data, size_t len);
/* It waits until it may borrow; and whoever has waited for longest has its turn, perhaps. */
void pump_park(struct pump *pump, struct pump_sink *sink);
void pump_unpark(struct pump *pump);

/* Something was queued or consumed on the session: work it off at the end of the turn. Cheap. */
void pump_kick(struct pump *pump);

/* Ends the session: every stream fails, then ops->closed. With SMUX_ERR_CLOSED the carrier passes
 * on what was written to it before. Harmless when it has ended. */
void pump_fail(struct pump *pump, int error, const char *why);

/* The same at once, events and the carrier's end included. Not from within an event (pump_sink_ops,
 * pump_ops). */
void pump_end(struct pump *pump, int error, const char *why);

/* Has the peer sent anything that is smux? */
bool pump_has_heard(const struct pump *pump);

/* Number of streams alive, those still flushing included. */
uint32_t pump_streams(const struct pump *pump);

/* Writes what is queued until nothing is left or the carrier would block; for the last words of a
 * process. */
void pump_flush(struct pump *pump);

#endif
