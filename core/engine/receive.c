/* SPDX-License-Identifier: MIT
 * Bytes to events. Frames are parsed one event at a time, straight from the caller's buffer; only a
 * header (and the 8 bytes of an update) that the end of the buffer cuts is kept here.
 */
#include "core/engine/engine.h"

#include <string.h>

/* ---- One function for each command: it may make one event, and returns whether it did. ------- */

static bool event(smux_event *ev, smux_event_type type, smux_stream *st) {
    *ev = (smux_event){.type = type, .stream = st, .user = st ? st->user : NULL};
    return true;
}

static bool ignore(smux_session *s) {
    s->count.frames_ignored++;
    return false;
}

static bool bad_peer_id(const smux_session *s, uint32_t id) {
    return id == 0 || id >= WIRE_RESERVED || (id & 1) != (s->role == SMUX_SERVER);
}

/* A stream that cannot be accepted is reset, so that the peer never has to wait. */
static bool refuse(smux_session *s, uint32_t id) {
    s->count.refused++;
    send_refuse(s, id, false);
    return false;
}

static bool on_syn(smux_session *s, struct wire_header h, smux_event *ev) {
    smux_stream *st;
    if (bad_peer_id(s, h.id)) {
        session_fail_got(s, SMUX_ERR_STREAM_ID, h.id,
                         s->role == SMUX_SERVER ? "a client's, odd and below 4294967040"
                                                : "a server's, even, not 0, below 4294967040");
        return false;
    }
    if (table_get(s, h.id))
        return ignore(s);
    uint32_t first = promise_accept(s, h.id);
    if (s->goaway == GOAWAY_TOLD || s->backlog >= s->config.accept_backlog ||
        stream_new(s, h.id, 0, first, &st))
        return refuse(s, h.id);
    s->backlog++;
    s->count.accepted++;
    send_schedule(st); /* announces a window larger than the initial one */
    return event(ev, SMUX_EVENT_ACCEPT, st);
}

static bool on_hello(smux_session *s, smux_event *ev) {
    if (!s->config.extensions || s->peer_extensions)
        return ignore(s);
    s->peer_extensions = true;
    send_waiting(s);
    if (s->goaway == GOAWAY_TOLD) { /* the peer could not be told before */
        s->goaway = GOAWAY_SENT;
        s->owes |= OWE_GOAWAY;
    }
    if (s->role == SMUX_SERVER)
        s->owes |= OWE_HELLO | (promise_bounds(s) ? OWE_WINDOWS : 0);
    s->owes |= OWE_PING;
    return event(ev, SMUX_EVENT_HELLO, NULL);
}

static bool on_fin(smux_session *s, struct wire_header h, smux_event *ev) {
    smux_stream *st = table_get(s, h.id);
    if (h.id == WIRE_HELLO)
        return on_hello(s, ev);
    if (h.id == WIRE_FULL || h.id == WIRE_SMALL) {
        promise_windows(s, h.id);
        return false;
    }
    if (!st)
        s->small_id = h.id;
    if (!st || st->in == IN_DEAD)
        return ignore(s);
    if (s->mark_id == h.id && s->peer_extensions) {
        stream_kill(st, SMUX_ERR_PEER_RESET, false, true);
        stream_settle(st);
        return false;
    }
    if (st->in != IN_OPEN)
        return ignore(s);
    stream_set_in(st, IN_EOF);
    if (!(st->flags & F_GIVEN_UP))
        return event(ev, SMUX_EVENT_EOF, st);
    /* Closed on both sides: the peer need not be told to stop sending. */
    st->flags &= (uint16_t)~F_OWE_CLOSED;
    send_schedule(st);
    stream_settle(st);
    return false;
}

/* The peer has closed in both directions; its FIN has announced one of them. */
static bool on_closed(smux_session *s, uint32_t id, smux_event *ev) {
    smux_stream *st = table_get(s, id);
    if (!st || st->in != IN_EOF || st->flags & F_GIVEN_UP)
        return ignore(s);
    stream_set_in(st, IN_CLOSED);
    return event(ev, SMUX_EVENT_PEER_CLOSED, st);
}

