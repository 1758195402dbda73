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
 * A loop over a non-blocking socket, without error handling.  smux_session_deadline is 0 while an
 * event is pending, which smux_session_output_done may have caused; poll then returns at once.
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
 * Time: every `now_us` is the caller's monotonic clock in microseconds, with an arbitrary origin.
 * It must not go backwards; a step back counts as no time having passed.
 *
 * Errors: functions that return int or ssize_t return a negative SMUX_ERR_ value on failure; they
 * neither use nor set errno.  A call that fails for lack of memory leaves the session consistent
 * and usable.
 *
 * Ownership: no function keeps a pointer to what it is given after it returns, except where its
 * comment says so (smux_session_feed, smux_stream_send_borrowed).
 *
 * ABI: structs that the caller allocates may grow; the SONAME changes when they do.
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

/* Creates a session.  `config` and `allocator` are copied; NULL means the defaults, or malloc
 * and free.  On success *session belongs to the caller, who frees it with smux_session_free.
 * Errors: SMUX_ERR_NOMEM, SMUX_ERR_CONFIG (smux_config_verify says which field is wrong). */
SMUX_API int smux_session_new(smux_session **session, enum smux_role role,
                              const smux_config *config, const smux_allocator *allocator,
                              uint64_t now_us);

/* Frees the session and all its streams.  Borrowed send buffers are the caller's again, without an
 * event.  `session` may be NULL. */
SMUX_API void smux_session_free(smux_session *session);

/* Ends the session locally.  `error` is the reason: SMUX_ERR_CARRIER when the connection broke,
 * SMUX_ERR_CLOSED when the application is done; anything that is not a session error counts as
 * SMUX_ERR_CLOSED.  Nothing is sent, since smux has no frame for it: the peer learns of it from
 * the end of the carrier.  Every stream fails with `error`, without an event of its own.
 * SMUX_EVENT_FAILED follows once, after the SMUX_EVENT_RETURNED of all borrowed buffers.
 *
 * Between smux_session_output and smux_session_output_done all these events wait for the latter:
 * after a failed writev call smux_session_output_done with 0, then smux_session_fail. */
SMUX_API void smux_session_fail(smux_session *session, int error);

/* Returns the error that ended the session, 0 while it lives. */
SMUX_API int smux_session_error(const smux_session *session);
/* Describes that error in detail ("bad frame version: 7, expected 2"); "no error" while the session
 * lives.  The text belongs to the session and is valid until smux_session_free. */
SMUX_API const char *smux_session_error_text(const smux_session *session);

/* Stops the opening of new streams.  A peer with extensions is told, and streams that it opens are
 * refused once it has confirmed that; until then it may open more, within accept_backlog and
 * max_streams.  Streams of other peers are refused at once.  smux_stream_open fails from now on,
 * with SMUX_ERR_GOAWAY.  Existing streams continue.  Idempotent. */
SMUX_API void smux_session_goaway(smux_session *session);

/* Queues a ping, whose answer renews smux_session_info.rtt_us.  A peer without extensions gets a
 * NOP instead, which nobody answers. */
SMUX_API void smux_session_ping(smux_session *session);

/* A snapshot of a session.  Counters start at 0 when the session starts. */
typedef struct smux_session_info {
    enum smux_role role;
    /* 1 or 2; 0 while a server with SMUX_VERSION_AUTO waits for the client's first frame. */
    int version;
    /* See smux_session_error. */
    int error;
    /* The peer has announced the extensions. */
    bool peer_extensions;
    /* The peer has asked for no more streams. */
    bool peer_goaway;
    /* Streams alive now, including those closed by smux_stream_close that are still flushing. */
    uint32_t streams;
    /* Streams opened by the peer that have not been accepted yet. */
    uint32_t backlog;
    /* Streams opened by this side, and by the peer. */
    uint64_t opened, accepted;
    /* Streams of the peer that were refused. */
    uint64_t refused;
    /* Payload bytes received and sent. */
    uint64_t bytes_in, bytes_out;
    /* Frames received and sent. */
    uint64_t frames_in, frames_out;
    /* Received frames that had no effect: empty, repeated, or for a stream that is gone. */
    uint64_t frames_ignored;
    /* Bytes delivered by SMUX_EVENT_DATA and not yet consumed. */
    uint64_t unread;
    /* Bytes waiting to be sent. */
    uint64_t queued;
    /* The smoothed round-trip time in microseconds, 0 while unknown. */
    uint64_t rtt_us;
    /* When the last byte arrived, or when reading was last found to be stopped. */
    uint64_t last_received_us;
} smux_session_info;
SMUX_API void smux_session_get_info(const smux_session *session, smux_session_info *info);

