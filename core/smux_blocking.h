/* SPDX-License-Identifier: MIT
 *
 * libsmux's blocking API: a ready-made smux session over a socket, or over whatever the caller
 * reads and writes, for programs that use threads.  It drives the engine of smux.h and offers what
 * the Go library's Session and Stream offer.  It is for Linux (futexes, eventfds), unlike the
 * engine.
 *
 *     smuxb_session *session;
 *     smuxb_stream *stream;
 *     int error = smuxb_session_client(&session, fd, NULL);
 *     if (!error && !(error = smuxb_stream_open(session, &stream))) {
 *         smuxb_stream_write(stream, "hello", 5);
 *         smuxb_stream_close(stream);
 *     }
 *
 * Threads: every function may be called from any number of threads at once, also on one and the
 * same stream.  Concurrent writes to a stream do not mix: each call's bytes stay together.
 * A session over a descriptor has one thread of its own, one over a transport three; they block
 * all signals.
 *
 * Handles: a smuxb_stream * is given up by smuxb_stream_close or smuxb_stream_reset, a
 * smuxb_session * by smuxb_session_free.  Threads that wait inside a call on it at that moment
 * return with an error, and the memory lives as long as they need it.  But no call may begin on a
 * handle that has been given up, nor have only just begun when it is, which another thread cannot
 * see.  So:
 *   - a session that threads share is ended by smuxb_session_close, which makes their calls return,
 *     and freed by smuxb_session_free when none of them will make another one (they have been
 *     joined, say).  A handle of one of its streams keeps the session's memory, too.
 *   - threads that share a stream without knowing when another one closes it have a handle each,
 *     got by smuxb_stream_ref before any of them can close it.
 *
 * Errors: functions that return int or ssize_t return a negative SMUX_ERR_ or SMUXB_ERR_ value,
 * never errno; smuxb_strerror has the text.  errno says nothing.
 *
 * Deadlines are absolute, in microseconds of CLOCK_MONOTONIC (smuxb_now_us, smuxb_after_ms); 0 is
 * none.  A new deadline also holds for calls that wait already.  One that has passed makes calls
 * fail with SMUXB_ERR_TIMEOUT as soon as they would have to wait; it harms nothing, and the calls
 * succeed again once it has been moved or cleared.
 *
 * Cancellation: no function is a cancellation point.  A thread that is cancelled while it is inside
 * one goes on, and acts on it at its next cancellation point.  To end the wait of another thread,
 * move its deadline, or close.
 *
 * Signals: no call is interrupted by one (they are restarted), and no SIGPIPE is ever raised by a
 * session over a descriptor.
 *
 * fork: a session belongs to the process that made it.  A child that does not exec must not call
 * anything on it, not even smuxb_session_free; it may close the descriptor.
 */
#ifndef SMUX_BLOCKING_H
#define SMUX_BLOCKING_H

#include <sys/socket.h>

#include "smux.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct smuxb_session smuxb_session;
typedef struct smuxb_stream smuxb_stream;

/* ---- Errors --------------------------------------------------------------------------------- */

/* name, value, tier, text; beside those of smux.h.  Part of the ABI and never reused. */
#define SMUXB_ERRORS(X)                                                                            \
    X(SMUXB_ERR_TIMEOUT, -60, CALL, "deadline passed")                                             \
    X(SMUXB_ERR_STREAM_CLOSED, -61, STREAM, "stream closed by another thread")                     \
    X(SMUXB_ERR_DESCRIPTOR, -62, CALL, "not a connected stream socket")                            \
    X(SMUXB_ERR_THREAD, -63, CALL, "cannot start a thread")                                        \
    X(SMUXB_ERR_SYSTEM, -64, CALL, "out of descriptors or of another system resource")

enum smuxb_error {
#define X(name, value, tier, text) name = (value),
    SMUXB_ERRORS(X)
#undef X
};

/* Static text and name for an error of either kind.  Never NULL. */
SMUX_API const char *smuxb_strerror(int error);
SMUX_API const char *smuxb_error_name(int error);
/* What an error of either kind ends; smux_error_tier knows those of smux.h only. */
SMUX_API enum smux_tier smuxb_error_tier(int error);

/* ---- Sessions ------------------------------------------------------------------------------- */

