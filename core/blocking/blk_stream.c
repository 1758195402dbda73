/* SPDX-License-Identifier: MIT
 * Streams: opening, accepting, reading, closing, and their lifetime.
 */
#include "core/blocking/blk.h"

#include <stdlib.h>

#include "core/engine/spares.h"

/* ---- Life ----------------------------------------------------------------------------------- */

static smuxb_stream *take_memory(smuxb_session *s) {
    struct list_link *spare = list_first(&s->spare_streams);
    if (!spare)
        return malloc(sizeof(smuxb_stream));
    list_remove(spare);
    s->spare_streams_len--;
    return container_of(spare, smuxb_stream, link);
}

static void give_memory(smuxb_session *s, smuxb_stream *st) {
    if (s->spare_streams_len >= SPARES_MAX) {
        free(st);
        return;
    }
    list_prepend(&s->spare_streams, &st->link);
    s->spare_streams_len++;
}

smuxb_stream *blk_stream_new(smuxb_session *s, smux_stream *engine) {
    smuxb_stream *st = take_memory(s);
    if (!st)
        return NULL;
    *st = (smuxb_stream){.session = s, .engine = engine, .id = smux_stream_id(engine)};
    list_init(&st->readers);
    list_init(&st->writers);
    smux_stream_set_user(engine, st);
    return st;
}

static smuxb_stream *first_handle(smuxb_stream *st) {
    st->refs = 1;
    st->session->refs++;
    return st;
}

/* From now on the engine no longer knows the handle. */
static void detach(smuxb_stream *st, void (*end)(smux_stream *)) {
    smux_stream *engine = st->engine;
    st->closed = true;
    st->reset = end == smux_stream_reset;
    st->engine = NULL;
    if (st->session->receiving == st)
        st->session->receiving = NULL;
    blk_queue_drop(st->session, &st->queue);
    st->watched = false;
    list_remove(&st->link);
    if (!engine)
        return;
    smux_stream_set_user(engine, NULL);
    end(engine);
}

void blk_stream_unref(smuxb_stream *st) {
    if (--st->refs)
        return;
    detach(st, smux_stream_close);
    st->session->refs--;
    give_memory(st->session, st);
}

smuxb_stream *smuxb_stream_ref(smuxb_stream *st) {
    blk_lock(st->session);
    st->refs++;
    blk_unlock(st->session);
    return st;
}

void smuxb_stream_unref(smuxb_stream *st) {
    if (!st)
        return;
    smuxb_session *s = st->session;
    blk_lock(s);
    blk_stream_unref(st);
    blk_leave(s);
}

/* ---- Errors --------------------------------------------------------------------------------- */

int blk_session_error(const smuxb_session *s) {
    return s->closing ? SMUX_ERR_CLOSED : s->error;
}

int blk_stream_error(const smuxb_stream *st) {
    if (st->session->closing)
        return SMUX_ERR_CLOSED;
    if (st->closed)
        return SMUXB_ERR_STREAM_CLOSED;
    return st->error ? st->error : st->session->error;
}

int blk_write_error(const smuxb_stream *st) {
    int error = blk_stream_error(st);
    return error ? error : st->session->broken ? SMUX_ERR_CARRIER : 0;
}

/* ---- Opening and accepting ------------------------------------------------------------------ */

static int open_locked(smuxb_session *s, smuxb_stream **stream) {
    smux_stream *engine;
    int error = blk_session_error(s);
    if (error || (error = smux_stream_open(s->engine, &engine)))
        return error;
    smuxb_stream *st = blk_stream_new(s, engine);
    if (!st) {
        smux_stream_reset(engine);
        return SMUX_ERR_NOMEM;
    }
    *stream = first_handle(st);
    blk_flush_later(s); /* it will probably be written to or read from at once */
    return 0;
}

int smuxb_stream_open(smuxb_session *s, smuxb_stream **stream) {
    blk_lock(s);
    int error = open_locked(s, stream);
    blk_unlock(s);
    return error;
}