/* ---- Receiving ------------------------------------------------------------------------------ */

/* Hands received bytes to the session, which borrows them: `data` must stay valid and unchanged
 * until smux_session_next_event has returned false.  `len` may be 0.  Errors, with nothing taken:
 * SMUX_ERR_BUSY while an earlier buffer has not been processed completely; the session's error if
 * it has ended. */
SMUX_API int smux_session_feed(smux_session *session, const void *data, size_t len,
                               uint64_t now_us);

typedef enum smux_event_type {
    /* The peer opened `stream`: answer with smux_stream_accept (or smux_stream_reset). */
    SMUX_EVENT_ACCEPT = 1,
    /* `len` bytes arrived on `stream`.  `data` points into the buffer given to smux_session_feed:
     * use or copy them, and call smux_stream_consume when the application is done with them. */
    SMUX_EVENT_DATA,
    /* The peer will send nothing more on `stream`. */
    SMUX_EVENT_EOF,
    /* `stream` ended with `error`.  The only thing left to do is to give up the handle, by
     * smux_stream_close or smux_stream_reset. */
    SMUX_EVENT_RESET,
    /* There is room on `stream` again, after smux_stream_send took less than it was given or
     * smux_stream_window_room returned 0. */
    SMUX_EVENT_WRITABLE,
    /* `buffer`, lent by smux_stream_send_borrowed, is the caller's again.  With `error` 0 all of it
     * went out; otherwise it was dropped for that reason.  `stream` is NULL if it has been given up
     * meanwhile. */
    SMUX_EVENT_RETURNED,
    /* The peer supports the extensions. */
    SMUX_EVENT_HELLO,
    /* The peer wants no more streams. */
    SMUX_EVENT_GOAWAY,
    /* The session has ended with `error`; the last event of a session. */
    SMUX_EVENT_FAILED,
    /* The peer, which has the extensions, has closed `stream` in both directions and will not read
     * what is sent from now on.  Comes after SMUX_EVENT_EOF. */
    SMUX_EVENT_PEER_CLOSED
} smux_event_type;

typedef struct smux_sendbuf smux_sendbuf;

typedef struct smux_event {
    smux_event_type type;
    /* RESET, RETURNED and FAILED: a SMUX_ERR_ value, or 0.  Otherwise 0. */
    int error;
    /* NULL for events of the session. */
    smux_stream *stream;
    /* smux_stream_user(stream); NULL without a stream. */
    void *user;
    /* DATA: what arrived. */
    const uint8_t *data;
    size_t len;
    /* RETURNED: the buffer. */
    smux_sendbuf *buffer;
    /* DATA: the last of these bytes is urgent (smux_stream_mark_urgent). */
    bool urgent;
} smux_event;

/* Takes the next event.  Returns false if there is none; then all input has been processed.  Call
 * it until it returns false after each smux_session_feed, smux_session_output_done and
 * smux_session_tick.  Any other function may be called between two events. */
SMUX_API bool smux_session_next_event(smux_session *session, smux_event *event);

/* Takes back the part of the buffer given to smux_session_feed that has not been processed yet, and
 * returns its length, counted from the buffer's end.  These bytes have had no effect; the caller
 * feeds them again later, before whatever follows them.  Meant for callers that must stop in the
 * middle of a buffer, for example after an SMUX_EVENT_ACCEPT for the last stream they have room
 * for. */
SMUX_API size_t smux_session_feed_cancel(smux_session *session);

/* What the carrier's next byte belongs to. */
typedef struct smux_incoming {
    /* The stream whose payload comes next.  NULL if a frame's header comes next, or payload that
     * will be dropped. */
    smux_stream *stream;
    /* How many bytes of that payload or header are still missing: 1..65535. */
    uint32_t len;
    /* The payload length of the frame that is being received, or else of the last one that carried
     * data; 0 if there has been none. */
    uint32_t frame_len;
} smux_incoming;

