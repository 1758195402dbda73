/* SPDX-License-Identifier: MIT
 * Received bytes on their way into the engine: when, and how many at a time.
 */
#include "core/blocking/blk.h"

#include <string.h>

#include "core/engine/wire.h"

/* A full backlog holds the input back until half of it has been accepted, or as long as streams are
 * being accepted at this pace; only then are further ones refused.  A burst is not lost, and a
 * program that does not accept stops nothing. */
#define ACCEPT_PATIENCE_US 500000u
/* The pace that is expected once it is not full any more. */
#define DRAIN_PATIENCE_US 1000u

_Static_assert(sizeof(((struct blk_scan *)NULL)->header) == WIRE_HEADER_LEN, "a whole header");

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

static void remember(struct blk_scan *scan, struct wire_header h) {
    if (scan->id != h.id)
        memset(scan->lens, 0, sizeof scan->lens);
    scan->id = h.id;
    memmove(scan->lens + 1, scan->lens, sizeof scan->lens - sizeof *scan->lens);
    scan->lens[0] = h.length;
}

/* Advances past one header or payload of the `len` bytes; says whether a SYN was completed. */
static bool scan_step(struct blk_scan *scan, const uint8_t **data, size_t *len) {
    size_t n;
    if (scan->payload_left) {
        n = scan->payload_left < *len ? scan->payload_left : *len;
        scan->payload_left -= (uint32_t)n;
    } else {
        n = WIRE_HEADER_LEN - scan->header_len;
        n = n < *len ? n : *len;
        memcpy(scan->header + scan->header_len, *data, n);
        scan->header_len += (uint8_t)n;
    }
    *data += n;
    *len -= n;
    if (scan->header_len < WIRE_HEADER_LEN)
        return false;
    struct wire_header h = wire_unpack_header(scan->header);
    scan->header_len = 0;
    scan->payload_left = h.length;
    if (h.command == WIRE_PSH)
        remember(scan, h);
    return h.command == WIRE_SYN;
}

/* How many of the bytes hold no more than `streams_max` new streams.  Only what is returned counts
 * as scanned. */
static size_t scan_streams(struct blk_scan *scan, const uint8_t *data, size_t len,
                           uint32_t streams_max) {
    size_t left = len;
    for (uint32_t streams = 0; left;)
        if (scan_step(scan, &data, &left) && ++streams >= streams_max)
            break;
    return len - left;
}

static void feed(smuxb_session *s, const uint8_t *data, size_t len) {
    if (!smux_session_feed(s->engine, data, len, smuxb_now_us()))
        blk_dispatch(s);
}

void blk_feed_bytes(smuxb_session *s, const uint8_t *data, size_t len) {
    if (!len)
        return;
    (void)scan_streams(&s->scan, data, len, UINT32_MAX);
    feed(s, data, len);
}

void blk_feed(smuxb_session *s, size_t limit) {
    uint64_t until_us = UINT64_MAX;
    while (blk_unfed(s) && limit && blk_may_read(s, &until_us)) {
        const uint8_t *data = blk_input_data(s);
        size_t n = s->input_len - s->input_at;
        n = scan_streams(&s->scan, data, n < limit ? n : limit,
                         backlog_full(s) ? UINT32_MAX : s->backlog_max - s->backlog_len);
        s->input_at += n;
        limit -= n;
        feed(s, data, n);
    }
}
