/* SPDX-License-Identifier: MIT
 *
 * The invariants of the model, and its end: everything is sent and closed, and nothing is left.
 * Included by support_model.h.
 */
#ifndef TEST_SUPPORT_MODEL_END_H
#define TEST_SUPPORT_MODEL_END_H

/* Calls `body` with t and h for every stream end of this side that is or was ours. */
#define FOR_HALVES(m, side, t, h)                                                                  \
    for (int opener_ = 0; opener_ < 2; opener_++)                                                  \
        for (uint32_t i_ = 0; i_ < (m)->side[opener_].opened; i_++)                                \
            for (model_stream *t = &(m)->side[opener_].streams[i_], *once_ = t; once_;             \
                 once_ = NULL)                                                                     \
                for (model_half *h = &t->half[side]; h; h = NULL)

static inline void model_check_stream(const model *m, const model_half *h) {
    smux_stream_info info;
    smux_stream_get_info(h->handle, &info);
    if (h->error) {
        CHECK(info.error == h->error, "%d, not %d", info.error, h->error);
        return;
    }
    CHECK(info.bytes_in >= h->delivered, "%" PRIu64, info.bytes_in);
    CHECK(info.accepted == h->accepted, "accepted");
    if (info.error || m->failed)
        return; /* its RESET event is to come */
    CHECK(info.unread == h->delivered - h->consumed, "%" PRIu64 " unread", info.unread);
    CHECK(info.bytes_out + info.queued == h->written, "%" PRIu64 " out, %" PRIu64 " queued",
          info.bytes_out, info.queued);
    CHECK(info.write_closed == h->shut, "write_closed");
    CHECK(info.read_closed == h->eof, "read_closed");
}

/* Call it when all events have been taken. */
static inline void model_check(model *m, int side) {
    if (m->failed)
        return;
    smux_session_info info = model_info(m, side);
    uint64_t unread = 0, perhaps = 0, handles = 0, backlog = 0;
    FOR_HALVES(m, side, t, h) {
        if (!h->handle)
            continue;
        model_check_stream(m, h);
        *(h->error ? &perhaps : &unread) += h->delivered - h->consumed;
        handles += !h->error;
        backlog += !h->accepted && !h->error;
    }
    CHECK(info.error == 0, "%s", smux_session_error_text(m->side[side].session));
    CHECK(info.unread >= unread && info.unread <= unread + perhaps,
          "%" PRIu64 " unread, not %" PRIu64, info.unread, unread);
    CHECK(info.streams >= handles, "%u streams, %" PRIu64 " handles", info.streams, handles);
    CHECK(info.opened == m->side[side].opened, "opened");
    CHECK(info.accepted == m->side[side].accepted, "accepted");
    CHECK(info.backlog >= backlog, "%u in the backlog, not %" PRIu64, info.backlog, backlog);
    CHECK(info.backlog <= m->side[side].config.accept_backlog, "backlog %u", info.backlog);
}

/* Moves everything that can move, consumes all data, and drops streams that have died. */
static inline void model_settle(model *m) {
    for (bool progress = true; progress;) {
        progress = false;
        for (int side = 0; side < 2; side++) {
            model_side *s = &m->side[side];
            FOR_HALVES(m, side, t, h) {
                if (!h->handle)
                    continue;
                if (!h->accepted)
                    model_accept(h);
                if (h->delivered > h->consumed && !h->error) {
                    CHECK(smux_stream_consume(h->handle, h->delivered - h->consumed) == 0,
                          "consume");
                    h->consumed = h->delivered;
                    progress = true;
                }
                if (h->error)
                    model_give_up(m, side, t, false);
            }
            while (smux_session_want_write(s->session)) {
                model_output(m, side, SIZE_MAX);
                progress = true;
            }
            size_t before = s->wire.len;
            model_feed(m, 1 - side, SIZE_MAX);
            progress = progress || s->wire.len != before;
            CHECK(!m->side[side].wire.len || !smux_session_want_read(m->side[1 - side].session),
                  "stuck");
        }
        if (!progress) /* a second look, a little later: what waits for a deadline */
            model_time(m, 1);
        model_check(m, 0);
        model_check(m, 1);
    }
}

/* Can the data that this half wrote, and its end, still reach the other side? */
static inline bool model_orderly(const model *m, const model_stream *t, int side) {
    const model_half *h = &t->half[side], *o = &t->half[1 - side];
    return h->attached && o->attached && h->shut && !h->reset && !h->error && !o->error &&
           !o->closed && !o->reset && !m->failed && !(h->closed && m->lingered);
}