/* Starts a session over the connected stream socket `fd` (TCP, unix; blocking or not: its file
 * status flags are neither used nor changed).  On success the descriptor is the session's, which
 * closes it; on failure it stays the caller's.  TCP_NODELAY is set where there is such a thing.
 *
 * `config` is copied, NULL for the defaults; a hash_seed of 0 is replaced by a random one.
 * Errors: SMUX_ERR_CONFIG (smux_config_verify says which field), SMUX_ERR_NOMEM,
 * SMUX_ERR_ARGUMENT, SMUXB_ERR_DESCRIPTOR, SMUXB_ERR_THREAD, SMUXB_ERR_SYSTEM. */
SMUX_API int smuxb_session_client(smuxb_session **session, int fd, const smux_config *config);
SMUX_API int smuxb_session_server(smuxb_session **session, int fd, const smux_config *config);

/* A carrier that is not a plain socket, such as TLS.  One thread of the session calls `read`,
 * another one `writev`, both at the same time (an OpenSSL SSL object needs a lock of the caller's
 * for that).  All signals are blocked in these threads. */
typedef struct smuxb_transport {
    /* Waits for bytes and returns how many it stored (1..len), 0 at the end, or -1 with errno. */
    ssize_t (*read)(void *context, void *data, size_t len);
    /* Waits until it can write some, and returns how many (>= 1), or -1 with errno. */
    ssize_t (*writev)(void *context, const struct iovec *iov, int iovcnt);
    /* Makes a `read` and `writev` that are waiting, and later ones, return soon (shutdown(2) of the
     * socket beneath does it).  Called once, from any thread, never after `close`. */
    void (*shutdown)(void *context);
    /* Releases the carrier.  Called once, as the last of all, from a thread of the session.  May be
     * NULL. */
    void (*close)(void *context);
    void *context;
} smuxb_transport;

/* As above, over `transport`, which is copied.  What is written is copied into the session, at most
 * stream_send_buffer bytes for a stream and session_send_buffer in all; writers wait for room.
 * None of the callbacks is called if this fails. */
SMUX_API int smuxb_session_client_over(smuxb_session **session, const smuxb_transport *transport,
                                       const smux_config *config);
SMUX_API int smuxb_session_server_over(smuxb_session **session, const smuxb_transport *transport,
                                       const smux_config *config);

/* Ends the session and all its streams; every thread that waits on them returns with
 * SMUX_ERR_CLOSED.  What streams have been given to send still goes to the carrier, as long as it
 * takes it without pausing for more than SMUXB_LINGER_MS (it is given up within twice that), and
 * for at most SMUXB_LINGER_MAX_MS in all; whatever else the peer does has no influence.  The
 * session ends when that is over: that is when this returns, to all threads that have called it.
 * The handle stays valid.  Idempotent: returns 0, or the error that had ended the session before,
 * or ended it while this was going on. */
#define SMUXB_LINGER_MS     1000
#define SMUXB_LINGER_MAX_MS 60000
SMUX_API int smuxb_session_close(smuxb_session *session);

/* smuxb_session_close, and gives up the handle.  The session's threads have ended and the carrier
 * is closed when this returns; before that, TCP is given the time to deliver, within the same
 * bounds (both, for it and smuxb_session_close together).  Streams of the session remain to be
 * closed by their owners (before or after).  NULL is fine.  Must not be called from a callback of
 * the transport. */
SMUX_API void smuxb_session_free(smuxb_session *session);

/* Whether calls on the session fail: it has ended, for whatever reason, or smuxb_session_close has
 * begun. */
SMUX_API bool smuxb_session_is_closed(const smuxb_session *session);

/* Waits for the session's end, until `deadline_us` (0: for ever; one in the past: just asks).
 * Returns the error that ended it, or SMUXB_ERR_TIMEOUT while it lives, which it does until
 * smuxb_session_close is through.  SMUX_ERR_CLOSED: closed by this side.  SMUX_ERR_CARRIER: the
 * connection ended; smuxb_session_errno says how. */
SMUX_API int smuxb_session_wait(smuxb_session *session, uint64_t deadline_us);

