/* SPDX-License-Identifier: MIT
 *
 * libsmux: the smux stream multiplexing protocol, versions 1 and 2.
 *
 * This header is the protocol engine.  It does no I/O, reads no clock, keeps no global state and
 * starts no thread: the caller feeds it received bytes, takes events, takes bytes to send, and
 * passes the time in.  It works under poll, epoll, io_uring, libuv or plain threads alike.  For a
 * ready-made session over a socket see smux_blocking.h.
 *
 * The wire format is that of github.com/xtaci/smux; core/PROTOCOL.md specifies it, the state
 * machine and the extensions.
 *
 *     received bytes --> smux_session_feed --> smux_session_next_event --> the application
 *     the application --> smux_stream_send, smux_stream_close, ...
 *         --> smux_session_output --> writev --> smux_session_output_done
 *     smux_session_deadline --> wait at most until then --> smux_session_tick
 *
 * A loop over a non-blocking socket, errors left out (smux_session_deadline is 0 while an event
 * waits, as smux_session_output_done may make some: then poll does not wait):
 *
 *     for (;;) {
 *         poll for POLLIN if smux_session_want_read, for POLLOUT if smux_session_want_write,
 *             at most until smux_session_deadline
 *         if (readable && (n = read(fd, buffer, sizeof buffer)) > 0)
 *             smux_session_feed(session, buffer, n, now);
 *         smux_session_tick(session, now);
 *         while (smux_session_next_event(session, &event))
 *             handle(&event);
 *         while ((count = smux_session_output(session, iov, 64, now)) > 0) {
 *             n = writev(fd, iov, count);
 *             smux_session_output_done(session, n > 0 ? n : 0);
 *             if (n < 0)
 *                 break;
 *         }
 *     }
 *
 * examples/two_engines.c is a whole program.
 *
 * Threads: a session and all its streams belong to one thread at a time.  Nothing is shared
 * between sessions, so different sessions may run in different threads without locks.
 *
 * Time: every `now_us` is the caller's monotonic clock in microseconds.  Its zero is arbitrary; it
 * must not go backwards (a step back is taken as no time at all).
 *
 * Errors: functions that return int return 0 or a negative SMUX_ERR_ value, never errno.
 * Whatever fails for lack of memory leaves the session consistent and usable.
 *
 * ABI: structs that the caller allocates may grow; the SONAME changes then.
 */
#ifndef SMUX_H
#define SMUX_H

#include <sys/types.h>
#include <sys/uio.h>

#include "smux_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Session -------------------------------------------------------------------------------- */

typedef struct smux_session smux_session;
typedef struct smux_stream smux_stream;

/* Creates a session.  `config` is copied, NULL for the defaults; `allocator` is copied, NULL for
 * malloc and free.  On success *session is the caller's, to be freed with smux_session_free.
 * Errors: SMUX_ERR_NOMEM, SMUX_ERR_CONFIG. */
SMUX_API int smux_session_new(smux_session **session, enum smux_role role,
                              const smux_config *config, const smux_allocator *allocator,
                              uint64_t now_us);

/* Frees the session and every stream of it.  Borrowed send buffers are simply forgotten; no event
 * is made.  NULL is fine. */
SMUX_API void smux_session_free(smux_session *session);

/* Ends the session locally, for the reason given (SMUX_ERR_CARRIER when the connection broke,
 * SMUX_ERR_CLOSED when the application is done; what is no error of a session's counts as that).
 * Nothing is sent: smux has no frame for it, the carrier's end says it.  Every stream fails with
 * `error`, without an event of its own; SMUX_EVENT_FAILED follows once, behind the
 * SMUX_EVENT_RETURNED of lent buffers (all of it after smux_session_output_done, if this is called
 * between smux_session_output and smux_session_output_done: a failed writev is
 * smux_session_output_done of 0 bytes, then smux_session_fail). */
SMUX_API void smux_session_fail(smux_session *session, int error);

/* The error that ended the session, 0 while it lives. */
SMUX_API int smux_session_error(const smux_session *session);
/* A text with particulars ("bad frame version: 7, expected 2"), "no error" while it lives; valid
 * until smux_session_free. */
