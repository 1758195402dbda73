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
#include "helper/net/events.h"
#include "helper/net/rate.h"
#include "helper/net/reactor.h"
#include "helper/net/state_table.h"
#include "helper/relay/kept_queue.h"
#include "helper/relay/pump.h"

/* Bytes of one stream on loan to the engine: as much as one write to the carrier takes, so that one
 * stream can fill it. With many buffers in use, each stream may have one. */
#define RELAY_LOAN_MAX       (4u * BUFFER_SIZE)
#define RELAY_BUFFERS_PLENTY 2048

/* With so many buffers of a session on loan, no more is read than can go out at once. */
#define RELAY_SESSION_LOANS_EASY 64

/* Reads up to this size are copied into the engine, which is cheaper than a loan. */
#define RELAY_COPY_MAX 4096u

/* A relay's life. What each has, and which may follow, is the table in relay_state.c. */
enum relay_state {
    RELAY_IDLE,      /* no stream, no socket: before the first stream, and between two */
    RELAY_HEAD,      /* a stream, on which the handshake goes on */
    RELAY_WAITING,   /* a stream; the socket is still to come */
    RELAY_OPEN_HEAD, /* both, and the handshake goes on: data may precede its answer */
    RELAY_OPEN,      /* both */
    RELAY_ORPHANED,  /* the stream was reset; what it said is kept for the socket to come */
    RELAY_LEAVING, /* the stream was reset; the socket takes what is kept, and is reset behind it */
    RELAY_FAILING, /* the socket is gone; the stream's reset waits behind what it said */
    RELAY_OVER     /* ended was called */
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
    /* Bytes from the stream during the handshake (relay_expect_head). Returns how many it took;
     * having taken fewer than all, it must have called relay_head_over. */
    size_t (*head)(struct relay *relay, const uint8_t *data, size_t len);
    /* The stream was reset before the handshake was over and a socket attached; error is a
     * smux_error. True: the relay goes on without a stream, and its owner binds another one; false:
     * it ends. May be NULL. */
    bool (*lost)(struct relay *relay, int error);
    /* The stream is given up and the socket closed; nothing more comes. error is 0 or negative. The
     * owner discards the memory at the end of the turn. */
    void (*ended)(struct relay *relay, enum relay_reason reason, int error);
};

/* A kind of socket. */
struct relay_end {
    /* Moves up to max bytes into the stream (relay_submit). Returns the number, 0 at the end of
     * file, or a negative errno (-EAGAIN: until the next edge). */
    ssize_t (*read)(struct relay *relay, size_t max);
    /* The stream's FIN has been delivered: say so to the socket. `closing`: it is about to be
     * closed, which says it as well. */
    void (*shut)(struct relay *relay, bool closing);
    /* About to be closed by a reset. */
    void (*reset)(struct relay *relay);
    uint32_t mask;           /* EPOLL flags watched from the start */
    bool out_on_demand;      /* watch EPOLLOUT only while blocked: unix sockets tell every read */
    bool reader_may_be_deaf; /* EPIPE without HUP is the application's SHUT_RD */
    bool closes_with_peer;   /* closed when the stream's peer has closed in both directions */
};

/* A plain socket of the far destination, which resets when it is closed (sockaddr_connect_start).
 * */
extern const struct relay_end relay_end_tcp;
/* The helper's end of an application's connection. */
extern const struct relay_end relay_end_app;

/* Bounds on the bytes in a second that pass through a relay, which it shares with others: embedded
 * in a structure of the owner's. */
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
    struct loop_timer timer;       /* of a reset that waits, or of a half-closed relay */
    struct loop_timer ahead_timer; /* when nothing more comes, `ahead` is consumed */
    uint64_t ahead_us;      /* when bytes were last left unread, or all were consumed for it */
    struct kept_queue kept; /* what the socket has not taken yet */
    struct buffer *loans;
    size_t loan_len;
    uint64_t half_closed_us; /* how long a socket may be silent, after the stream's end of file, if
                                the peer cannot say that it has closed; 0: for ever */
    uint32_t ahead; /* bytes that were already forwarded and are still unread (relay_end_app) */
    int error;      /* ends the relay behind the data: a negative errno or smux_error; 0: none */
    uint8_t early;  /* enum event_flag, heard before there was an end to act on them */
    uint8_t state;  /* enum relay_state */
    uint8_t in;     /* enum relay_in */
    uint8_t out;    /* enum relay_out */
    uint8_t in_few, out_few; /* how often in a row only a few bytes passed (reactor_note) */
    bool readable;           /* an edge was seen, and not yet EAGAIN */
    bool blocked;            /* the socket took less than was given */
    bool socket_eof;         /* RDHUP: no more bytes will come in than are there */
    bool socket_hup;         /* HUP: the other end is gone */
    uint8_t ahead_messages;  /* in how many reads `ahead` came */
    uint8_t ahead_eager;     /* so many messages are consumed at once */
    bool unanswered;         /* nothing was written to the socket since the last read */
    bool relieved;           /* what was ahead has been consumed because nothing came */
    uid_t uid;               /* of the local user, if `untrusted` */
    bool peeks;              /* SO_PEEK_OFF is set, and is `ahead` */
    bool urgent;             /* PRI: urgent data may be in the queue, which cuts reads short */
    bool roomy; /* the socket has been prepared for bulk: what can be queued, and how it is sent */
    bool linger_reset;         /* the application's close is to be a reset */
    bool bulk;                 /* the last read was large */
    bool discard;              /* the socket takes nothing more: what comes for it is dropped */
    bool untrusted;            /* the other end is a local user's: see stranger.h */
    bool peer_closed;          /* the stream's peer reads nothing more */
    struct relay_limit *limit; /* NULL: there never were any */
    uint64_t from_socket, to_socket; /* bytes that have passed, in each direction */
    uint64_t moved; /* bytes that had come from the socket when a half-closed relay was looked at */
};