/* With SMUX_ERR_CARRIER: what the connection failed with, such as ECONNRESET; 0 if the peer just
 * closed it, which is how a smux peer ends its session.  0 otherwise. */
SMUX_API int smuxb_session_errno(const smuxb_session *session);
/* The error that ended the session with particulars ("frame version 7, expected 2"); until
 * smuxb_session_wait would return one, "no error".  Valid as long as the handle. */
SMUX_API const char *smuxb_session_error_text(const smuxb_session *session);

/* Streams alive, as of smux_session_info.streams. */
SMUX_API uint32_t smuxb_session_num_streams(const smuxb_session *session);
SMUX_API void smuxb_session_get_info(const smuxb_session *session, smux_session_info *info);

/* smux_session_goaway and smux_session_ping of smux.h. */
SMUX_API void smuxb_session_goaway(smuxb_session *session);
SMUX_API void smuxb_session_ping(smuxb_session *session);

/* The socket's own and its peer's address, as they were when the session began; they stay
 * available after its end.  Like getsockname(2), `len` is the room given and returns the length.
 * SMUXB_ERR_DESCRIPTOR if the session runs over a transport. */
SMUX_API int smuxb_session_local_addr(const smuxb_session *session, struct sockaddr *addr,
                                      socklen_t *len);
SMUX_API int smuxb_session_remote_addr(const smuxb_session *session, struct sockaddr *addr,
                                       socklen_t *len);

/* ---- Opening and accepting ------------------------------------------------------------------ */

/* Opens a stream; nothing waits for the peer.  On success *stream is the caller's, until
 * smuxb_stream_close or smuxb_stream_reset.  Errors: those of smux_stream_open, and the session's
 * if it has ended. */
SMUX_API int smuxb_stream_open(smuxb_session *session, smuxb_stream **stream);

/* Waits for a stream that the peer opens.  Otherwise as smuxb_stream_open; SMUXB_ERR_TIMEOUT.
 * While the backlog is full, the session reads on as fast as streams are accepted; it refuses
 * further ones if none has been for half a second. */
SMUX_API int smuxb_stream_accept(smuxb_session *session, smuxb_stream **stream);
SMUX_API void smuxb_session_set_accept_deadline(smuxb_session *session, uint64_t deadline_us);

/* ---- Streams -------------------------------------------------------------------------------- */

/* Waits for data and returns how many bytes were stored (1..len); 0 at the peer's end of the
 * stream, or if len is 0.  All `len` bytes at `data` are the library's during the call.  Afterwards
 * those behind what was stored, which is all of them if it returned 0 or an error, are unspecified:
 * they may have been overwritten, with data of other streams of the session too.  What arrived
 * before the session's end is delivered first; a reset of the stream drops what was unread.  An
 * error is never shown as an end of file.  Errors: SMUXB_ERR_TIMEOUT, SMUXB_ERR_STREAM_CLOSED,
 * SMUX_ERR_NOMEM, the stream's or the session's. */
SMUX_API ssize_t smuxb_stream_read(smuxb_stream *stream, void *data, size_t len);

/* Bytes of a stream, lent where they were received: as much as `iov` says, in this order. */
#define SMUXB_LOAN_PIECES 8
typedef struct smuxb_loan {
    struct iovec iov[SMUXB_LOAN_PIECES];
    int iovcnt;
    void *blocks_[SMUXB_LOAN_PIECES]; /* the library's */
} smuxb_loan;

/* smuxb_stream_read without a copy: waits for data and lends what there is, at most `len` bytes.
 * Returns what smuxb_stream_read does; above 0, the bytes stay valid until smuxb_stream_return, and
 * may be changed. Otherwise nothing is lent.  A loan belongs to whoever holds it: it outlives
 * stream and session, and any thread may give it back.  It counts as read, so the peer goes on
 * sending: giving back is what bounds memory, of which even a small loan may keep 128 KiB. */
SMUX_API ssize_t smuxb_stream_borrow(smuxb_stream *stream, size_t len, smuxb_loan *loan);
/* Idempotent: afterwards iovcnt is 0. */
SMUX_API void smuxb_stream_return(smuxb_loan *loan);