/* Says what follows the bytes that have been processed so far.  With it a caller can receive
 * payload straight into its destination: read at most `len` bytes for `stream` from the carrier to
 * that place, and feed them from there.  The resulting SMUX_EVENT_DATA points to the same place. */
SMUX_API void smux_session_get_incoming(const smux_session *session, smux_incoming *incoming);

/* Says that the application is done with n more bytes that SMUX_EVENT_DATA delivered on this
 * stream, in one call or in several.  This returns them to the receive budget and opens the version
 * 2 window.  SMUX_ERR_ARGUMENT if n exceeds what has been delivered and not yet consumed; on a
 * stream that has been reset, where nothing is left to consume, any n is accepted. */
SMUX_API int smux_stream_consume(smux_stream *stream, size_t n);

/* Limits automatic windows (version 2, auto_window) to `bytes`, at least 4096, until another limit
 * is set.  UINT32_MAX removes the limit, and windows grow again up to max_window.  It takes effect
 * on a stream with the next update that its consumption makes due: a promised window is never taken
 * back, and streams that move little are not affected.  Meant for carriers that queue more than
 * their path needs, where a small message waits behind whatever the windows let into the queue. */
SMUX_API void smux_session_limit_windows(smux_session *session, uint32_t bytes);

/* Lets a stream send up to `bytes` in a row, in frames of up to max_frame_size, before the next one
 * has its turn.  0, the initial value, means one frame, of at most 32768 bytes while several
 * streams have data to send.  Takes effect with the next turn.  Long bursts save work at both ends
 * while all streams are long, because the receiver has more of one stream in each read.  A stream
 * that has at most 4096 bytes to send does not wait for them (PROTOCOL.md, "Order of sending"). */
SMUX_API void smux_session_set_burst(smux_session *session, uint32_t bytes);

/* Whether to read more from the carrier now.  False while the receive budget is used up
 * (SMUX_FULL_STALL), while the caller has paused, and after the session's end. */
SMUX_API bool smux_session_want_read(const smux_session *session);

/* Says that the caller stops reading for a while for reasons of its own, such as memory, or that it
 * reads again.  Meanwhile the peer's silence does not count against keepalive_timeout_us.  Our own
 * keepalives continue. */
SMUX_API void smux_session_pause_reading(smux_session *session, bool paused, uint64_t now_us);

/* ---- Streams -------------------------------------------------------------------------------- */

/* Opens a stream without waiting for the peer: data may be sent at once.  A stream opened here or
 * named by SMUX_EVENT_ACCEPT belongs to the caller until smux_stream_close, smux_stream_reset or
 * smux_session_free; its handle stays valid after SMUX_EVENT_RESET and SMUX_EVENT_FAILED.
 * Errors: SMUX_ERR_NOMEM, SMUX_ERR_STREAM_LIMIT, SMUX_ERR_EXHAUSTED, SMUX_ERR_GOAWAY, or the
 * session's error. */
SMUX_API int smux_stream_open(smux_session *session, smux_stream **stream);

/* Takes a stream that the peer opened out of the backlog.  The stream can be used like any other
 * even before that.  On other streams this has no effect. */
SMUX_API void smux_stream_accept(smux_stream *stream);

/* Closes the sending direction: a FIN follows what is queued.  Receiving continues.  Idempotent.
 * Fails with the stream's error if it has been reset. */
SMUX_API int smux_stream_close_write(smux_stream *stream);

/* Closes the stream in order and gives up the handle.  What is queued still goes out, followed by
 * FIN; what arrives is dropped, and what was unread counts as consumed.  A peer with extensions
 * that has not sent its own FIN is told (SMUX_EVENT_PEER_CLOSED there); to other peers it looks
 * like smux_stream_close_write.  Always succeeds. */
SMUX_API void smux_stream_close(smux_stream *stream);

/* Aborts the stream and gives up the handle.  What is queued is dropped, and a peer with extensions
 * sees a reset; any other sees FIN, as at the end of an orderly stream.  During a session's first
 * second the reset is held back until the peer has said whether it supports the extensions. */
SMUX_API void smux_stream_reset(smux_stream *stream);