SMUX_API const char *smux_session_error_text(const smux_session *session);

/* Tells the peer to open no more streams (peers with extensions only), and refuses those it opens
 * once it has answered that it knows (other peers: at once).  A peer that never answers may open
 * streams as before, within accept_backlog and max_streams.  Streams that exist go on;
 * smux_stream_open fails here too.  Idempotent. */
SMUX_API void smux_session_goaway(smux_session *session);

/* Sends a ping to a peer with extensions, for a fresh round-trip time; without, a plain NOP. */
SMUX_API void smux_session_ping(smux_session *session);

typedef struct smux_session_info {
    enum smux_role role;
    int version;                  /* 0 while a server waits for the client's first frame */
    int error;                    /* smux_session_error */
    bool peer_extensions;         /* the peer has said hello */
    bool peer_goaway;             /* the peer wants no more streams */
    uint32_t streams;             /* alive, those still flushing after smux_stream_close included */
    uint32_t backlog;             /* opened by the peer, not yet accepted */
    uint64_t opened, accepted;    /* streams in total: opened here, opened by the peer */
    uint64_t refused;             /* streams of the peer that were refused */
    uint64_t bytes_in, bytes_out; /* payload */
    uint64_t frames_in, frames_out;
    uint64_t frames_ignored;   /* for streams that are gone, empty, or repeated */
    uint64_t unread;           /* bytes delivered and not yet consumed */
    uint64_t queued;           /* bytes waiting to be sent */
    uint64_t rtt_us;           /* smoothed round-trip time, 0 while unknown */
    uint64_t last_received_us; /* when the last byte arrived, or reading was last found stopped */
} smux_session_info;
SMUX_API void smux_session_get_info(const smux_session *session, smux_session_info *info);

/* ---- Receiving ------------------------------------------------------------------------------ */

/* Hands received bytes to the session.  They are borrowed: `data` must stay unchanged until
 * smux_session_next_event has returned false.  len 0 is allowed.  Errors: SMUX_ERR_BUSY while an
 * earlier buffer has not been worked off; the session's error if it has failed (nothing is taken).
 * */
SMUX_API int smux_session_feed(smux_session *session, const void *data, size_t len,
                               uint64_t now_us);

typedef enum smux_event_type {
    /* The peer opened `stream`: answer with smux_stream_accept (or smux_stream_reset). */
    SMUX_EVENT_ACCEPT = 1,
    /* `len` bytes at `data` arrived on `stream`.  They lie in the buffer given to
     * smux_session_feed: use or copy them, and call smux_stream_consume when the application is
     * done with them. */
    SMUX_EVENT_DATA,
    /* The peer will send nothing more on `stream`. */
    SMUX_EVENT_EOF,
    /* `stream` ended with `error`; only smux_stream_close or smux_stream_reset is left. */
    SMUX_EVENT_RESET,
    /* smux_stream_send on `stream` fell short earlier, or smux_stream_window_room was 0; now there
     * is room. */
    SMUX_EVENT_WRITABLE,
    /* `buffer`, lent by smux_stream_send_borrowed, is the caller's again.  error 0: all of it went
     * out; otherwise it was dropped for that reason.  `stream` is NULL if it has been closed
     * meanwhile. */
    SMUX_EVENT_RETURNED,
    /* The peer knows the extensions. */
    SMUX_EVENT_HELLO,
    /* The peer wants no more streams. */
    SMUX_EVENT_GOAWAY,
    /* The session has ended with `error`; the last event of a session. */
    SMUX_EVENT_FAILED,
    /* Behind EOF, from peers with extensions: the peer has closed `stream` in both directions, and
     * reads nothing that is sent from now on. */
    SMUX_EVENT_PEER_CLOSED
} smux_event_type;

typedef struct smux_sendbuf smux_sendbuf;

typedef struct smux_event {
    smux_event_type type;
    int error;
    smux_stream *stream; /* NULL for events of the session */
    void *user;          /* smux_stream_user(stream) */
    const uint8_t *data;
    size_t len;
    smux_sendbuf *buffer;
    bool urgent; /* DATA: the last of these bytes is urgent (smux_stream_mark_urgent) */
} smux_event;

