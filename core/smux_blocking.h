/* SPDX-License-Identifier: MIT
 *
 * libsmux's blocking API: a ready-made smux session over a socket, or over whatever the caller can
 * read and write, for programs that use threads.  It drives the engine of smux.h and offers what
 * the Session and Stream of the Go library offer.  Unlike the engine it is for Linux only (futexes,
 * eventfds).
 *
 *     smuxb_session *session;
 *     smuxb_stream *stream;
 *     int error = smuxb_session_client(&session, fd, NULL);
 *     if (!error && !(error = smuxb_stream_open(session, &stream))) {
 *         smuxb_stream_write(stream, "hello", 5);
 *         smuxb_stream_close(stream);
 *     }
 *
 * Threads: every function may be called from any number of threads at once, even on the same
 * stream.  Concurrent writes to a stream do not mix: the bytes of each call stay together.  A
 * session over a descriptor has one thread of its own, one over a transport has three; they block
 * all signals.
 *
 * Handles: a smuxb_stream * is given up by smuxb_stream_close or smuxb_stream_reset, a
 * smuxb_session * by smuxb_session_free.  Threads that are waiting inside a call on it at that
 * moment return with an error, and the memory lives for as long as they need it.  But no call may
 * start on a handle that has been given up, and a thread that is about to start one cannot know
 * that another is giving it up.  Therefore:
 *   - end a session that threads share with smuxb_session_close, which makes their calls return,
 *     and free it with smuxb_session_free when none of them will make another call, for example
 *     when they have been joined.  The handle of a stream also keeps its session's memory alive.
 *   - give each thread a handle of its own, from smuxb_stream_ref, if threads share a stream and do
 *     not know when another one closes it.  Do so before any of them can close it.
 *
 * Memory: sessions share nothing but a cache of unused receive buffers, at most 64 of 128 KiB, that
 * the process keeps after its last session, because a loan (smuxb_stream_borrow) may outlive the
 * session it comes from.  Everything else is freed with the session.
 *
 * Errors: functions that return int or ssize_t return a negative SMUX_ERR_ or SMUXB_ERR_ value on
 * failure; smuxb_strerror has the text.  errno means nothing after a call.
 *
 * Deadlines are absolute, in microseconds of CLOCK_MONOTONIC (smuxb_now_us, smuxb_after_ms); 0
 * means none.  A new deadline also applies to calls that are already waiting.  Once it has passed,
 * calls fail with SMUXB_ERR_TIMEOUT as soon as they would have to wait.  Nothing else happens, and
 * calls succeed again after it has been moved or cleared.
 *
 * Cancellation: no function is a cancellation point.  A thread that is cancelled inside one
 * continues, and acts on it at its next cancellation point.  To end another thread's wait, move its
 * deadline or close the stream or session.
 *
 * Signals do not interrupt calls (their waits are restarted), and a session over a descriptor never
 * raises SIGPIPE.
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

/* Name, value, tier and text, in addition to those of smux_config.h.  Values are part of the ABI
 * and never reused. */
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

/* The text and the name of an error of either kind: static, never NULL. */
SMUX_API const char *smuxb_strerror(int error);
SMUX_API const char *smuxb_error_name(int error);
/* What an error of either kind ends.  (smux_error_tier knows only those of smux_config.h.) */
SMUX_API enum smux_tier smuxb_error_tier(int error);

/* ---- Sessions ------------------------------------------------------------------------------- */

/* Starts a session over the connected stream socket `fd` (TCP or unix, blocking or not: its file
 * status flags are neither used nor changed).  On success the session owns the descriptor and
 * closes it, and *session belongs to the caller, who frees it with smuxb_session_free.  On failure
 * the descriptor stays the caller's and *session is NULL.  TCP_NODELAY is set on TCP.
 *
 * `config` is copied; NULL means the defaults; a hash_seed of 0 is replaced by a random one.
 * Errors: SMUX_ERR_CONFIG (smux_config_verify says which field is wrong), SMUX_ERR_NOMEM,
 * SMUXB_ERR_DESCRIPTOR, SMUXB_ERR_THREAD, SMUXB_ERR_SYSTEM. */
SMUX_API int smuxb_session_client(smuxb_session **session, int fd, const smux_config *config);
SMUX_API int smuxb_session_server(smuxb_session **session, int fd, const smux_config *config);

/* A carrier that is not a plain socket, such as TLS.  One thread of the session calls `read`,
 * another one `writev`, both at the same time; an OpenSSL SSL object, for one, needs a lock of the
 * caller's for that.  All signals are blocked in these threads. */