/* The stream that a PSH is for; NULL if its payload is dropped. */
static smux_stream *payload_target(smux_session *s, struct wire_header h) {
    smux_stream *st = table_get(s, h.id);
    if (!st) {
        /* As TCP does with data for a closed socket. */
        if (s->peer_extensions && h.length && h.id && h.id < WIRE_RESERVED)
            send_refuse(s, h.id, true);
        return NULL;
    }
    if (st->in != IN_OPEN || !h.length)
        return NULL;
    if (!window_admits(st, h.length)) {
        stream_kill(st, SMUX_ERR_WINDOW, true, true);
        return NULL;
    }
    if (s->config.on_full == SMUX_FULL_RESET && !promise_bounds(s) && !(st->flags & F_GIVEN_UP))
        window_make_room(s, h.length);
    return st->in == IN_OPEN ? st : NULL;
}

static bool on_psh(smux_session *s, struct wire_header h, smux_event *ev) {
    (void)ev;
    s->payload_left = h.length;
    s->payload_len = h.length ? h.length : s->payload_len;
    s->payload_orphan = 0;
    s->payload_urgent = s->mark_id == h.id;
    s->payload_stream = payload_target(s, h);
    if (!s->payload_stream)
        ignore(s);
    return false;
}

static bool on_goaway(smux_session *s, smux_event *ev) {
    if (!s->peer_extensions || s->peer_goaway)
        return ignore(s);
    s->peer_goaway = true;
    return event(ev, SMUX_EVENT_GOAWAY, NULL);
}

static void on_pong(smux_session *s, uint32_t id) {
    if (!s->ping_pending || (id & WIRE_SEQ_MASK) != s->ping_seq)
        return;
    s->ping_pending = false;
    window_rtt(s, s->now_us - s->ping_us);
    if (s->goaway == GOAWAY_SENT && !(s->owes & OWE_GOAWAY) && !(s->owes & OWE_PING))
        s->goaway = GOAWAY_TOLD;
}

static void promise_nop(smux_session *s, uint32_t id) {
    if (id == WIRE_CREDIT)
        s->credits = min_u32(s->config.max_streams, (uint64_t)s->credits + WIRE_CREDITS);
    else if (id == WIRE_SYNC)
        s->owes |= OWE_SYNCED; /* one answer to all of them */
    else if (id == WIRE_SYNCED)
        promise_synced(s);
}

static bool on_nop(smux_session *s, struct wire_header h, smux_event *ev) {
    bool marked = s->mark_id != 0 && s->mark_id == h.id;
    s->mark_id = 0;
    if (h.id < WIRE_RESERVED)
        s->peer_keeps_alive = true;
    if (h.id == WIRE_GOAWAY)
        return on_goaway(s, ev);
    if (!s->peer_extensions)
        return false;
    if ((h.id & WIRE_KIND_MASK) == WIRE_PING) {
        s->pong_seq = h.id & WIRE_SEQ_MASK;
        s->owes |= OWE_PONG; /* one answer to all unanswered pings, never a queue */
    } else if ((h.id & WIRE_KIND_MASK) == WIRE_PONG) {
        on_pong(s, h.id);
    } else if (h.id < WIRE_RESERVED) {
        s->mark_id = h.id;
        return marked && on_closed(s, h.id, ev);
    } else if (s->terms == TERMS_KEPT) {
        promise_nop(s, h.id);
    }
    return false;
}

static bool on_upd(smux_session *s, struct wire_header h, smux_event *ev) {
    (void)ev;
    smux_stream *st = table_get(s, h.id);
    struct wire_update u = wire_unpack_update(s->partial + WIRE_HEADER_LEN);
    if (!st || st->out == OUT_CLOSED || st->out == OUT_DEAD)
        return ignore(s);
    uint32_t sent = (uint32_t)st->bytes_out + st->planned;
    if ((int32_t)(sent - u.consumed) < 0) {
        stream_kill(st, SMUX_ERR_CONSUMED, true, true);
        stream_settle(st);
        return false;
    }
    if ((int32_t)(u.consumed - st->peer_consumed) < 0)
        return ignore(s); /* older than the previous one */
    st->peer_consumed = u.consumed;
    st->peer_window = u.window < INT32_MAX ? u.window : INT32_MAX;
    st->flags &= (uint16_t)~F_SMALL;
    send_schedule(st);
    return false;
}

