/* SPDX-License-Identifier: MIT */
/*
 * relay.h - the one relay: a smux stream on one side, a connected socket on the other.
 *
 * Both programs use it. What differs between a plain TCP socket and the helper's end of an
 * application's connection (the residue: core/common/CONTROL.md) is a table of functions, struct
 * relay_end.
 *
 *   socket -> stream   The socket is read into pooled buffers that are lent to the engine. At most
 *                      RELAY_LOAN_MAX bytes are on loan; then reading pauses until some come back.
 *   stream -> socket   DATA events are gathered and written straight from the receive buffer. What
 *                      the socket does not take is kept (the stream's receive window bounds it) and
 *                      counts as consumed only when it has been written: a slow reader stops only
 *                      its own stream.
 *
 * Each direction ends by itself (half-close); a reset ends both. A relay belongs to one thread.
 *
 * Errors are negative here, as in all of the helper: a negative errno or a smux_error. Where either
 * may come, enum relay_reason tells which. Positive errnos exist only in `errno` and SO_ERROR, and
 * on the wire (socks5.h).
 */
#ifndef HELPER_RELAY_RELAY_H
#define HELPER_RELAY_RELAY_H

#include "core/smux.h"
#include "helper/metrics/metrics.h"
#include "helper/net/events.h"
#include "helper/net/rate.h"
#include "helper/net/reactor.h"
#include "helper/net/state_table.h"
#include "helper/relay/kept_queue.h"
#include "helper/relay/pump.h"

/* The most bytes that one stream has on loan to the engine: as much as one write to the carrier
 * takes, so that a single stream can fill it. Once RELAY_BUFFERS_PLENTY buffers are in use, each
 * stream may have only one. */
#define RELAY_LOAN_MAX       (4u * BUFFER_SIZE)
#define RELAY_BUFFERS_PLENTY 2048

/* From this number of buffers of a session on loan, no more is read than can go out at once. */
#define RELAY_SESSION_LOANS_EASY 64

/* Reads up to this size are copied into the engine, which is cheaper than a loan. */
#define RELAY_COPY_MAX 4096u

/* A relay's states. The table in relay_state.c says what a relay has in each, and which may follow
 * which. */
enum relay_state {
    RELAY_IDLE,      /* no stream, no socket: before the first stream, and between two */
    RELAY_HEAD,      /* a stream, with the handshake under way */
    RELAY_WAITING,   /* a stream whose handshake is over; no socket yet */
    RELAY_OPEN_HEAD, /* both, with the handshake under way: data may precede its answer */
    RELAY_OPEN,      /* both */
    RELAY_ORPHANED,  /* the stream was reset; its data is kept for a socket to come */
    RELAY_LEAVING,   /* the stream was reset; the socket gets the kept data, then its reset */
    RELAY_FAILING,   /* the socket is gone; the stream sends its queued data, then its reset */
    RELAY_OVER       /* ended was called */
};

/* The directions, while there is a socket. */
enum relay_in { RELAY_IN_OPEN, RELAY_IN_SHUT };
enum relay_out { RELAY_OUT_OPEN, RELAY_OUT_DRAINING, RELAY_OUT_SHUT };

enum relay_reason {
    RELAY_DONE,         /* both directions ended in order */
    RELAY_STREAM_RESET, /* by the far end or with the session; error is a smux_error */
    RELAY_SOCKET_RESET, /* error is the socket's, a negative errno */
    RELAY_GIVEN_UP      /* relay_abort, or memory is short; error is a negative errno */
};

struct relay;

struct relay_ops {
    /* Bytes from the stream during the handshake (relay_expect_head). Returns how many it took. If
     * these are fewer than all, it must have called relay_head_over. */
    size_t (*head)(struct relay *relay, const uint8_t *data, size_t len);
    /* The stream was reset before the handshake was over and a socket attached; error is a
     * smux_error. True: the relay continues without a stream, and its owner binds another one;
     * false: it ends. May be NULL. */
    bool (*lost)(struct relay *relay, int error);
    /* The stream has been given up and the socket closed; this is the last call. error is 0 or
     * negative. The owner discards the memory at the end of the turn. */
    void (*ended)(struct relay *relay, enum relay_reason reason, int error);
};