typedef struct smuxb_transport {
    /* Waits for bytes and stores at most `len` of them at `data`.  Returns how many (at least 1), 0
     * at the end, or -1 with errno. */
    ssize_t (*read)(void *context, void *data, size_t len);
    /* Waits until it can write some of the bytes, and returns how many it wrote (at least 1), or -1
     * with errno. */
    ssize_t (*writev)(void *context, const struct iovec *iov, int iovcnt);
    /* Makes all calls of `read` and `writev`, waiting or later ones, return soon;
     * shutdown(2) of the socket beneath does that.  Called once, from any thread, never after
     * `close`. */
    void (*shutdown)(void *context);
    /* Releases the carrier.  The last callback to be called, once, from a thread of the session.
     * May be NULL. */
    void (*close)(void *context);
    /* Passed to each callback. */
    void *context;
} smuxb_transport;

/* The same over `transport`, which is copied.  Written data is copied into the session, at most
 * stream_send_buffer bytes for a stream and session_send_buffer in all; writers wait for room.  If
 * this fails, no callback has been called.  Errors: SMUX_ERR_ARGUMENT (a callback other than
 * `close` is missing), SMUX_ERR_CONFIG, SMUX_ERR_NOMEM, SMUXB_ERR_THREAD. */
SMUX_API int smuxb_session_client_over(smuxb_session **session, const smuxb_transport *transport,
                                       const smux_config *config);
SMUX_API int smuxb_session_server_over(smuxb_session **session, const smuxb_transport *transport,
                                       const smux_config *config);

/* Ends the session and all its streams; every thread that waits on one of them returns with
 * SMUX_ERR_CLOSED.  What has been written still goes to the carrier, as long as the carrier takes
 * it without pausing for more than SMUXB_LINGER_MS (it is given up within twice that), and for at
 * most SMUXB_LINGER_MAX_MS in all, whatever else the peer does.  Then the session has ended, and
 * this returns to all threads that have called it.  The handle stays valid.  Idempotent.  Returns
 * 0, or the error that had ended the session before or that ended it meanwhile. */
#define SMUXB_LINGER_MS     1000
#define SMUXB_LINGER_MAX_MS 60000
SMUX_API int smuxb_session_close(smuxb_session *session);

/* Closes the session as smuxb_session_close does, and gives up the handle.  When it returns, the
 * session's threads have ended and the carrier is closed; before that, TCP is given time to
 * deliver, within the same bounds for both together.  Streams of the session remain to be closed by
 * their owners, before or after.  `session` may be NULL.  Must not be called from a callback of the
 * transport. */
SMUX_API void smuxb_session_free(smuxb_session *session);

/* Whether calls on the session fail, because it has ended for whatever reason or
 * smuxb_session_close has been called. */
SMUX_API bool smuxb_session_is_closed(const smuxb_session *session);

/* Waits for the session's end, until `deadline_us` (0: forever; a time in the past: do not wait).
 * Returns the error that ended it, or SMUXB_ERR_TIMEOUT while it lives, which it does until
 * smuxb_session_close is done.  SMUX_ERR_CLOSED: this side closed it.  SMUX_ERR_CARRIER: the
 * connection ended, and smuxb_session_errno says how. */
SMUX_API int smuxb_session_wait(smuxb_session *session, uint64_t deadline_us);

/* After SMUX_ERR_CARRIER, the errno that the connection failed with, such as ECONNRESET; 0 if the
 * peer just closed it, which is how a smux peer ends its session.  0 in all other cases. */
SMUX_API int smuxb_session_errno(const smuxb_session *session);
/* Describes the error that ended the session in detail ("bad frame version: 7, expected 2"); "no
 * error" until smuxb_session_wait would return one.  The text is valid as long as the handle. */
SMUX_API const char *smuxb_session_error_text(const smuxb_session *session);

/* smux_session_info.streams alone, and all of it; see smux.h. */
SMUX_API uint32_t smuxb_session_num_streams(const smuxb_session *session);
SMUX_API void smuxb_session_get_info(const smuxb_session *session, smux_session_info *info);

/* See smux_session_goaway and smux_session_ping in smux.h. */
SMUX_API void smuxb_session_goaway(smuxb_session *session);
SMUX_API void smuxb_session_ping(smuxb_session *session);