/* Takes the next event.  False: there is none, all input has been worked off.  To be called until
 * false after smux_session_feed, and after smux_session_output_done and smux_session_tick.  Any
 * other function may be called between two events. */
SMUX_API bool smux_session_next_event(smux_session *session, smux_event *event);

/* Takes back what has not been worked off of the buffer given to smux_session_feed, and returns how
 * many bytes that is, counted from the buffer's end.  They have had no effect and are to be fed
 * again, in front of what follows them.  For callers that must stop in the middle, for example
 * after an SMUX_EVENT_ACCEPT that took the last room they had for streams. */
SMUX_API size_t smux_session_feed_cancel(smux_session *session);

/* What the carrier's next byte belongs to. */
typedef struct smux_incoming {
    /* The stream whose payload comes next.  NULL: a frame's header comes next, or payload that will
     * be dropped. */
    smux_stream *stream;
    /* How many bytes are missing of that payload or header: 1..65535. */
    uint32_t len;
    /* The payload length of the frame that `stream` is receiving, or else of the last frame that
     * carried data.  0: there has been none. */
    uint32_t frame_len;
} smux_incoming;

/* Says what comes behind the bytes that have been worked off.  With it a caller can receive payload
 * where it is to lie in the end: read at most `len` bytes of `stream` from the carrier to their
 * place, and feed them from there.  The SMUX_EVENT_DATA that this makes points at that place. */
SMUX_API void smux_session_get_incoming(const smux_session *session, smux_incoming *incoming);

/* The application is done with n bytes of DATA events of this stream (it may say so in one call or
 * many).  This returns budget and opens the version 2 window.  SMUX_ERR_ARGUMENT if n is more than
 * was delivered and not yet consumed; on a stream that has been reset, where nothing is left to
 * consume, any n is fine. */
SMUX_API int smux_stream_consume(smux_stream *stream, size_t n);

/* Limits automatic windows (version 2, auto_window) to `bytes`, at least 4096, below max_window,
 * until another limit is set; UINT32_MAX lifts it, and windows grow again.  It applies to each
 * stream with the next update that its consumption makes due: what has been promised is never taken
 * back, and streams that move little notice nothing.  For carriers that queue more than their path
 * needs: what a window lets into the queue, a small message of another stream waits behind. */
SMUX_API void smux_session_limit_windows(smux_session *session, uint32_t bytes);

/* Whether to read more from the carrier now.  False while the receive budget is used up
 * (SMUX_FULL_STALL), while the caller has paused, and after the session's end. */
SMUX_API bool smux_session_want_read(const smux_session *session);

/* For callers who have reasons of their own not to read for a while, such as memory: a peer that is
 * not listened to is not taken for silent.  Our own keepalives go on. */
SMUX_API void smux_session_pause_reading(smux_session *session, bool paused, uint64_t now_us);

/* ---- Streams -------------------------------------------------------------------------------- */

/* Opens a stream.  Nothing waits for the peer: data may be sent at once.  A stream opened here or
 * named by SMUX_EVENT_ACCEPT is the caller's until smux_stream_close, smux_stream_reset or
 * smux_session_free; it stays valid, though useless, after SMUX_EVENT_RESET and SMUX_EVENT_FAILED.
 * Errors: SMUX_ERR_NOMEM, SMUX_ERR_STREAM_LIMIT, SMUX_ERR_EXHAUSTED, SMUX_ERR_GOAWAY, or the
 * session's error. */
SMUX_API int smux_stream_open(smux_session *session, smux_stream **stream);

/* Takes a stream that the peer opened out of the backlog.  Until then it works like any other. */
SMUX_API void smux_stream_accept(smux_stream *stream);

/* No more data will be sent: FIN goes out behind what is queued.  Receiving goes on.  Idempotent.
 * Error: the stream's error if it has been reset. */
SMUX_API int smux_stream_close_write(smux_stream *stream);