static smuxb_stream *take_accepted(smuxb_session *s) {
    if (list_is_empty(&s->unaccepted) || s->closing)
        return NULL;
    smuxb_stream *st = container_of(list_first(&s->unaccepted), smuxb_stream, link);
    list_remove(&st->link);
    s->accepted++;
    /* What was held back for lack of room may come in again, now or soon. */
    if (s->backlog_len == s->backlog_max || s->backlog_len == s->backlog_max / 2 + 1) {
        if (s->threaded)
            blk_wake(s, &s->reader);
        else if (!s->in_owner)
            blk_watch(s);
    }
    s->backlog_len--;
    if (st->engine)
        smux_stream_accept(st->engine);
    return first_handle(st);
}

/* The common part of smuxb_stream_accept and smuxb_session_ready: takes what `take` finds, or waits
 * for it in `list`. */
static int wait_for_stream(smuxb_session *s, struct blk_waiter *w, struct list *list,
                           smuxb_stream *(*take)(smuxb_session *s), smuxb_stream **stream) {
    bool in_time = true;
    int error;
    s->refs++;
    list_append(list, &w->home);
    for (;;) {
        error = 0;
        if ((*stream = take(s)) || (error = blk_session_error(s)))
            break;
        error = SMUXB_ERR_TIMEOUT;
        if (!in_time)
            break;
        w->done = false;
        in_time = blk_wait(s, w);
    }
    list_remove(&w->home);
    s->refs--;
    return error;
}

int smuxb_stream_accept(smuxb_session *s, smuxb_stream **stream) {
    struct blk_waiter w;
    int error = 0;
    blk_lock(s);
    if (!(*stream = take_accepted(s))) {
        blk_waiter_init(&w, &s->accept_deadline_us);
        error = wait_for_stream(s, &w, &s->accepters, take_accepted, stream);
    }
    blk_leave(s);
    return error;
}

void smuxb_session_set_accept_deadline(smuxb_session *s, uint64_t deadline_us) {
    blk_lock(s);
    s->accept_deadline_us = deadline_us;
    blk_wake_all(s, &s->accepters);
    blk_unlock(s);
}

/* ---- Reading -------------------------------------------------------------------------------- */

#define MUST_WAIT INT32_MIN
/* More than the pieces of one loan can hold. */
#define BORROW_MAX (1u << 30)

/* What a read gives without waiting: an error, 0 at the end, or how much the waiter has got. */
static ssize_t read_now(smuxb_stream *st, struct blk_waiter *w) {
    if (w->got)
        return (ssize_t)w->got;
    if (st->closed || st->session->closing)
        return blk_stream_error(st);
    if (st->queue.len) {
        blk_queue_take(st->session, &st->queue, w);
        (void)smux_stream_consume(st->engine, w->got);
        return (ssize_t)w->got;
    }
    if (st->eof)
        return 0;
    int error = blk_stream_error(st);
    return error ? error : MUST_WAIT;
}

static ssize_t read_waiting(smuxb_stream *st, struct blk_waiter *w) {
    ssize_t result = MUST_WAIT;
    list_append(&st->readers, &w->home);
    for (bool in_time = true; result == MUST_WAIT;) {
        w->done = false;
        in_time = blk_wait(st->session, w);
        if (w->granted)
            return (ssize_t)w->got;
        result = read_now(st, w);
        if (result == MUST_WAIT && !in_time)
            result = SMUXB_ERR_TIMEOUT;
    }
    list_remove(&w->home);
    return result;
}

/* Reads into `data`. If that is NULL, leaves the data where it lies, in pieces that belong to the
 * waiter. */
static ssize_t read_into(smuxb_stream *st, struct blk_waiter *w, void *data, size_t len) {
    smuxb_session *s = st->session;
    blk_waiter_init(w, &st->read_deadline_us);
    w->stream = st;
    w->data = data;
    w->room = len;
    blk_lock(s);
    st->refs++;
    st->borrows = !data;
    ssize_t result = read_now(st, w);
    if (result == MUST_WAIT)
        result = read_waiting(st, w);
    if (!w->granted) {
        /* Sends the window update that this may have caused, and feeds input that waited for
         * room. */
        blk_flush(s, NULL);
        blk_unstall(s);
        blk_stream_unref(st);
        blk_leave(s);
    }
    return result;
}