/* Closes the sending direction with a reset instead of FIN, after what is queued.  Receiving
 * continues until SMUX_EVENT_RESET with SMUX_ERR_LOCAL_RESET says that all of it has gone out.
 * smux_stream_reset may be called before that and takes effect at once.  Idempotent.  Fails with
 * the stream's error if it has been reset. */
SMUX_API int smux_stream_reset_behind(smux_stream *stream);

/* The stream's id on the wire, and its session. */
SMUX_API uint32_t smux_stream_id(const smux_stream *stream);
SMUX_API smux_session *smux_stream_session(const smux_stream *stream);
/* A pointer for the caller's own use, which events carry along.  NULL at first. */
SMUX_API void smux_stream_set_user(smux_stream *stream, void *user);
SMUX_API void *smux_stream_user(const smux_stream *stream);

/* Returns how many bytes more than those already queued the peer's window admits now; in version 1,
 * which has no windows, a number larger than any queue.  After 0, SMUX_EVENT_WRITABLE follows once,
 * when there is room.  Meant for callers that would rather leave data where it is than queue what
 * cannot go out. */
SMUX_API uint64_t smux_stream_window_room(smux_stream *stream);

/* A snapshot of a stream. */
typedef struct smux_stream_info {
    uint32_t id;
    /* The error that the stream ended with, 0 while it lives. */
    int error;
    /* Opened by this side. */
    bool local;
    /* False while it is in the backlog. */
    bool accepted;
    /* The peer's end of the stream, or a reset, has been received. */
    bool read_closed;
    /* smux_stream_close_write has been called, or the stream has been reset. */
    bool write_closed;
    /* Payload bytes received and sent. */
    uint64_t bytes_in, bytes_out;
    /* Bytes delivered and not yet consumed. */
    uint64_t unread;
    /* Bytes waiting to be sent. */
    uint64_t queued;
    /* Version 2: the window promised to the peer, in bytes. */
    uint32_t recv_window;
    /* How many bytes the peer admits now; INT64_MAX in version 1. */
    int64_t send_window;
    /* When data last moved in either direction; kept up to date only if stream_idle_timeout_us is
     * set. */
    uint64_t active_us;
} smux_stream_info;
SMUX_API void smux_stream_get_info(const smux_stream *stream, smux_stream_info *info);

/* Walks over all streams, in no particular order: pass NULL for the first one and the previous one
 * for the next; NULL comes after the last.  Streams given up by smux_stream_close are not shown.
 * Streams must not be opened, closed or fed during the walk.  To close them all, collect them
 * first (starting again from NULL after each one looks at every slot of a table again) or free the
 * session. */
SMUX_API smux_stream *smux_session_next_stream(const smux_session *session,
                                               const smux_stream *previous);

/* ---- Sending -------------------------------------------------------------------------------- */

/* Copies data into the stream's queue, as much as stream_send_buffer and session_send_buffer leave
 * room for.  Returns the number of bytes taken.  If that is less than given, possibly 0,
 * SMUX_EVENT_WRITABLE follows when there is room.  Errors: SMUX_ERR_SHUT, the stream's or the
 * session's error; SMUX_ERR_NOMEM, after which nothing has been taken and no event follows. */
SMUX_API ssize_t smux_stream_send(smux_stream *stream, const void *data, size_t len);
SMUX_API ssize_t smux_stream_sendv(smux_stream *stream, const struct iovec *iov, int iovcnt);

/* Marks a queued byte as urgent, as TCP's MSG_OOB does: the last one, or the one that `behind`
 * bytes follow.  The peer's SMUX_EVENT_DATA that ends with it has `urgent` set.  Only one byte is
 * marked at a time: a new mark replaces one whose byte is not in a frame yet, as in TCP, and
 * smux_session_send_cancel on the stream removes it.  A peer without extensions gets the byte like
 * any other.  Errors: SMUX_ERR_ARGUMENT if that byte is no longer queued; SMUX_ERR_SHUT, the
 * stream's or the session's error as in smux_stream_send. */
SMUX_API int smux_stream_mark_urgent(smux_stream *stream, size_t behind);

/* Returns how many bytes smux_stream_send would take now. */
SMUX_API size_t smux_stream_send_room(const smux_stream *stream);