/* Ends the stream orderly and gives up the handle: what is queued still goes out, then FIN; what
 * arrives is dropped, what was unread counts as consumed.  A peer with extensions whose own FIN has
 * not come is told (SMUX_EVENT_PEER_CLOSED); another cannot tell this from smux_stream_close_write.
 * Always succeeds. */
SMUX_API void smux_stream_close(smux_stream *stream);

/* Ends the stream at once and gives up the handle: what is queued is dropped, the peer sees a
 * reset (a peer without extensions: FIN, as an orderly end; in a session's first second it is held
 * back until the peer has said whether it knows the extensions). */
SMUX_API void smux_stream_reset(smux_stream *stream);

/* No more data will be sent: a reset goes out behind what is queued, and SMUX_EVENT_RESET with
 * SMUX_ERR_LOCAL_RESET says that it is owed to the peer.  Until then receiving goes on;
 * smux_stream_reset does not wait any longer.  Idempotent.  Error: the stream's error if it has
 * been reset. */
SMUX_API int smux_stream_reset_behind(smux_stream *stream);

SMUX_API uint32_t smux_stream_id(const smux_stream *stream);
SMUX_API smux_session *smux_stream_session(const smux_stream *stream);
/* A pointer of the caller's, NULL at first, handed back in events. */
SMUX_API void smux_stream_set_user(smux_stream *stream, void *user);
SMUX_API void *smux_stream_user(const smux_stream *stream);

/* How many more bytes the peer's window lets out now, beyond those that wait already; version 1 has
 * no windows, and then it is a number larger than any.  0: SMUX_EVENT_WRITABLE follows, once, when
 * there is room.  For those who would rather leave data where it is than queue what cannot go. */
SMUX_API uint64_t smux_stream_window_room(smux_stream *stream);

typedef struct smux_stream_info {
    uint32_t id;
    int error;         /* the error it ended with, 0 while it lives */
    bool local;        /* opened here */
    bool accepted;     /* false while in the backlog */
    bool read_closed;  /* EOF has been received, or reset */
    bool write_closed; /* smux_stream_close_write was called, or reset */
    uint64_t bytes_in, bytes_out;
    uint64_t unread;      /* delivered and not yet consumed */
    uint64_t queued;      /* waiting to be sent */
    uint32_t recv_window; /* version 2: window promised to the peer */
    int64_t send_window;  /* version 2: bytes the peer allows now; version 1: INT64_MAX */
    uint64_t active_us;   /* when data last arrived or went out (kept if stream_idle_timeout_us) */
} smux_stream_info;
SMUX_API void smux_stream_get_info(const smux_stream *stream, smux_stream_info *info);

/* Walks over all streams, in no order: NULL gives the first, NULL comes after the last.  Streams
 * given up by smux_stream_close are not shown.  No stream may be opened, closed or fed meanwhile;
 * who wants to close them all collects them first (starting anew from NULL after each looks at
 * every slot again), or frees the session. */
SMUX_API smux_stream *smux_session_next_stream(const smux_session *session,
                                               const smux_stream *previous);

/* ---- Sending -------------------------------------------------------------------------------- */

/* Copies as much as the caps leave room for into the stream's queue.  Returns the number of bytes
 * taken, which may be less than given or 0: then SMUX_EVENT_WRITABLE follows when there is room.
 * Errors: SMUX_ERR_SHUT, the stream's or the session's error; SMUX_ERR_NOMEM: nothing was taken and
 * no event follows, try again later. */
SMUX_API ssize_t smux_stream_send(smux_stream *stream, const void *data, size_t len);
SMUX_API ssize_t smux_stream_sendv(smux_stream *stream, const struct iovec *iov, int iovcnt);

/* The last byte but `behind` of those queued is urgent, as TCP's MSG_OOB makes it: the peer's
 * DATA event that ends with it says so.  One byte at a time: marking anew forgets a mark that is
 * not in a frame yet, as TCP does.  A peer without extensions gets the byte like any other.
 * SMUX_ERR_ARGUMENT: that byte is not waiting any more; SMUX_ERR_SHUT, the stream's or the
 * session's error as in smux_stream_send.  smux_session_send_cancel on the stream forgets the mark.
 * */