/* Zeroes and prepares. */
void relay_init(struct relay *relay, struct reactor *reactor, const struct relay_ops *ops);

/* Binds it to a stream, which it owns from now on. */
void relay_bind(struct relay *relay, struct pump *pump, smux_stream *stream);

/* What comes from the stream is the handshake's, until its owner says that it is over. */
void relay_expect_head(struct relay *relay);
void relay_head_over(struct relay *relay);

/* Puts bytes of the handshake on the stream. 0 or a negative smux_error; short messages only. */
int relay_say(struct relay *relay, const void *data, size_t len);

/* EPOLL bits of the watch that came before relay_attach and will not come again. */
void relay_hear(struct relay *relay, uint32_t events);

/* Before relay_attach: the socket has broken. `error`: what SO_ERROR said, as a negative errno.
 * What can still be read from the socket goes before the reset. */
void relay_broke(struct relay *relay, int error);

/* Starts relaying to the socket `relay->watch.fd` if the watch is open already (a dial handed it
 * over), else to `fd`. Takes over the descriptor. `events`: as in relay_hear. 0 or a negative errno
 * (the fd then stays the caller's). It may end the relay. */
int relay_attach(struct relay *relay, int fd, const struct relay_end *end, uint32_t events);

/* Sets its bounds, one for each direction; NULL: none. What a socket has to give stays in it until
 * it may be read; what it is to get is kept, as if the socket took no more. Also to be called again
 * when they change. */
void relay_limit(struct relay *relay, struct relay_limit *limit, struct rate *from_socket,
                 struct rate *to_socket);

/* Resets both sides, and ends with RELAY_GIVEN_UP. `error`: 0 or a negative errno. */
void relay_abort(struct relay *relay, int error);

/* Before relay_attach: resets the stream but keeps the relay, which waits for another or the end.
 * */
void relay_drop_stream(struct relay *relay);

/* Ends it in order: what was said still goes out, then FIN. Ends with RELAY_DONE. */
void relay_hang_up(struct relay *relay);

static inline bool relay_is_over(const struct relay *relay) {
    return relay->state == RELAY_OVER;
}

static inline bool relay_has_head(const struct relay *relay) {
    return relay->state == RELAY_HEAD || relay->state == RELAY_OPEN_HEAD;
}

/* There is nothing to relay yet, but a socket would be taken. */
static inline bool relay_wants_socket(const struct relay *relay) {
    return relay->state == RELAY_HEAD || relay->state == RELAY_WAITING ||
           relay->state == RELAY_ORPHANED;
}

/* It has its socket. */
static inline bool relay_is_attached(const struct relay *relay) {
    return relay->state == RELAY_OPEN || relay->state == RELAY_OPEN_HEAD ||
           relay->state == RELAY_LEAVING;
}

/* ---- What the stream says (pump_sink_ops) ---- */

/* Writes it to the socket, or keeps it. An urgent last byte goes on as such, now or when its turn
 * comes. */
void relay_data(struct relay *relay, struct iovec *iov, int count, bool urgent);
void relay_eof(struct relay *relay);
/* A target is closed behind what it is to get, so that its kernel forgets the connection as it
 * forgets that of a program that has closed. */
void relay_peer_closed(struct relay *relay);
void relay_stream_reset(struct relay *relay, int error);

/* ---- For relay_end implementations ---- */

/* Gives buffer->data[0..len) to the stream; takes the buffer. 0 or a negative smux_error. */
int relay_submit(struct relay *relay, struct buffer *buffer, size_t len);

#endif