/* A kind of socket. */
struct relay_end {
    /* Moves up to max bytes into the stream (relay_submit). Returns their number, 0 at the end of
     * file, or a negative errno (-EAGAIN: nothing until the next edge). */
    ssize_t (*read)(struct relay *relay, size_t max);
    /* Passes the stream's FIN on to the socket. `closing`: the socket is about to be closed, which
     * sends FIN by itself. */
    void (*shut)(struct relay *relay, bool closing);
    /* Prepares the socket so that closing it sends a reset. */
    void (*reset)(struct relay *relay);
    uint32_t mask;           /* EPOLL flags watched from the start */
    bool out_on_demand;      /* watch EPOLLOUT only while blocked: unix sockets report each read */
    bool reader_may_be_deaf; /* EPIPE without HUP is the application's SHUT_RD */
    bool is_unix;            /* EPOLLHUP says that the other end is closed, and a reset leaves what
                                was written before to be read */
    bool closes_with_peer;   /* closed when the stream's peer has closed in both directions */
};

/* A connection to the far destination, which sends a reset when it is closed unless it has been
 * shut (sockaddr_connect_start). */
extern const struct relay_end relay_end_tcp;
/* The helper's end of an application's connection. */
extern const struct relay_end relay_end_app;
/* A local client's connection by a unix socket, without the shim. Its residue is the last byte that
 * it has sent. So a client that has sent nothing yet cannot be told a reset from an end of file. */
extern const struct relay_end relay_end_local;

/* Limits on the bytes per second that pass through a relay, which it shares with other relays.
 * Embedded in a structure of the owner's. */
struct relay_limit {
    struct relay *relay;
    struct rate_user from_socket, to_socket;
};

struct relay {
    struct reactor *reactor;
    struct pump *pump;     /* NULL while there is no stream */
    smux_stream *stream;   /* NULL while there is none */
    struct pump_sink sink; /* of the stream's events */
    const struct relay_ops *ops;
    const struct relay_end *end; /* NULL until attached */
    struct loop_watch watch;
    struct loop_task task;
    struct loop_timer timer;       /* of a pending reset, or of a half-closed relay */
    struct loop_timer ahead_timer; /* consumes `ahead` when no message has arrived for a while */
    uint64_t ahead_us;             /* when bytes were last left unread, or consumed by that timer */
    struct kept_queue kept;        /* bytes that the socket has not taken yet */
    struct list loans;             /* buffers of this relay that the engine has on loan */
    size_t loan_len;               /* bytes in them */
    /* After the stream's end of file, if the peer cannot report that it has closed: how long the
     * socket may be silent before it is closed. 0: for ever. */
    uint64_t half_closed_us;
    uint32_t ahead; /* bytes that have been forwarded but are still unread (relay_end_app) */
    int error;      /* ends the relay behind the data: a negative errno or smux_error; 0: none */
    uint8_t early;  /* enum event_flag: events that arrived before relay_attach */
    uint8_t state;  /* enum relay_state */
    uint8_t in;     /* enum relay_in */
    uint8_t out;    /* enum relay_out */
    uint8_t in_few, out_few;   /* how often in a row only a few bytes passed (reactor_note) */
    bool readable;             /* EPOLLIN was reported, and no EAGAIN since */
    bool blocked;              /* the last write was short: wait for EPOLLOUT */
    bool socket_eof;           /* EPOLLRDHUP: nothing arrives after the bytes in the socket */
    bool socket_hup;           /* EPOLLHUP: the other end is gone */
    uint8_t ahead_messages;    /* how many reads `ahead` consists of */
    uint8_t ahead_eager;       /* how many further messages are to be consumed at once */
    bool unanswered;           /* nothing has been written to the socket since the last read */
    bool relieved;             /* ahead_timer has consumed `ahead` since the last read */
    uid_t uid;                 /* of the local user, if `untrusted` */
    bool peeks;                /* SO_PEEK_OFF is set, and equals `ahead` */
    bool urgent;               /* EPOLLPRI: urgent data may be queued, which ends reads early */
    bool roomy;                /* the socket's buffers and options have been set for bulk data */
    bool linger_reset;         /* the application's close must arrive as a reset */
    bool bulk;                 /* the last read was large */
    bool discard;              /* writing has failed: bytes for the socket are dropped */
    bool untrusted;            /* the other end belongs to a local user: see stranger.h */
    bool peer_closed;          /* the stream's peer has closed its reading side */
    struct relay_limit *limit; /* NULL: relay_limit was never called */
    uint64_t from_socket, to_socket; /* bytes that have passed, in each direction */
    uint64_t *count_from, *count_to; /* the same in the metrics (relay_count.h) */
    uint64_t moved;                  /* bytes from the socket when half_closed_us last began */
};