/* For programs that serve many streams with few threads.  smuxb_stream_watch asks for a stream to
 * be told of, once, as soon as reading it need not wait: for data, its end or an error.
 * smuxb_session_ready waits for any such stream of the session and returns it, each to one caller
 * only; to be told of it again, watch it again, also if not everything was read.  Closing or
 * resetting a stream ends its watch. When the session ends, all watched streams become ready; only
 * then smuxb_session_ready fails with the session's error.  SMUXB_ERR_TIMEOUT: `deadline_us` (0:
 * none) has passed. */
SMUX_API void smuxb_stream_watch(smuxb_stream *stream);
SMUX_API int smuxb_session_ready(smuxb_session *session, uint64_t deadline_us,
                                 smuxb_stream **stream);

/* Writes all of it and returns the number of bytes; waits for the peer's window and the carrier.
 * If a deadline, want of memory or smuxb_stream_close ends it half way, the number of bytes that
 * went out before is returned; the error, if there were none.  If the stream or session failed, or
 * was ended by smuxb_stream_reset or smuxb_session_close, it is the error, whatever went out.
 * "Out" means handed to the carrier, or to a queue before it that takes at most stream_send_buffer
 * bytes of a stream. Nothing is sent for len 0.
 * Errors: SMUX_ERR_SHUT after smuxb_stream_close_write, SMUXB_ERR_TIMEOUT, SMUXB_ERR_STREAM_CLOSED,
 * SMUX_ERR_NOMEM, the stream's or the session's error. */
SMUX_API ssize_t smuxb_stream_write(smuxb_stream *stream, const void *data, size_t len);
/* The same, gathered from iovcnt pieces (any number >= 0). */
SMUX_API ssize_t smuxb_stream_writev(smuxb_stream *stream, const struct iovec *iov, int iovcnt);

/* No more will be written: the peer reads what was written, then the end of the stream.  Reading
 * goes on.  Writes that wait in other threads are finished first.  Idempotent.  Error: the stream's
 * or the session's. */
SMUX_API int smuxb_stream_close_write(smuxb_stream *stream);

/* Ends the stream and gives up the handle.  What was written still goes out, followed by the end
 * of the stream; what arrives is dropped.  Threads inside a call on it return with
 * SMUXB_ERR_STREAM_CLOSED (a write that is half way: with what went out).  NULL is fine. */
SMUX_API void smuxb_stream_close(smuxb_stream *stream);
/* The same, but drops what has not gone out yet (so a write that is half way returns
 * SMUXB_ERR_STREAM_CLOSED as well), and the peer sees an error instead of the end (an ordinary smux
 * peer, which knows no reset, sees the end). */
SMUX_API void smuxb_stream_reset(smuxb_stream *stream);

/* Another handle to the same stream (the same pointer), to be given up by smuxb_stream_unref, which
 * does not close anything.  Calls on a stream that has been closed through its main handle fail
 * with SMUXB_ERR_STREAM_CLOSED.  Returns `stream`. */
SMUX_API smuxb_stream *smuxb_stream_ref(smuxb_stream *stream);
SMUX_API void smuxb_stream_unref(smuxb_stream *stream);

SMUX_API void smuxb_stream_set_read_deadline(smuxb_stream *stream, uint64_t deadline_us);
SMUX_API void smuxb_stream_set_write_deadline(smuxb_stream *stream, uint64_t deadline_us);
/* Both. */
SMUX_API void smuxb_stream_set_deadline(smuxb_stream *stream, uint64_t deadline_us);

SMUX_API uint32_t smuxb_stream_id(const smuxb_stream *stream);
/* Its session: valid as long as the stream's handle, even after smuxb_session_free (though by then
 * closed). */
SMUX_API smuxb_session *smuxb_stream_session(const smuxb_stream *stream);
/* SMUXB_ERR_STREAM_CLOSED after its end through smuxb_stream_close or smuxb_stream_reset. */
SMUX_API int smuxb_stream_get_info(const smuxb_stream *stream, smux_stream_info *info);

/* ---- Time ----------------------------------------------------------------------------------- */

/* CLOCK_MONOTONIC in microseconds, and the deadline that lies so many milliseconds ahead. */
SMUX_API uint64_t smuxb_now_us(void);
SMUX_API uint64_t smuxb_after_ms(uint64_t milliseconds);

#ifdef __cplusplus
}
#endif
#endif