/* Copy the address of the socket and that of its peer to `addr`, as they were when the session
 * started; they stay available after its end.  As with getsockname(2), *len is the room at `addr`
 * and becomes the address's length, which may be more.  Error: SMUXB_ERR_DESCRIPTOR if the session
 * runs over a transport. */
SMUX_API int smuxb_session_local_addr(const smuxb_session *session, struct sockaddr *addr,
                                      socklen_t *len);
SMUX_API int smuxb_session_remote_addr(const smuxb_session *session, struct sockaddr *addr,
                                       socklen_t *len);

/* ---- Opening and accepting ------------------------------------------------------------------ */

/* Opens a stream without waiting for the peer.  On success *stream belongs to the caller until
 * smuxb_stream_close or smuxb_stream_reset.  Errors: those of smux_stream_open, and the session's
 * if it has ended. */
SMUX_API int smuxb_stream_open(smuxb_session *session, smuxb_stream **stream);

/* Waits for a stream that the peer opens, until the accept deadline, and gives the caller a handle
 * as smuxb_stream_open does.  While the backlog is full the session receives only as fast as
 * streams are accepted; if none has been accepted for half a second, it refuses further ones.
 * Errors: SMUXB_ERR_TIMEOUT, the session's. */
SMUX_API int smuxb_stream_accept(smuxb_session *session, smuxb_stream **stream);
/* Sets the deadline of smuxb_stream_accept, for all threads.  0, the default, means none. */
SMUX_API void smuxb_session_set_accept_deadline(smuxb_session *session, uint64_t deadline_us);

/* ---- Streams -------------------------------------------------------------------------------- */

/* Waits for data, until the read deadline, and stores what there is, at most `len` bytes.  Returns
 * how many were stored (at least 1), or 0 at the peer's end of the stream or if `len` is 0.
 *
 * All `len` bytes at `data` belong to the library during the call.  Afterwards the bytes past
 * what was stored (all of them after 0 or an error) are unspecified: they may have been
 * overwritten, even with data of other streams of the session.
 *
 * Data that arrived before the session's end is delivered first; a reset of the stream discards
 * what was unread.  An error never looks like the end of the stream.  Errors: SMUXB_ERR_TIMEOUT,
 * SMUXB_ERR_STREAM_CLOSED, SMUX_ERR_NOMEM, the stream's or the session's. */
SMUX_API ssize_t smuxb_stream_read(smuxb_stream *stream, void *data, size_t len);

/* Bytes of a stream that are lent where they were received. */
#define SMUXB_LOAN_PIECES 8
typedef struct smuxb_loan {
    /* The bytes, in this order. */
    struct iovec iov[SMUXB_LOAN_PIECES];
    /* How many pieces there are; 0: nothing is lent. */
    int iovcnt;
    /* Private to the library, not part of the API. */
    void *blocks_[SMUXB_LOAN_PIECES];
} smuxb_loan;

/* Reads without a copy: waits for data as smuxb_stream_read does and lends what there is, at most
 * `len` bytes.  Returns what smuxb_stream_read would.  If that is more than 0, the bytes are valid
 * until smuxb_stream_return, and the borrower may change them; otherwise nothing is lent, and *loan
 * need not be returned.  A loan does not depend on its stream or session: it may outlive both, and
 * any thread may return it.  Lent bytes count as read, so the peer goes on sending.  Only returning
 * loans bounds the memory, and even a small one may keep 128 KiB in use. */
SMUX_API ssize_t smuxb_stream_borrow(smuxb_stream *stream, size_t len, smuxb_loan *loan);
/* Returns a loan, which has no pieces afterwards.  Idempotent. */
SMUX_API void smuxb_stream_return(smuxb_loan *loan);

/* For programs that serve many streams with few threads.  smuxb_stream_watch asks for one notice
 * when reading the stream need no longer wait: because of data, its end, or an error.
 * smuxb_session_ready waits for such a notice of any stream of the session, until `deadline_us` (0:
 * none), and sets *stream to the caller's own handle of that stream.  Each notice goes to one
 * thread only.  To get another one, watch the stream again, even if not everything was read.
 * Closing or resetting a stream cancels its watch.  When the session ends, all watched streams
 * become ready; smuxb_session_ready fails with the session's error only after these.  Errors:
 * SMUXB_ERR_TIMEOUT, the session's. */
SMUX_API void smuxb_stream_watch(smuxb_stream *stream);
SMUX_API int smuxb_session_ready(smuxb_session *session, uint64_t deadline_us,
                                 smuxb_stream **stream);

