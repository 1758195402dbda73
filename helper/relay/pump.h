/* SPDX-License-Identifier: MIT */
/*
 * pump.h - moves a smux session's bytes between its carrier and the engine.
 *
 * Incoming: the carrier is read into the reactor's receive buffer, smux_session_feed parses it, and
 * the events are dispatched. Outgoing: once at the end of each turn, smux_session_output gathers
 * everything that the turn has queued, carrier_writev writes it, and smux_session_output_done
 * reports how much was taken. One timer serves the engine's deadline. Events of a stream go to its
 * sink, a table of functions found through the stream's user pointer; the pump does not know who
 * implements it.
 */
#ifndef HELPER_RELAY_PUMP_H
#define HELPER_RELAY_PUMP_H

#include "core/smux.h"
#include "helper/carrier/carrier.h"
#include "helper/net/reactor.h"

struct pump;
struct pump_sink;

struct pump_ops {
    /* The carrier has become ready. Not called if it was ready when pump_new returned. May be
     * NULL. */
    void (*ready)(struct pump *pump);
    /* The peer has opened a stream. The callee calls smux_stream_accept and relays it, or calls
     * smux_stream_reset. NULL in clients, where that is done for it. */
    void (*accepted)(struct pump *pump, smux_stream *stream);
    /* The peer's hello has arrived (core/PROTOCOL.md). May be NULL. */
    void (*hello)(struct pump *pump);
    /* The peer wants no more streams. May be NULL. */
    void (*goaway)(struct pump *pump);
    /* The last call: the session and the carrier have ended, every sink has had its reset, and the
     * pump frees itself at the end of this turn. `why` is a text for the log. */
    void (*closed)(struct pump *pump, int error, const char *why);
};

/* The events of a stream. */
struct pump_sink_ops {
    /* Bytes of the stream, from several frames if these arrived one after the other. They lie in
     * the reactor's receive buffer and are valid during the call; the callee may modify the array.
     * It must call smux_stream_consume for each byte once it has dealt with it. `urgent`: the last
     * byte is urgent data. */
    void (*data)(struct pump_sink *sink, struct iovec *iov, int count, bool urgent);
    /* The peer will send no more. */
    void (*eof)(struct pump_sink *sink);
    /* The peer has closed its reading side: it discards whatever is sent from now on. */
    void (*peer_closed)(struct pump_sink *sink);
    /* The stream was reset, or the session has failed. The callee must call pump_unbind. `error` is
     * a smux_error. */
    void (*reset)(struct pump_sink *sink, int error);
    /* The peer's window has opened: more can be sent. */
    void (*writable)(struct pump_sink *sink);
    /* The engine has returned a buffer that this sink lent. After the call the pump puts it back
     * into the pool, so the sink must not keep it. */
    void (*returned)(struct pump_sink *sink, struct buffer *buffer);
    /* The sink was parked, and may now lend buffers again. If it has nothing to lend, it must call
     * pump_unpark, so that the next parked sink gets its turn. */
    void (*may_borrow)(struct pump_sink *sink);
};

/* The receiver of a stream's events, embedded in the receiver's own structure. All fields but `ops`
 * are zero before the first use. */
struct pump_sink {
    const struct pump_sink_ops *ops;
    struct list_link bound;  /* in pump->sinks, from pump_bind to pump_unbind */
    struct list_link parked; /* in pump->parked, while it waits to lend another buffer */
};

/* The largest number of DATA events of one stream that are passed on in one call. */
#define PUMP_GATHER_MAX 16

/* Buffers that one session may have on loan, however many streams it has: the minimum is always
 * granted, the maximum never exceeded. Between the two, reactor.loans_max decides. */
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
    struct list sinks;       /* of all bound streams */
    struct list parked;      /* sinks that wait to lend a buffer, first come, first served */
    uint32_t loans;          /* buffers that the engine has on loan from the sinks */
    struct pump_sink *batch; /* the sink whose DATA events are in `gather`; NULL: none are */
    struct iovec gather[PUMP_GATHER_MAX]; /* in the reactor's receive buffer */
    int gather_count;
    struct receive_buffer *held; /* whose frames the next turn goes on with; NULL: none */
    struct keeper keeper;        /* the account of the bytes that this session's sinks keep */
    bool readable, writable;     /* the carrier has said so, and not returned EAGAIN since */
    bool ended;                  /* the carrier has reported EVENT_EOF */
    bool closing;                /* the session has ended; the carrier may still be ending */
    bool closed;                 /* ops->closed was called */
    bool kept_short;             /* the carrier's queues are (carrier_ops.keep_short) */
    uint64_t kept_short_us;      /* when keep_short was last called */
    bool failed;                 /* SMUX_EVENT_FAILED seen */
    /* The carrier's peer has closed it without giving a reason. (A close while data was unread
     * arrives as a reset.) */
    bool peer_closed;
    uint8_t first;                   /* the first byte that the peer sent */
    uint64_t since_us;               /* when the pump was made */
    char why[CARRIER_WHY_SIZE + 40]; /* the reason of the failure, for the log */
};

/* Makes a session on `carrier`, starts the carrier and takes it over. The session begins when the
 * carrier is ready, and fails if its handshake takes too long. On failure: NULL with errno set, and
 * the caller must close the carrier. */
struct pump *pump_new(struct reactor *reactor, struct carrier *carrier, enum smux_role role,
                      const smux_config *config, const struct pump_ops *ops, void *user);

/* Sends the stream's events to `sink`, until pump_unbind. */
void pump_bind(struct pump *pump, struct pump_sink *sink, smux_stream *stream);
/* Ends that: the sink gets no more events. The caller must still close or reset the stream. */
void pump_unbind(struct pump *pump, struct pump_sink *sink, smux_stream *stream);

/* Whether one more buffer may be lent. A session whose peer does not read keeps what it has on
 * loan, so the bound leaves buffers for other sessions. */
bool pump_may_borrow(const struct pump *pump);
/* Lends data[0..len), which lies in `buffer`, to the stream. ops->returned reports its return,
 * unless the caller has set buffer->owner to NULL. 0, or a negative smux_error: then the buffer
 * remains the caller's. */
int pump_lend(struct pump *pump, struct pump_sink *sink, smux_stream *stream, struct buffer *buffer,
              const uint8_t *data, size_t len);
/* Queues the sink for ops->may_borrow. Harmless if it is queued already. */
void pump_park(struct pump *pump, struct pump_sink *sink);
/* Calls ops->may_borrow of the sink that has waited longest, if a buffer may be lent. */
void pump_unpark(struct pump *pump);

/* Something was queued or consumed on the session: the pump runs at the end of the turn. Cheap. */
void pump_kick(struct pump *pump);

/* Ends the session: every stream fails, then ops->closed is called. With SMUX_ERR_CLOSED the
 * carrier still sends what was written to it before. Harmless when the session has ended. */
void pump_fail(struct pump *pump, int error, const char *why);

/* Does the same before it returns, including all callbacks and the carrier's close. Must not be
 * called from within a callback (pump_sink_ops, pump_ops). */
void pump_end(struct pump *pump, int error, const char *why);

/* Whether the peer has sent at least one smux frame. */
bool pump_has_heard(const struct pump *pump);

/* The number of streams alive, including those that still flush. */
uint32_t pump_streams(const struct pump *pump);

/* Writes until nothing is queued or the carrier would block; for a process that is about to
 * exit. */
void pump_flush(struct pump *pump);

#endif