/* Initialises a relay without stream and socket. */
void relay_init(struct relay *relay, struct reactor *reactor, const struct relay_ops *ops);

/* Binds the relay to a stream, which it owns from then on. */
void relay_bind(struct relay *relay, struct pump *pump, smux_stream *stream);

/* From relay_expect_head to relay_head_over, bytes from the stream go to ops->head. */
void relay_expect_head(struct relay *relay);
void relay_head_over(struct relay *relay);

/* Sends bytes of the handshake, a short message, on the stream. 0 or a negative smux_error. */
int relay_say(struct relay *relay, const void *data, size_t len);

/* Records events (EPOLL bits) of the socket that were reported before relay_attach: with edge
 * triggering they will not be reported again. */
void relay_hear(struct relay *relay, uint32_t events);

/* Before relay_attach: the socket has failed. `error`: the value of SO_ERROR as a negative errno.
 * Bytes that can still be read from the socket are sent before the reset. */
void relay_broke(struct relay *relay, int error);

/* Starts relaying: to the socket `relay->watch.fd` if the watch is open already (a dial has handed
 * it over), else to `fd`. Takes over the descriptor. `events`: as in relay_hear. 0 or a negative
 * errno (then `fd` remains the caller's). The relay may end within the call. */
int relay_attach(struct relay *relay, int fd, const struct relay_end *end, uint32_t events);

/* Sets the limit of each direction; NULL: none. Over the limit, bytes from the socket stay in it
 * unread, and bytes for the socket are kept, as if it were full. May be called again to change
 * them. */
void relay_limit(struct relay *relay, struct relay_limit *limit, struct rate *from_socket,
                 struct rate *to_socket);

/* Resets both sides, and ends with RELAY_GIVEN_UP. `error`: 0 or a negative errno. */
void relay_abort(struct relay *relay, int error);

/* Before relay_attach: resets the stream but keeps the relay, which can be bound to another one. */
void relay_drop_stream(struct relay *relay);

/* Ends it in order, with RELAY_DONE: queued data is still sent, then FIN. */
void relay_hang_up(struct relay *relay);

static inline bool relay_is_over(const struct relay *relay) {
    return relay->state == RELAY_OVER;
}

static inline bool relay_has_head(const struct relay *relay) {
    return relay->state == RELAY_HEAD || relay->state == RELAY_OPEN_HEAD;
}

/* Whether relay_attach may be called. */
static inline bool relay_wants_socket(const struct relay *relay) {
    return relay->state == RELAY_HEAD || relay->state == RELAY_WAITING ||
           relay->state == RELAY_ORPHANED;
}

/* Whether relay_attach was called, and the socket is still there. */
static inline bool relay_is_attached(const struct relay *relay) {
    return relay->state == RELAY_OPEN || relay->state == RELAY_OPEN_HEAD ||
           relay->state == RELAY_LEAVING;
}

/* ---- Events of the stream (pump_sink_ops) ---- */

/* Writes the bytes to the socket, or keeps them. If the last byte is urgent, it is sent as urgent
 * data, now or when its turn comes. */
void relay_data(struct relay *relay, struct iovec *iov, int count, bool urgent);
void relay_eof(struct relay *relay);
/* The stream's peer has closed both directions. A target's socket is closed behind the data it has
 * yet to get, so that its kernel sees what it would see of a program that has closed. */
void relay_peer_closed(struct relay *relay);
void relay_stream_reset(struct relay *relay, int error);

/* ---- For relay_end implementations ---- */

/* Sends buffer->data[0..len) on the stream, and takes over the buffer. 0 or a negative
 * smux_error. */
int relay_submit(struct relay *relay, struct buffer *buffer, size_t len);

#endif