/* A buffer that is sent without being copied.  The caller provides the struct, zeroed before its
 * first use, and sets `data`, `len` and perhaps `user`.  It can be used again after
 * SMUX_EVENT_RETURNED. */
struct smux_sendbuf {
    /* What to send.  `len` must not be 0. */
    const uint8_t *data;
    size_t len;
    /* For the caller's own use. */
    void *user;
    /* Private to the engine, not part of the API: zero them once, and never read or change them. */
    smux_sendbuf *next_;
    smux_stream *stream_;
    size_t capacity_;
    size_t done_;
    int state_;
};

/* Queues `buffer` after what is already queued.  The struct and the bytes it points to are
 * borrowed until SMUX_EVENT_RETURNED names it.  That event always comes, even after a reset or a
 * failure, unless the session is freed or smux_session_send_cancel succeeds.  stream_send_buffer
 * and session_send_buffer do not apply, since the memory is the caller's.  Errors, with nothing
 * borrowed: SMUX_ERR_ARGUMENT (empty, or already lent), SMUX_ERR_SHUT, the stream's or the
 * session's error. */
SMUX_API int smux_stream_send_borrowed(smux_stream *stream, smux_sendbuf *buffer);

/* Takes a borrowed buffer back early, with what has not been sent of it: *left, if `left` is not
 * NULL, is set to the number of unsent bytes, counted from the buffer's end.  A frame that is
 * already partly on the wire must be completed, so its rest is copied and counts as sent.  No
 * SMUX_EVENT_RETURNED follows.  Errors: SMUX_ERR_BUSY between smux_session_output and
 * smux_session_output_done; SMUX_ERR_NOMEM, the buffer being still borrowed; SMUX_ERR_ARGUMENT if
 * it is not queued because its SMUX_EVENT_RETURNED has come or is pending. */
SMUX_API int smux_session_send_cancel(smux_session *session, smux_sendbuf *buffer, size_t *left);

/* The most bytes that one smux_session_output hands out, not counting the rest of a frame that is
 * partly sent: enough to be worth a system call, and little enough for urgent frames to get their
 * turn soon. */
#define SMUX_OUTPUT_MAX (260u * 1024u) /* four of the largest frames */

/* Fills `iov`, which has room for iov_max entries, with what is to be written to the carrier now.
 * Returns the number of entries used, 0 if there is nothing to send, or SMUX_ERR_ARGUMENT if
 * iov_max is below 4; 64 is a good value.  The memory that `iov` points to belongs to the session
 * and stays valid until the next smux_session_output_done or smux_session_free.  Control frames go
 * first, then streams that have at most 4096 bytes to send, once in a round; the others take turns
 * by deficit round robin over bytes (smux_session_set_burst).  A second smux_session_output without
 * a smux_session_output_done in between counts as one with 0 bytes. */
SMUX_API int smux_session_output(smux_session *session, struct iovec *iov, int iov_max,
                                 uint64_t now_us);

/* Says that the carrier took the first n of those bytes: all, some or none.  Every
 * smux_session_output that returned more than 0 must be followed by one smux_session_output_done,
 * even if writing failed.  Frames that were not begun are planned anew by the next
 * smux_session_output, so that urgent ones can overtake them. */
SMUX_API void smux_session_output_done(smux_session *session, size_t n);

/* Whether smux_session_output has anything new to hand out.  Between smux_session_output and
 * smux_session_output_done this is false if everything has been handed out. */
SMUX_API bool smux_session_want_write(const smux_session *session);

/* ---- Time ----------------------------------------------------------------------------------- */

#define SMUX_NEVER UINT64_MAX

/* Returns when to call smux_session_tick next; SMUX_NEVER if there is no need to.  0 while an event
 * is pending: call smux_session_next_event at once. */
SMUX_API uint64_t smux_session_deadline(const smux_session *session);

/* Does what is due: keepalives and timeouts.  Calling it early is harmless. */
SMUX_API void smux_session_tick(smux_session *session, uint64_t now_us);

/* "MAJOR.MINOR.PATCH" of the library that is loaded. */
SMUX_API const char *smux_library_version(void);
#define SMUX_LIBRARY_VERSION "0.1.0"

#ifdef __cplusplus
}
#endif
#endif
