/* SPDX-License-Identifier: MIT
 * What the engine reports, and which threads are told.
 */
#include "core/blocking/blk.h"

#include <stdio.h>
#include <string.h>

/* ---- Streams -------------------------------------------------------------------------------- */

static void on_accept(smuxb_session *s, const smux_event *ev) {
    smuxb_stream *st = blk_stream_new(s, ev->stream);
    if (!st) {
        smux_stream_reset(ev->stream);
        return;
    }
    list_append(&s->unaccepted, &st->link);
    if (++s->backlog_len == s->backlog_max)
        blk_feed_no_further(s);
    blk_satisfy_one(s, &s->accepters);
}

/* Gives data to the waiting readers in order of arrival, unless older data is queued. */
static size_t deliver(smuxb_session *s, smuxb_stream *st, const uint8_t *data, size_t len) {
    size_t done = 0;
    if (st->queue.len)
        return 0;
    list_for_each(link, &st->readers) {
        if (done == len)
            break;
        struct blk_waiter *w = container_of(link, struct blk_waiter, home);
        size_t n = w->room - w->got < len - done ? w->room - w->got : len - done;
        if (!n || w->pieces_len == BLK_PIECES_MAX || (w->done && !w->got))
            continue; /* it is full, or returning with an error */
        if (!blk_hand_over(s, w, data + done, n))
            break;
        done += n;
        blk_served(s, w);
    }
    if (done)
        (void)smux_stream_consume(st->engine, done);
    return done;
}

/* What the waiting readers have got is followed by what is queued now, so they must get no more.
 * Those that have nothing, because they could not borrow, take it from the queue. */
static void seal_readers(smuxb_stream *st) {
    list_for_each(link, &st->readers) {
        struct blk_waiter *w = container_of(link, struct blk_waiter, home);
        w->room = w->got ? w->got : w->room;
        blk_satisfy(st->session, w);
        blk_wake(st->session, w); /* even if it is held */
    }
}

static void end_with(smuxb_session *s, smuxb_stream *st, int error) {
    st->error = error;
    blk_stream_ready(st);
    if (st->queue.len)
        st->eof = false;           /* incomplete data must not look complete */
    blk_queue_drop(s, &st->queue); /* it no longer counts against the engine's budget */
    blk_satisfy_all(s, &st->readers);
    blk_satisfy_all(s, &st->writers);
}

static void on_data(smuxb_session *s, const smux_event *ev) {
    smuxb_stream *st = ev->user;
    if (!st)
        return;
    s->receiving = st;
    blk_note_frame(s, st);
    size_t done = deliver(s, st, ev->data, ev->len);
    if (done == ev->len)
        return;
    if (blk_queue_put(s, &st->queue, ev->data + done, ev->len - done)) {
        seal_readers(st);
        blk_stream_ready(st);
        return;
    }
    /* The data must not have a gap. */
    st->engine = NULL;
    smux_stream_reset(ev->stream);
    end_with(s, st, SMUX_ERR_NOMEM);
}

static void on_eof(smuxb_session *s, const smux_event *ev) {
    smuxb_stream *st = ev->user;
    if (!st)
        return;
    st->eof = true;
    blk_satisfy_all(s, &st->readers);
    blk_stream_ready(st);
}

static void on_reset(smuxb_session *s, const smux_event *ev) {
    if (ev->user)
        end_with(s, ev->user, ev->error);
}

static void on_writable(smuxb_session *s, const smux_event *ev) {
    smuxb_stream *st = ev->user;
    if (st && !list_is_empty(&st->writers))
        blk_satisfy(s, container_of(list_first(&st->writers), struct blk_waiter, home));
}

static void on_sent(smuxb_session *s, const smux_event *ev) {
    struct blk_waiter *w = ev->buffer->user;
    ev->buffer->user = NULL; /* no longer lent */
    if (ev->error)
        w->error = ev->error;
    if (--w->pending == 0)
        blk_satisfy(s, w);
}

static void on_notice(smuxb_session *s, const smux_event *ev) {
    (void)s; /* hello, goaway, failed: the engine or blk_dispatch handles them */
    (void)ev;
}

/* ---- Session -------------------------------------------------------------------------------- */

static void describe_end(smuxb_session *s) {
    const char *text = smux_session_error_text(s->engine);
    if (s->error != SMUX_ERR_CARRIER)
        snprintf(s->error_text, sizeof s->error_text, "%s", text);
    else if (s->carrier_errno)
        snprintf(s->error_text, sizeof s->error_text, "carrier lost: %s",
                 strerror(s->carrier_errno));
    else
        snprintf(s->error_text, sizeof s->error_text, "peer closed the carrier");
}

static void fail_streams(smuxb_session *s, bool readers) {
    for (smux_stream *e = NULL; (e = smux_session_next_stream(s->engine, e));) {
        smuxb_stream *st = smux_stream_user(e);
        if (st && readers) {
            blk_satisfy_all(s, &st->readers);
            blk_stream_ready(st);
        }
        if (st)
            blk_satisfy_all(s, &st->writers);
    }
}

void blk_fail_writers(smuxb_session *s) {
    fail_streams(s, false);
}

void blk_fail_waiters(smuxb_session *s) {
    blk_satisfy_all(s, &s->accepters);
    fail_streams(s, true);
    blk_satisfy_all(s, &s->watchers);
}

/* Does not wait for the event, which comes only after a write that is under way: that write may be
 * the one that hangs. */
static void on_end(smuxb_session *s) {
    s->error = smux_session_error(s->engine);
    describe_end(s);
    /* A peer that is still reading gets everything sent to it; others are cut off. */
    if (s->fd >= 0)
        shutdown(s->fd, s->closing ? SHUT_WR : SHUT_RDWR);
    blk_fail_waiters(s);
    blk_release_held(s);
    blk_satisfy_all(s, &s->enders);
    if (s->drainer)
        blk_satisfy(s, s->drainer);
    blk_wake(s, &s->keeper);
    blk_wake(s, &s->reader);
    blk_wake(s, &s->writer);
}

static bool drained(const smuxb_session *s) {
    smux_session_info info;
    if (smux_session_want_write(s->engine))
        return false;
    smux_session_get_info(s->engine, &info);
    return !info.queued;
}

static void (*const handlers[])(smuxb_session *s, const smux_event *ev) = {
    [SMUX_EVENT_ACCEPT] = on_accept,     [SMUX_EVENT_DATA] = on_data,
    [SMUX_EVENT_EOF] = on_eof,           [SMUX_EVENT_RESET] = on_reset,
    [SMUX_EVENT_WRITABLE] = on_writable, [SMUX_EVENT_RETURNED] = on_sent,
    [SMUX_EVENT_HELLO] = on_notice,      [SMUX_EVENT_GOAWAY] = on_notice,
    [SMUX_EVENT_FAILED] = on_notice,     [SMUX_EVENT_PEER_CLOSED] = on_notice,
};

void blk_dispatch(smuxb_session *s) {
    smux_event ev;
    while (smux_session_next_event(s->engine, &ev))
        handlers[ev.type](s, &ev);
    if (!s->error && smux_session_error(s->engine))
        on_end(s);
    if (s->drainer && drained(s))
        blk_satisfy(s, s->drainer);
}
