/* SPDX-License-Identifier: MIT
 * smuxb_stream_write. Over a socket the caller's memory is lent to the engine and goes from there
 * to the kernel; the call waits until it has gone. Only a small write that would have to wait for
 * another thread's system call is copied instead, and that thread sends it too. Over a transport
 * everything is copied, because its writev may block for longer than a deadline allows.
 */
#include "core/blocking/blk.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Copying this much costs less than going to sleep and being woken. */
#define COPY_MAX 16384u
/* Gathered writes shorter than this in total become one buffer, and so one frame. */
#define JOIN_MAX 4096u
/* How many pieces are described on the stack. */
#define PIECES_MAX 8
/* How long to wait before trying again to take memory back when none is free to keep the rest of a
 * partly sent frame. */
#define RETRY_US 10000u

/* The return value of a write of which `written` bytes are out; `reason`: why the rest is not. */
static ssize_t write_result(const smuxb_stream *st, size_t written, size_t total, int reason) {
    if (written == total)
        return (ssize_t)total;
    int failed = blk_write_error(st);
    if (failed && (failed != SMUXB_ERR_STREAM_CLOSED || st->reset))
        return failed;
    return written ? (ssize_t)written : failed ? failed : reason;
}

/* ---- Lending -------------------------------------------------------------------------------- */

/* The memory must no longer be lent when the call returns. */
static void end_loan(smuxb_session *s, struct blk_waiter *w) {
    w->stream = NULL; /* there is more to do than return the length, so it must not be granted */
    blk_dispatch(s);
    while (w->pending && !blk_take_back(s, w)) {
        list_append(&s->cancels, &w->cancel);
        blk_sleep(s, w, NULL, smuxb_now_us() + RETRY_US);
        list_remove(&w->cancel);
        blk_dispatch(s);
    }
}

static int lend(smuxb_stream *st, struct blk_waiter *w, const struct iovec *iov, int iovcnt) {
    int error = 0;
    for (int i = 0; i < iovcnt && !error; i++) {
        smux_sendbuf *b = &w->bufs[w->bufs_len];
        if (!iov[i].iov_len)
            continue;
        *b = (smux_sendbuf){.data = iov[i].iov_base, .len = iov[i].iov_len, .user = w};
        error = smux_stream_send_borrowed(st->engine, b);
        if (error)
            break;
        w->bufs_len++;
        w->pending++;
        w->kept_back -= iov[i].iov_len;
    }
    return error;
}

static ssize_t write_lent(smuxb_stream *st, struct blk_waiter *w, const struct iovec *iov,
                          int iovcnt, size_t total) {
    smuxb_session *s = st->session;
    w->kept_back = total;
    int error = lend(st, w, iov, iovcnt);
    list_append(&st->writers, &w->home);
    if (!error && blk_flush_due(s))
        blk_flush(s, w);
    if (!error && !w->done)
        (void)blk_wait(s, w);
    if (w->granted)
        return (ssize_t)total;
    if (w->pending) {
        end_loan(s, w);
        w->done = true;
        blk_flush(s, w); /* a close that had to wait for the loan */
    }
    list_remove(&w->home);
    if (w->error) /* what had not gone out has been dropped */
        return st->closed ? SMUXB_ERR_STREAM_CLOSED : w->error;
    return write_result(st, total - w->kept_back, total, error ? error : SMUXB_ERR_TIMEOUT);
}

static void join(uint8_t *to, const struct iovec *iov, int iovcnt) {
    for (int i = 0; i < iovcnt; to += iov[i].iov_len, i++)
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
}

static ssize_t lend_all(smuxb_stream *st, struct blk_waiter *w, const struct iovec *iov, int iovcnt,
                        size_t total) {
    smux_sendbuf on_stack[PIECES_MAX], *bufs = on_stack;
    uint8_t joined[JOIN_MAX];
    struct iovec one = {joined, total};
    if (iovcnt > 1 && total <= JOIN_MAX) {
        join(joined, iov, iovcnt);
        iov = &one;
        iovcnt = 1;
    }
    if (iovcnt > PIECES_MAX && !(bufs = malloc((size_t)iovcnt * sizeof *bufs)))
        return SMUX_ERR_NOMEM;
    w->bufs = bufs;
    ssize_t result = write_lent(st, w, iov, iovcnt, total);
    if (bufs != on_stack)
        free(bufs);
    return result;
}

