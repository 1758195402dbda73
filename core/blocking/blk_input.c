/* SPDX-License-Identifier: MIT
 * Feeds received bytes to the engine: when, and how many at a time.
 */
#include "core/blocking/blk.h"

/* A full backlog stops the input until half of it has been accepted, or for as long as streams are
 * being accepted at this pace; only after that are further streams refused. So a burst is not lost,
 * and a program that does not accept blocks nothing else. */
#define ACCEPT_PATIENCE_US 500000u
/* The pace expected once it is no longer full. */
#define DRAIN_PATIENCE_US 1000u

static bool backlog_full(const smuxb_session *s) {
    return s->backlog_len >= s->backlog_max;
}

/* Whether to wait for smuxb_stream_accept to make room. */
static bool backlog_holds(smuxb_session *s, uint64_t *until_us) {
    bool full = backlog_full(s);
    if (!full && (!s->full_since_us || s->backlog_len <= s->backlog_max / 2)) {
        s->full_since_us = 0;
        return false;
    }
    uint64_t now_us = smuxb_now_us();
    if (!s->full_since_us || s->accepted != s->full_accepted) {
        s->full_since_us = now_us;
        s->full_accepted = s->accepted;
    }
    uint64_t end_us = s->full_since_us + (full ? ACCEPT_PATIENCE_US : DRAIN_PATIENCE_US);
    if (now_us >= end_us) {
        s->full_since_us = full ? s->full_since_us : 0;
        return false;
    }
    if (end_us < *until_us)
        *until_us = end_us;
    return true;
}

bool blk_may_read(smuxb_session *s, uint64_t *until_us) {
    if (smux_session_error(s->engine))
        return false;
    if (!smux_session_want_read(s->engine)) {
        s->stalled = true;
        return false;
    }
    return !backlog_holds(s, until_us);
}

void blk_unstall(smuxb_session *s) {
    if (!s->stalled || !smux_session_want_read(s->engine))
        return;
    s->stalled = false;
    if (s->threaded)
        blk_wake(s, &s->reader);
    else
        blk_pass_on_in(s);
}

/* ---- Feeding -------------------------------------------------------------------------------- */

static void feed(smuxb_session *s, const uint8_t *data, size_t len) {
    if (!smux_session_feed(s->engine, data, len, smuxb_now_us()))
        blk_dispatch(s);
}

void blk_feed_bytes(smuxb_session *s, const uint8_t *data, size_t len) {
    feed(s, data, len);
}

void blk_feed_no_further(smuxb_session *s) {
    s->input_at -= smux_session_feed_cancel(s->engine);
}

void blk_feed(smuxb_session *s, size_t limit) {
    uint64_t until_us = UINT64_MAX;
    while (blk_unfed(s) && limit && blk_may_read(s, &until_us)) {
        const uint8_t *data = blk_input_data(s);
        size_t before = s->input_at, n = s->input_len - before;
        n = n < limit ? n : limit;
        s->input_at += n;
        feed(s, data, n);
        limit -= s->input_at - before;
    }
}