static const struct {
    bool (*handle)(smux_session *s, struct wire_header h, smux_event *ev);
    uint8_t since;  /* version */
    int32_t length; /* -1: any */
    const char *expected;
} commands[WIRE_COMMANDS] = {
    [WIRE_SYN] = {on_syn, 1, 0, "0 for SYN"},
    [WIRE_FIN] = {on_fin, 1, 0, "0 for FIN"},
    [WIRE_PSH] = {on_psh, 1, -1, ""},
    [WIRE_NOP] = {on_nop, 1, 0, "0 for NOP"},
    [WIRE_UPD] = {on_upd, 2, WIRE_UPDATE_LEN, "8 for UPD"},
};

/* ---- Frames --------------------------------------------------------------------------------- */

static const char *expected_version(const smux_session *s) {
    return s->version == 1 ? "1" : s->version == 2 ? "2" : "1 or 2";
}

/* The length is checked before the handler runs: a wrong one must not put the parser out of
 * step. */
static bool header_ok(smux_session *s, struct wire_header h) {
    bool good = s->version ? h.version == s->version : h.version == 1 || h.version == 2;
    if (!good) {
        session_fail_got(s, SMUX_ERR_VERSION, h.version, expected_version(s));
        return false;
    }
    s->version = h.version;
    if (h.command >= WIRE_COMMANDS || commands[h.command].since > s->version) {
        session_fail_got(s, SMUX_ERR_COMMAND, h.command, s->version == 1 ? "0 to 3" : "0 to 4");
        return false;
    }
    int32_t length = commands[h.command].length;
    if (length >= 0 && h.length != length) {
        session_fail_got(s, SMUX_ERR_LENGTH, h.length, commands[h.command].expected);
        return false;
    }
    return true;
}

/* Moves input to `partial` until it holds `want` bytes. */
static bool gather(smux_session *s, size_t want) {
    size_t n = want - s->partial_len;
    if (n > s->input_len)
        n = s->input_len;
    memcpy(s->partial + s->partial_len, s->input, n);
    s->partial_len += (uint8_t)n;
    s->input += n;
    s->input_len -= n;
    return s->partial_len == want;
}

/* Hands payload on as it arrives, in as many events as there are pieces. */
static bool payload(smux_session *s, smux_event *ev) {
    size_t n = s->payload_left < s->input_len ? s->payload_left : s->input_len;
    const uint8_t *data = s->input;
    smux_stream *st = s->payload_stream;
    s->input += n;
    s->input_len -= n;
    s->payload_left -= (uint32_t)n;
    if (!st && s->payload_orphan) {
        send_refuse(s, s->payload_orphan, true);
        s->payload_orphan = 0;
    }
    if (!st || st->in != IN_OPEN)
        return false;
    if (st->flags & F_GIVEN_UP) {
        /* Dropped, but the window still opens: both sides may be closing with more than a window to
         * send. */
        st->bytes_in += n;
        window_consumed(st);
        return false;
    }
    window_delivered(st, (uint32_t)n);
    s->count.bytes_in += n;
    stream_active(st);
    event(ev, SMUX_EVENT_DATA, st);
    ev->data = data;
    ev->len = n;
    ev->urgent = s->payload_urgent && s->payload_left == 0;
    return true;
}

/* A header that is complete in the input needs no copy. */
static bool whole_header(smux_session *s, struct wire_header *h) {
    if (s->partial_len || s->input_len < WIRE_HEADER_LEN || s->input[1] == WIRE_UPD)
        return false;
    *h = wire_unpack_header(s->input);
    s->input += WIRE_HEADER_LEN;
    s->input_len -= WIRE_HEADER_LEN;
    return true;
}