/* Writes all `len` bytes and returns their number, waiting for the peer's window and the carrier
 * until the write deadline.  `data` may be reused when it returns.  Nothing is sent if `len` is 0.
 *
 * If the deadline, lack of memory or smuxb_stream_close ends it halfway, it returns how many bytes
 * had gone out, or the error if there were none.  If the stream or the session has failed, or was
 * ended by smuxb_stream_reset or smuxb_session_close, it returns the error, however much had gone
 * out.  Bytes have gone out when they have been handed to the carrier, or to a queue before it that
 * takes at most stream_send_buffer bytes of a stream.
 *
 * Errors: SMUX_ERR_SHUT after smuxb_stream_close_write, SMUXB_ERR_TIMEOUT, SMUXB_ERR_STREAM_CLOSED,
 * SMUX_ERR_NOMEM, the stream's or the session's. */
SMUX_API ssize_t smuxb_stream_write(smuxb_stream *stream, const void *data, size_t len);
/* The same for the bytes of iovcnt pieces, of which there may be any number.  Another error:
 * SMUX_ERR_ARGUMENT (iovcnt is negative, or the pieces add up to more than SSIZE_MAX). */
SMUX_API ssize_t smuxb_stream_writev(smuxb_stream *stream, const struct iovec *iov, int iovcnt);

/* Closes the sending direction: the peer reads what was written, then the end of the stream.
 * Reading continues.  Writes that are waiting in other threads are completed first.  Idempotent.
 * Fails with the stream's or the session's error. */
SMUX_API int smuxb_stream_close_write(smuxb_stream *stream);

/* Closes the stream and gives up the handle.  What was written still goes out, followed by the end
 * of the stream; what arrives is dropped.  Threads inside a call on it return with
 * SMUXB_ERR_STREAM_CLOSED, or, from a write that is halfway, with what had gone out.  Does not
 * wait.  `stream` may be NULL. */
SMUX_API void smuxb_stream_close(smuxb_stream *stream);
/* Aborts the stream and gives up the handle: like smuxb_stream_close, but what has not gone out
 * yet is dropped (so a write that is halfway returns SMUXB_ERR_STREAM_CLOSED as well), and the peer
 * sees an error instead of the end.  (A plain smux peer, which knows no reset, sees the end.) */
SMUX_API void smuxb_stream_reset(smuxb_stream *stream);

/* Makes another handle of the same stream, with the same pointer, and returns it.  It is given up
 * by smuxb_stream_unref, which does not close anything.  Once the stream has been closed through
 * its main handle, calls on it fail with SMUXB_ERR_STREAM_CLOSED.  smuxb_stream_unref accepts
 * NULL. */
SMUX_API smuxb_stream *smuxb_stream_ref(smuxb_stream *stream);
SMUX_API void smuxb_stream_unref(smuxb_stream *stream);

/* Set the deadline of smuxb_stream_read and smuxb_stream_borrow, that of writes, or both.  0, the
 * default, means none. */
SMUX_API void smuxb_stream_set_read_deadline(smuxb_stream *stream, uint64_t deadline_us);
SMUX_API void smuxb_stream_set_write_deadline(smuxb_stream *stream, uint64_t deadline_us);
SMUX_API void smuxb_stream_set_deadline(smuxb_stream *stream, uint64_t deadline_us);

/* The stream's id on the wire. */
SMUX_API uint32_t smuxb_stream_id(const smuxb_stream *stream);
/* The stream's session.  The pointer is valid as long as the stream's handle, even after
 * smuxb_session_free, which closes the session. */
SMUX_API smuxb_session *smuxb_stream_session(const smuxb_stream *stream);
/* Fills *info in; see smux.h.  Errors, with nothing filled in: SMUXB_ERR_STREAM_CLOSED after
 * smuxb_stream_close or smuxb_stream_reset; SMUX_ERR_NOMEM if the stream was reset for lack
 * of memory. */
SMUX_API int smuxb_stream_get_info(const smuxb_stream *stream, smux_stream_info *info);

/* ---- Time ----------------------------------------------------------------------------------- */

/* The present time of CLOCK_MONOTONIC in microseconds, and the deadline the given number of
 * milliseconds ahead; UINT64_MAX if it is too far ahead. */
SMUX_API uint64_t smuxb_now_us(void);
SMUX_API uint64_t smuxb_after_ms(uint64_t milliseconds);

#ifdef __cplusplus
}
#endif
#endif