/* ---- Copying -------------------------------------------------------------------------------- */

/* Whether another thread is about to send, or will be told when the carrier has room. */
static bool may_copy(const smuxb_stream *st, size_t total) {
    const smuxb_session *s = st->session;
    return total <= COPY_MAX && (s->flushing || s->full) &&
           smux_stream_send_room(st->engine) >= total;
}

/* Copies what there is room for, starting at `at`. Returns an error or how many bytes. */
static ssize_t copy_some(smuxb_stream *st, const struct iovec *iov, int iovcnt, size_t at) {
    size_t done = 0;
    for (int i = 0; i < iovcnt; i++) {
        size_t len = iov[i].iov_len;
        if (at >= len) {
            at -= len;
            continue;
        }
        ssize_t n = smux_stream_send(st->engine, (const uint8_t *)iov[i].iov_base + at, len - at);
        if (n < 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
        if ((size_t)n < len - at)
            break;
        at = 0;
    }
    return (ssize_t)done;
}

/* Writers take turns, so that the bytes of each call stay together. */
static ssize_t copy_all(smuxb_stream *st, struct blk_waiter *w, const struct iovec *iov, int iovcnt,
                        size_t total) {
    smuxb_session *s = st->session;
    bool in_time = true;
    size_t done = 0;
    int reason = SMUXB_ERR_TIMEOUT;
    list_append(&st->writers, &w->home);
    while (!blk_write_error(st)) {
        ssize_t n = list_first(&st->writers) == &w->home ? copy_some(st, iov, iovcnt, done) : 0;
        if (n < 0) {
            reason = (int)n;
            break;
        }
        done += (size_t)n;
        blk_flush(s, w);
        if (done == total || !in_time)
            break;
        w->done = false;
        in_time = blk_wait(s, w);
    }
    list_remove(&w->home);
    if (!list_is_empty(&st->writers))
        blk_satisfy(s, container_of(list_first(&st->writers), struct blk_waiter, home));
    else if (st->fin && st->engine)
        (void)smux_stream_close_write(st->engine); /* it was requested while this was going on */
    return write_result(st, done, total, reason);
}

/* ---- The call -------------------------------------------------------------------------------- */

static ssize_t write_locked(smuxb_stream *st, struct blk_waiter *w, const struct iovec *iov,
                            int iovcnt, size_t total) {
    int error = blk_write_error(st);
    if (!error && st->fin)
        error = SMUX_ERR_SHUT;
    if (error || !total)
        return error;
    if (st->session->threaded)
        return copy_all(st, w, iov, iovcnt, total);
    if (may_copy(st, total)) {
        ssize_t n = smux_stream_sendv(st->engine, iov, iovcnt);
        if (n == (ssize_t)total)
            return n;
        if (n > 0) /* out of memory halfway: n bytes are queued, and must not be sent twice */
            return n;
    }
    return lend_all(st, w, iov, iovcnt, total);
}

ssize_t smuxb_stream_writev(smuxb_stream *st, const struct iovec *iov, int iovcnt) {
    smuxb_session *s = st->session;
    struct blk_waiter w;
    size_t total = 0;
    if (iovcnt < 0)
        return SMUX_ERR_ARGUMENT;
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len > SSIZE_MAX - total)
            return SMUX_ERR_ARGUMENT;
        total += iov[i].iov_len;
    }
    blk_waiter_init(&w, &st->write_deadline_us);
    w.stream = st;
    w.writes = true;
    blk_lock(s);
    st->refs++;
    ssize_t result = write_locked(st, &w, iov, iovcnt, total);
    if (w.granted)
        return result;
    blk_stream_unref(st);
    blk_leave(s);
    return result;
}

ssize_t smuxb_stream_write(smuxb_stream *st, const void *data, size_t len) {
    struct iovec iov = {(void *)(uintptr_t)data, len};
    return smuxb_stream_writev(st, &iov, 1);
}