static bool frame(smux_session *s, smux_event *ev) {
    struct wire_header h;
    if (!whole_header(s, &h)) {
        if (s->partial_len < WIRE_HEADER_LEN && !gather(s, WIRE_HEADER_LEN))
            return false;
        h = wire_unpack_header(s->partial);
    }
    if (!header_ok(s, h))
        return false;
    if (h.command == WIRE_UPD && !gather(s, WIRE_HEADER_LEN + WIRE_UPDATE_LEN))
        return false;
    s->partial_len = 0;
    /* A client says hello in its first frame or not at all. */
    if (s->count.frames_in++ == 0 && s->role == SMUX_SERVER && h.id != WIRE_HELLO)
        send_waiting(s);
    bool made = commands[h.command].handle(s, h, ev);
    if (h.command != WIRE_NOP)
        s->mark_id = 0;
    if (h.command != WIRE_FIN)
        s->small_id = 0;
    if (s->terms == TERMS_UNKNOWN && (h.command != WIRE_FIN || h.id != WIRE_HELLO))
        promise_none(s);
    return made;
}

/* The events of a stream are reported before its id can belong to a new one. */
static bool parse(smux_session *s, smux_event *ev) {
    while (s->input_len && !s->error && list_is_empty(&s->events) && !s->returned)
        if (s->payload_left ? payload(s, ev) : frame(s, ev))
            return true;
    return false;
}

int smux_session_feed(smux_session *s, const void *data, size_t len, uint64_t now_us) {
    if (s->error)
        return s->error;
    if (s->input_len)
        return SMUX_ERR_BUSY;
    engine_time(s, now_us);
    if (len) {
        s->last_received_us = s->now_us;
        s->suspect_us = 0;
    }
    s->input = data;
    s->input_len = len;
    return 0;
}

size_t smux_session_feed_cancel(smux_session *s) {
    size_t left = s->input_len;
    s->input_len = 0;
    return left;
}

void smux_session_get_incoming(const smux_session *s, smux_incoming *in) {
    smux_stream *st = s->payload_left ? s->payload_stream : NULL;
    if (st && (st->in != IN_OPEN || st->flags & F_GIVEN_UP))
        st = NULL;
    in->stream = st;
    in->frame_len = s->payload_len;
    if (s->payload_left)
        in->len = s->payload_left;
    else if (s->partial_len < WIRE_HEADER_LEN)
        in->len = WIRE_HEADER_LEN - s->partial_len;
    else
        in->len = WIRE_HEADER_LEN + WIRE_UPDATE_LEN - s->partial_len;
}

void smux_session_pause_reading(smux_session *s, bool paused, uint64_t now_us) {
    engine_time(s, now_us);
    if (s->paused && !paused) {
        s->last_received_us = s->now_us; /* the peer's silence starts now */
        s->suspect_us = 0;
    }
    s->paused = paused;
}

/* ---- Events --------------------------------------------------------------------------------- */

static bool returned_event(smux_session *s, smux_event *ev) {
    smux_sendbuf *b = s->returned;
    if (!b)
        return false;
    smux_stream *st = table_get(s, (uint32_t)b->capacity_);
    if (st && st->flags & F_GIVEN_UP)
        st = NULL;
    s->returned = b->next_;
    if (!s->returned)
        s->returned_tail = &s->returned;
    event(ev, SMUX_EVENT_RETURNED, st);
    ev->buffer = b;
    ev->error = b->state_ < 0 ? b->state_ : 0;
    b->state_ = 0;
    b->next_ = NULL;
    b->capacity_ = 0;
    return true;
}

static bool stream_event_due(smux_session *s, smux_event *ev) {
    if (list_is_empty(&s->events))
        return false;
    smux_stream *st = stream_of(list_first(&s->events), events);
    list_remove(&st->events);
    if (st->flags & F_TOLD_RESET) {
        st->flags &= (uint16_t)~F_TOLD_RESET;
        event(ev, SMUX_EVENT_RESET, st);
        ev->error = st->error;
    } else {
        st->flags &= (uint16_t)~F_WRITABLE;
        event(ev, SMUX_EVENT_WRITABLE, st);
    }
    return true;
}

bool smux_session_next_event(smux_session *s, smux_event *ev) {
    if (returned_event(s, ev) || stream_event_due(s, ev) || parse(s, ev))
        return true;
    /* Parsing may have ended streams or the session, and streams told of room may not have used
     * it. */
    queue_unblock(s);
    if (returned_event(s, ev) || stream_event_due(s, ev))
        return true;
    if (s->error && !s->failed_told && !s->outstanding) {
        s->failed_told = true;
        event(ev, SMUX_EVENT_FAILED, NULL);
        ev->error = s->error;
        return true;
    }
    return false;
}