SMUX_API int smux_stream_mark_urgent(smux_stream *stream, size_t behind);

/* How many bytes smux_stream_send would take now. */
SMUX_API size_t smux_stream_send_room(const smux_stream *stream);

/* A buffer sent without being copied.  The caller provides the struct, zeroed before its first use,
 * and sets `data` and `len` (> 0); the rest is the engine's.  After SMUX_EVENT_RETURNED it can be
 * used again. */
struct smux_sendbuf {
    const uint8_t *data;
    size_t len;
    void *user; /* the caller's, not looked at */
    smux_sendbuf *next_;
    smux_stream *stream_;
    size_t capacity_;
    size_t done_;
    int state_;
};

/* Queues `buffer` behind what is queued already.  It and the bytes it points to are borrowed until
 * SMUX_EVENT_RETURNED names it, which always comes (also after a reset or failure) unless the
 * session is freed or smux_session_send_cancel succeeds.  The caps do not apply: the memory is the
 * caller's. Errors, with nothing borrowed: SMUX_ERR_ARGUMENT (empty, or lent already),
 * SMUX_ERR_SHUT, the stream's or session's error.
 */
SMUX_API int smux_stream_send_borrowed(smux_stream *stream, smux_sendbuf *buffer);

/* Takes a borrowed buffer back early, and with it what has not been sent of it: *left (if not
 * NULL) is set to the number of those bytes, counted from the end.  A frame that is already partly
 * on the wire must be completed: its rest is copied and counts as sent.  No SMUX_EVENT_RETURNED
 * follows. Not between smux_session_output and smux_session_output_done (SMUX_ERR_BUSY).  Other
 * errors: SMUX_ERR_NOMEM (still borrowed), SMUX_ERR_ARGUMENT (not queued: its SMUX_EVENT_RETURNED
 * has come or is about to). */
SMUX_API int smux_session_send_cancel(smux_session *session, smux_sendbuf *buffer, size_t *left);

/* Bytes given to smux_session_output at most, a part of a frame begun before not counted: enough
 * for a system call to be worth its price, little enough that what is urgent need not wait long. */
#define SMUX_OUTPUT_MAX (260u * 1024u) /* four of the largest frames */

/* Fills iov with what is to be written to the carrier now, in the manner of writev.  Returns the
 * number of entries used, 0 if there is nothing to send.  The memory stays valid until the next
 * smux_session_output_done, or smux_session_free.  64 is a good iov_max; SMUX_ERR_ARGUMENT if it is
 * below 4. A second smux_session_output without smux_session_output_done counts as
 * smux_session_output_done of 0 bytes. Streams take turns by deficit round robin over bytes;
 * control frames go first. */
SMUX_API int smux_session_output(smux_session *session, struct iovec *iov, int iov_max,
                                 uint64_t now_us);

/* Says how many of those bytes the carrier took: all, some or none.  Every smux_session_output that
 * returned more than 0 is followed by one smux_session_output_done, also when writing failed.
 * Whatever frame was not begun is planned anew by the next smux_session_output, so that urgent
 * frames can overtake. */
SMUX_API void smux_session_output_done(smux_session *session, size_t n);

/* Whether smux_session_output has anything new to return: false between smux_session_output and
 * smux_session_output_done if all was handed out. */
SMUX_API bool smux_session_want_write(const smux_session *session);

/* ---- Time ----------------------------------------------------------------------------------- */

#define SMUX_NEVER UINT64_MAX

/* When smux_session_tick wants to be called next, or smux_session_next_event: 0, at once, while an
 * event waits. SMUX_NEVER if there is no need. */
SMUX_API uint64_t smux_session_deadline(const smux_session *session);

/* Does what is due: keepalives, timeouts.  Calling it early is harmless. */
SMUX_API void smux_session_tick(smux_session *session, uint64_t now_us);

/* "MAJOR.MINOR.PATCH" of the library that is loaded. */
SMUX_API const char *smux_library_version(void);
#define SMUX_LIBRARY_VERSION "0.1.0"

#ifdef __cplusplus
}
#endif
#endif