ssize_t smuxb_stream_read(smuxb_stream *st, void *data, size_t len) {
    struct blk_waiter w;
    if (!len)
        return 0;
    ssize_t result = read_into(st, &w, data, len);
    blk_copy_pieces(&w);
    return result;
}

ssize_t smuxb_stream_borrow(smuxb_stream *st, size_t len, smuxb_loan *loan) {
    struct blk_waiter w;
    loan->iovcnt = 0;
    if (!len)
        return 0;
    ssize_t result = read_into(st, &w, NULL, len < BORROW_MAX ? len : BORROW_MAX);
    blk_lend_pieces(&w, loan);
    return result;
}

/* ---- Readiness ------------------------------------------------------------------------------ */

/* Everything received is fed before a thread leaves with the first stream of it. */
#define READY_FEED (1u << 20)

void blk_stream_ready(smuxb_stream *st) {
    if (!st->watched)
        return;
    st->watched = false;
    list_append(&st->session->ready, &st->link);
    blk_satisfy_one(st->session, &st->session->watchers);
}

void smuxb_stream_watch(smuxb_stream *st) {
    smuxb_session *s = st->session;
    blk_lock(s);
    if (!st->closed && !list_is_linked(&st->link)) {
        st->watched = true;
        if (st->queue.len || st->eof || blk_stream_error(st))
            blk_stream_ready(st);
    }
    blk_unlock(s);
}

static smuxb_stream *take_ready(smuxb_session *s) {
    if (list_is_empty(&s->ready))
        return NULL;
    smuxb_stream *st = container_of(list_first(&s->ready), smuxb_stream, link);
    list_remove(&st->link);
    return st;
}

int smuxb_session_ready(smuxb_session *s, uint64_t deadline_us, smuxb_stream **stream) {
    struct blk_waiter w;
    blk_waiter_init(&w, &deadline_us);
    w.room = READY_FEED;
    blk_lock(s);
    int error = wait_for_stream(s, &w, &s->watchers, take_ready, stream);
    blk_leave(s);
    return error;
}

/* ---- Closing -------------------------------------------------------------------------------- */

int smuxb_stream_close_write(smuxb_stream *st) {
    smuxb_session *s = st->session;
    blk_lock(s);
    int error = blk_write_error(st);
    if (!error && !st->fin) {
        st->fin = true;
        /* Over a transport, writers copy piece by piece; the last one sends FIN (blk_write). */
        if (!s->threaded || list_is_empty(&st->writers))
            error = smux_stream_close_write(st->engine);
        blk_flush_gathered(s);
    }
    blk_unlock(s);
    return error;
}

static void close_with(smuxb_stream *st, void (*end)(smux_stream *)) {
    if (!st)
        return;
    smuxb_session *s = st->session;
    blk_lock(s);
    detach(st, end);
    blk_satisfy_all(s, &st->readers);
    blk_satisfy_all(s, &st->writers);
    blk_unstall(s);
    blk_flush_gathered(s);
    blk_stream_unref(st);
    blk_leave(s);
}

void smuxb_stream_close(smuxb_stream *st) {
    close_with(st, smux_stream_close);
}

void smuxb_stream_reset(smuxb_stream *st) {
    close_with(st, smux_stream_reset);
}

static void set_deadlines(smuxb_stream *st, const uint64_t *read_us, const uint64_t *write_us) {
    blk_lock(st->session);
    if (read_us) {
        st->read_deadline_us = *read_us;
        blk_wake_all(st->session, &st->readers);
    }
    if (write_us) {
        st->write_deadline_us = *write_us;
        blk_wake_all(st->session, &st->writers);
    }
    blk_unlock(st->session);
}

void smuxb_stream_set_read_deadline(smuxb_stream *st, uint64_t deadline_us) {
    set_deadlines(st, &deadline_us, NULL);
}

void smuxb_stream_set_write_deadline(smuxb_stream *st, uint64_t deadline_us) {
    set_deadlines(st, NULL, &deadline_us);
}

void smuxb_stream_set_deadline(smuxb_stream *st, uint64_t deadline_us) {
    set_deadlines(st, &deadline_us, &deadline_us);
}