static inline void model_check_delivered(model *m) {
    for (int side = 0; side < 2; side++)
        FOR_HALVES(m, side, t, h) {
            model_half *o = &t->half[1 - side];
            if (!model_orderly(m, t, side))
                continue;
            CHECK(o->delivered == h->written && o->eof,
                  "stream %u: %" PRIu64 " of %" PRIu64 " bytes, eof %d", t->id, o->delivered,
                  h->written, o->eof);
        }
}

/* Counts the streams of this side that may wait for ever if lingering has no limit: their peer has
 * gone without opening the window, and could not say so (before the hello, or without memory). */
static inline uint32_t model_stranded(const model *m, int side) {
    uint32_t count = 0;
    if (model_info(m, side).version == 0)
        return UINT32_MAX; /* the client never said a word, so the server could not, either */
    if (m->side[side].wire_version == 1 || m->side[side].config.linger_timeout_us)
        return 0;
    FOR_HALVES((model *)m, side, t, h) {
        model_half *o = &t->half[1 - side];
        bool gone = o->closed || o->reset || o->error || !o->attached;
        count += h->attached && gone && (!o->told || m->nomem);
    }
    return count;
}

static inline void model_check_empty(model *m) {
    for (int side = 0; side < 2; side++) {
        smux_session_info info = model_info(m, side);
        uint32_t stranded = model_stranded(m, side);
        CHECK(info.streams <= stranded, "%u streams left over", info.streams);
        CHECK(info.unread == 0 && info.backlog == 0, "%" PRIu64 " unread", info.unread);
        CHECK(stranded || info.queued == 0, "%" PRIu64 " queued", info.queued);
        CHECK(m->side[side].monitored.len == 0, "half a frame");
    }
    for (model_loan *l = m->loans; l < m->loans + MODEL_LOANS; l++)
        CHECK(!l->lent || model_stranded(m, l->side), "a buffer did not come back");
}

static inline void model_fail(model *m) {
    m->failed = SMUX_ERR_CARRIER;
    for (int side = 0; side < 2; side++) {
        smux_session_fail(m->side[side].session, m->failed);
        model_events(m, side);
        CHECK(!smux_session_want_read(m->side[side].session), "reads on");
        CHECK(smux_session_deadline(m->side[side].session) == SMUX_NEVER, "deadline");
    }
    for (model_loan *l = m->loans; l < m->loans + MODEL_LOANS; l++)
        CHECK(!l->lent, "a buffer did not come back");
}

/* Half-closes or drops all streams of ours. */
static inline void model_end_streams(model *m, bool give_up) {
    for (int side = 0; side < 2; side++)
        FOR_HALVES(m, side, t, h) {
            if (h->handle && give_up)
                model_give_up(m, side, t, false);
            else if (h->handle && !h->shut)
                model_shut(m, side, t);
        }
    model_settle(m);
}

static inline void model_finish(model *m) {
    m->c->steps = 0;
    for (int side = 0; side < 2; side++)
        m->side[side].alloc.fail_one_in = 0;
    model_settle(m);
    model_time(m, SECONDS(2)); /* a keepalive may be the first that a server hears */
    model_settle(m);
    model_end_streams(m, false);
    model_check_delivered(m);
    model_end_streams(m, true);
    model_time(m, SECONDS(61)); /* those that linger, */
    model_time(m, SECONDS(2));  /* at the second look */
    model_settle(m);
    model_check_empty(m);
}

static inline void model_end(model *m) {
    for (int i = 0; i < 2; i++) {
        model_side *s = &m->side[i];
        smux_session_free(s->session);
        CHECK(s->alloc.live_blocks == 0, "%zu blocks leaked", s->alloc.live_blocks);
        bytes_free(&s->wire);
        bytes_free(&s->monitored);
        bytes_free(&s->fed);
    }
    for (model_loan *l = m->loans; l < m->loans + MODEL_LOANS; l++)
        if (l->lent)
            model_return_loan(l);
}

/* The whole life of a pair.  `cut`: the carrier breaks at the end of the script. */
static inline void model_run(choices *c, bool nomem, bool cut) {
    static model m;
    model_begin(&m, c, nomem);
    while (c->steps > 0 && (!c->data || c->at < c->len)) {
        model_op(&m, (int)choose(c, 2), true);
        model_check(&m, 0);
        model_check(&m, 1);
    }
    if (cut)
        model_fail(&m);
    else
        model_finish(&m);
    model_end(&m);
}

#endif
