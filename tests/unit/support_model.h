/* SPDX-License-Identifier: MIT
 *
 * A pair of engines driven by choices, next to a model of what must happen.
 *
 * Choices come from a seed (property test) or from bytes (fuzzer).  They pick both configurations
 * and then one operation after the other: open, write, lend, take back, half-close, close, reset,
 * accept, consume, move bytes with any split and any short write, let time pass, run out of memory.
 * Whatever was chosen, every stream must deliver exactly the bytes written, in order, or end with
 * an error that the model can explain; every lent buffer comes back once; every counter is right;
 * and when all is closed nothing is left.  support_model_wire.h watches the bytes in between.
 *
 * A broken promise prints what it was and aborts.
 */
#ifndef TEST_SUPPORT_MODEL_H
#define TEST_SUPPORT_MODEL_H

#include "support_alloc.h"
#include "support_frame.h"

#include <inttypes.h>

#define MODEL_STREAMS 64 /* opened by each side at most */
#define MODEL_LOANS   64

static char model_name[64]; /* what runs: "seed 17" */
static bool model_trace;    /* show every frame */

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s: %s:%d: %s: ", model_name, __FILE__, __LINE__, #condition);        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- Choices -------------------------------------------------------------------------------- */

typedef struct choices {
    const uint8_t *data; /* NULL: from the seed */
    size_t len, at;
    uint64_t seed;
    int steps; /* operations left */
} choices;

static inline uint32_t choose_u32(choices *c) {
    if (!c->data) {
        c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(c->seed >> 32);
    }
    uint32_t value = 0;
    for (int i = 0; i < 2 && c->at < c->len; i++)
        value = value << 8 | c->data[c->at++];
    return value;
}

/* 0 .. n - 1; one byte of a script is enough for small n. */
static inline uint32_t choose(choices *c, uint32_t n) {
    if (c->data && n <= 256)
        return (c->at < c->len ? c->data[c->at++] : 0) % n;
    return choose_u32(c) % n;
}

static inline bool one_in(choices *c, uint32_t n) {
    return choose(c, n) == n - 1;
}

/* Small, medium and large sizes with equal probability. */
static inline uint32_t choose_size(choices *c, uint32_t max) {
    static const uint32_t scale[] = {4, 30, 300, 5000, 70000, 300000};
    uint32_t limit = scale[choose(c, 6)];
    limit = limit < max ? limit : max;
    return 1 + choose_u32(c) % limit;
}

/* ---- The model ------------------------------------------------------------------------------ */

/* One end of a stream. */
typedef struct model_half {
    smux_stream *handle; /* NULL before it is ours and after we gave it up */
    bool attached;       /* it was ours once */
    bool accepted;
    bool shut, closed, reset; /* by us */
    bool told; /* when it ended here, the peer could be told resets from ends of file */
    bool eof;
    int error; /* of its RESET event */
    bool fell_short;
    uint64_t written, delivered, consumed;
    /* what its side has put on the wire */
    bool wire_syn, wire_fin, wire_closed, wire_reset_begun;
    bool peer_closed;
    uint64_t wire_sent;
    uint64_t wire_edge; /* the highest position that its peer ever allowed */
} model_half;

typedef struct model_stream {
    uint32_t id;
    int opener;
    model_half half[2];
} model_stream;

typedef struct model_loan {
    smux_sendbuf buffer;
    bool lent;
    uint8_t *data;
    model_stream *stream;
    int side;
    uint64_t offset;
} model_loan;

typedef struct model_side {
    smux_session *session;
    smux_config config;
    test_alloc alloc;
    bytes wire;      /* sent by this side, not yet fed to the other */
    bytes monitored; /* sent by this side, not yet a whole frame */
    bytes fed;       /* fed to this side, not yet a whole frame */
    int wire_version;
    bool said_hello, heard_hello, goaway;
    model_stream streams[MODEL_STREAMS]; /* opened by it */
    uint32_t opened, accepted;
    uint32_t reset_frame_of; /* the stream whose reset has begun: FIN must follow */
    bool in_output;
} model_side;

typedef struct model {
    choices *c;
    model_side side[2];
    model_loan loans[MODEL_LOANS];
    uint64_t now_us;
    bool extensions; /* both sides have them */
    bool nomem;      /* allocations may fail */
    bool lingered;   /* a closed stream may have been ended before all of it was out: for lack of
                        time, or of room */
    int failed;      /* reason, if the script ended the sessions */
    int depth;       /* of operations inside others */
} model;

#include "support_model_wire.h"

static inline smux_session_info model_info(const model *m, int side) {
    smux_session_info info;
    smux_session_get_info(m->side[side].session, &info);
    return info;
}

static inline void model_configure(model *m, int side, int version) {
    choices *c = m->c;
    smux_config *g = &m->side[side].config;
    static const uint32_t frame[] = {32768, 65535, 1, 7, 100, 1000};
    static const uint32_t receive[] = {4 << 20, 1 << 20, 300000, 70000, 1000, 64};
    static const uint32_t few[] = {1024, 1, 2, 5};
    smux_config_init(g);
    g->version = version;
    if (side == 1 && one_in(c, 3))
        g->version = SMUX_VERSION_AUTO;
    g->keepalive_disabled = one_in(c, 4);
    g->keepalive_interval_us = SECONDS(1);
    g->keepalive_timeout_us = SECONDS(1000000);
    g->max_frame_size = frame[choose(c, 6)];
    g->max_receive_buffer = receive[choose(c, 6)];
    g->max_stream_buffer = 1 + choose_u32(c) % g->max_receive_buffer;
    g->auto_window = choose(c, 2);
    if (g->max_receive_buffer >= INITIAL_WINDOW && one_in(c, 3))
        g->max_window =
            INITIAL_WINDOW + choose_u32(c) % (g->max_receive_buffer - INITIAL_WINDOW + 1);
    g->stream_idle_timeout_us = one_in(c, 8) ? SECONDS(5) : 0;
    g->linger_timeout_us = choose(c, 3) ? SECONDS(60) : 0;
    g->accept_backlog = few[choose(c, 4)];
    g->max_streams = one_in(c, 4) ? 1 + choose(c, 8) : 1000;
    if (one_in(c, 2))
        g->stream_send_buffer = choose_size(c, 300000);
    if (one_in(c, 3))
        g->session_send_buffer = choose_size(c, 300000);
    g->on_full = choose(c, 3) == 2 ? SMUX_FULL_RESET : SMUX_FULL_STALL;
    g->extensions = !one_in(c, 4);
    g->hash_seed = choose_u32(c);
}

static inline void model_begin(model *m, choices *c, bool nomem) {
    memset(m, 0, sizeof(*m));
    model_trace = getenv("SMUX_TEST_TRACE");
    m->c = c;
    m->now_us = SECONDS(100);
    int version = 1 + (int)choose(c, 2);
    for (int i = 0; i < 2; i++) {
        model_side *s = &m->side[i];
        model_configure(m, i, version);
        smux_config_fault fault = {"", ""};
        CHECK(smux_config_verify(&s->config, i, &fault) == 0, "%s: %s", fault.field, fault.why);
        smux_allocator allocator = test_allocator(&s->alloc);
        CHECK(smux_session_new(&s->session, i, &s->config, &allocator, m->now_us) == 0, "new");
        s->wire_version = version;
    }
    m->extensions = m->side[0].config.extensions && m->side[1].config.extensions;
    m->nomem = nomem;
    for (int i = 0; i < 2 && nomem; i++) {
        m->side[i].alloc.fail_one_in = 2 + choose(c, 20);
        m->side[i].alloc.random = choose_u32(c);
    }
}

/* A stream chosen by the script that has a handle on this side, or NULL. */
static inline model_stream *model_pick(model *m, int side) {
    uint32_t total = m->side[0].opened + m->side[1].opened;
    if (!total)
        return NULL;
    uint32_t at = choose(m->c, total);
    for (uint32_t i = 0; i < total; i++, at = (at + 1) % total) {
        uint32_t first = m->side[0].opened;
        model_stream *t = at < first ? &m->side[0].streams[at] : &m->side[1].streams[at - first];
        if (t->half[side].handle)
            return t;
    }
    return NULL;
}

/* Has it ended with an error (perhaps before its RESET event)? */
static inline bool model_dead(const model *m, const model_half *h) {
    smux_stream_info info;
    smux_stream_get_info(h->handle, &info);
    CHECK(!h->error || info.error == h->error, "%d, not %d", info.error, h->error);
    return info.error || m->failed;
}

/* ---- Operations ----------------------------------------------------------------------------- */

static inline void model_open(model *m, int side) {
    model_side *s = &m->side[side];
    if (s->opened == MODEL_STREAMS)
        return;
    smux_stream *stream = NULL;
    int error = smux_stream_open(s->session, &stream);
    if (error) {
        smux_session_info info = model_info(m, side);
        CHECK((error == SMUX_ERR_STREAM_LIMIT && info.streams >= s->config.max_streams) ||
                  (error == SMUX_ERR_GOAWAY && (info.peer_goaway || s->goaway)) ||
                  (error == SMUX_ERR_NOMEM && m->nomem) || (m->failed && error == m->failed),
              "%s", smux_error_name(error));
        return;
    }
    model_stream *t = &s->streams[s->opened++];
    *t = (model_stream){.id = smux_stream_id(stream), .opener = side};
    CHECK(t->id == (side == 0 ? 1 : 0) + 2 * s->opened, "id %u", t->id);
    t->half[side] = (model_half){.handle = stream, .attached = true, .accepted = true};
    for (int i = 0; i < 2; i++)
        t->half[i].wire_edge = INITIAL_WINDOW;
    smux_stream_set_user(stream, t);
}

/* Not too many frames: they take time. */
static inline uint32_t model_choose_len(model *m, int side) {
    uint32_t frame = m->side[side].config.max_frame_size;
    return choose_size(m->c, frame < 1000 ? frame * 300 : 300000);
}

static inline void model_write(model *m, int side, model_stream *t) {
    model_half *h = &t->half[side];
    if (model_info(m, side).queued >= 2 * (uint64_t)m->side[side].config.session_send_buffer)
        m->lingered = true;
    uint32_t len = model_choose_len(m, side);
    uint8_t *data = malloc(len);
    pattern_fill(data, len, t->id, side, h->written);
    size_t room = smux_stream_send_room(h->handle);
    uint32_t cut = choose_u32(m->c) % (len + 1);
    struct iovec iov[2] = {{data, cut}, {data + cut, len - cut}};
    ssize_t n = one_in(m->c, 2) ? smux_stream_send(h->handle, data, len)
                                : smux_stream_sendv(h->handle, iov, 2);
    if (n < 0) {
        CHECK((n == SMUX_ERR_SHUT && h->shut) || (n == SMUX_ERR_NOMEM && m->nomem) ||
                  model_dead(m, h),
              "%s", smux_error_name((int)n));
        h->fell_short = h->fell_short || n == SMUX_ERR_NOMEM;
        free(data);
        return;
    }
    CHECK(!h->shut && !model_dead(m, h), "sent on a stream that was shut");
    if (m->nomem)
        CHECK((size_t)n <= len, "%zd", n);
    else
        CHECK((size_t)n >= (len < room ? len : room) && (size_t)n <= len, "%zd of %u, room %zu", n,
              len, room); /* more, if a stream that lingers had to make room */
    h->fell_short = h->fell_short || (size_t)n < len;
    h->written += (uint64_t)n;
    free(data);
}

static inline void model_lend(model *m, int side, model_stream *t) {
    model_half *h = &t->half[side];
    model_loan *l = m->loans;
    while (l < m->loans + MODEL_LOANS && l->lent)
        l++;
    if (l == m->loans + MODEL_LOANS)
        return;
    uint32_t len = model_choose_len(m, side);
    *l = (model_loan){.data = malloc(len), .stream = t, .side = side, .offset = h->written};
    pattern_fill(l->data, len, t->id, side, h->written);
    l->buffer = (smux_sendbuf){.data = l->data, .len = len, .user = l};
    int error = smux_stream_send_borrowed(h->handle, &l->buffer);
    if (error) {
        CHECK((error == SMUX_ERR_SHUT && h->shut) || model_dead(m, h), "%s",
              smux_error_name(error));
        free(l->data);
        return;
    }
    CHECK(!h->shut && !model_dead(m, h), "lent to a stream that was shut");
    l->lent = true;
    h->written += len;
}

/* Bytes are marked urgent only where this holds, so that an event at another position is
 * detected. */
static inline bool model_may_be_urgent(uint64_t end) {
    return end % 8 == 5;
}

static inline void model_mark_urgent(model *m, int side, model_stream *t) {
    model_half *h = &t->half[side];
    size_t behind = (size_t)((h->written + 3) % 8);
    if (h->written <= behind)
        return;
    int error = smux_stream_mark_urgent(h->handle, behind);
    CHECK(!error || error == SMUX_ERR_ARGUMENT || (error == SMUX_ERR_SHUT && h->shut) ||
              model_dead(m, h),
          "%s", smux_error_name(error));
}

static inline void model_return_loan(model_loan *l) {
    CHECK(l->lent, "a buffer came back twice");
    memset(l->data, 0xDD, l->buffer.len);
    free(l->data);
    *l = (model_loan){0};
}

/* Takes a loan back if it was the last data written; otherwise the pattern would have a gap. */
static inline void model_cancel(model *m) {
    model_loan *l = &m->loans[choose(m->c, MODEL_LOANS)];
    if (!l->lent)
        return;
    model_half *h = &l->stream->half[l->side];
    model_side *s = &m->side[l->side];
    if (h->written != l->offset + l->buffer.len)
        return;
    size_t left = 0;
    int error = smux_session_send_cancel(s->session, &l->buffer, &left);
    if (s->in_output)
        CHECK(error == SMUX_ERR_BUSY || error == SMUX_ERR_ARGUMENT, "cancel: %d", error);
    if (error) {
        CHECK(error == SMUX_ERR_BUSY || error == SMUX_ERR_ARGUMENT ||
                  (error == SMUX_ERR_NOMEM && m->nomem),
              "%s", smux_error_name(error));
        return;
    }
    CHECK(left <= l->buffer.len, "%zu", left);
    h->written -= left;
    model_return_loan(l);
}

static inline void model_shut(model *m, int side, model_stream *t) {
    model_half *h = &t->half[side];
    int error = smux_stream_close_write(h->handle);
    if (error)
        CHECK(model_dead(m, h), "%s", smux_error_name(error));
    else
        h->shut = true;
}

static inline void model_give_up(model *m, int side, model_stream *t, bool reset) {
    model_half *h = &t->half[side];
    smux_stream *stream = h->handle;
    smux_stream_info info;
    smux_stream_get_info(stream, &info);
    h->handle = NULL;
    if (!h->error)
        h->told = model_info(m, side).peer_extensions;
    h->error = info.error; /* whose event had not been taken yet */
    if (reset) {
        h->reset = true;
        smux_stream_reset(stream);
    } else {
        h->closed = h->shut = true;
        smux_stream_close(stream);
    }
}

static inline void model_consume(model *m, int side, model_stream *t) {
    model_half *h = &t->half[side];
    uint64_t unread = h->delivered - h->consumed;
    uint64_t n = one_in(m->c, 2) ? unread : choose_u32(m->c) % (unread + 1);
    int error = smux_stream_consume(h->handle, n);
    CHECK(!error || model_dead(m, h), "%s", smux_error_name(error));
    h->consumed += n;
    if (!model_dead(m, h))
        CHECK(smux_stream_consume(h->handle, unread - n + 1) == SMUX_ERR_ARGUMENT, "too much");
}

static inline void model_accept(model_half *h) {
    smux_stream_accept(h->handle);
    h->accepted = true;
}

/* ---- Events --------------------------------------------------------------------------------- */

static inline model_stream *model_find(model *m, uint32_t id) {
    int opener = id & 1 ? 0 : 1;
    uint32_t index = (id - (opener == 0 ? 3 : 2)) / 2;
    CHECK(id >= 2 && index < m->side[opener].opened, "stream %u was never opened", id);
    return &m->side[opener].streams[index];
}

/* May the far half `o` appear to have ended before everything it wrote has arrived? */
static inline bool model_may_truncate(const model *m, const model_half *o) {
    return (o->reset && !o->told) || (o->error && !m->extensions) ||
           (!o->attached && !m->extensions) || (o->closed && m->lingered) ||
           (o->error && o->error != SMUX_ERR_PEER_RESET); /* told before the peer's hello came */
}

static inline void model_on_eof(model *m, model_half *h, const model_half *o) {
    CHECK(!h->eof, "end of file twice");
    h->eof = true;
    bool whole = o->shut && h->delivered == o->written;
    CHECK(whole || model_may_truncate(m, o) || !o->attached,
          "end of file after %" PRIu64 " of %" PRIu64 " bytes", h->delivered, o->written);
}

static inline void model_on_reset(model *m, int side, model_half *h, const model_half *o,
                                  int error) {
    const smux_config *g = &m->side[side].config;
    h->error = error;
    h->told = model_info(m, side).peer_extensions;
    switch (error) {
    case SMUX_ERR_PEER_RESET:
        CHECK(o->reset || o->error || !o->attached || o->closed, "the peer reset nothing");
        break;
    case SMUX_ERR_OVERRUN:
        CHECK(g->on_full == SMUX_FULL_RESET, "overrun, but not the policy");
        break;
    case SMUX_ERR_IDLE:
        CHECK(g->stream_idle_timeout_us, "idle, but no timeout");
        break;
    default:
        CHECK(m->failed && error == m->failed, "reset: %s", smux_error_name(error));
    }
}

static inline void model_on_data(model_stream *t, int side, const smux_event *event) {
    model_half *h = &t->half[side];
    CHECK(event->len > 0 && !h->eof, "%zu bytes, eof %d", event->len, h->eof);
    CHECK(h->delivered + event->len <= t->half[1 - side].written, "more than was written");
    size_t good = pattern_differs(event->data, event->len, t->id, 1 - side, h->delivered);
    CHECK(good == event->len, "stream %u, byte %" PRIu64, t->id, h->delivered + good);
    h->delivered += event->len;
    CHECK(!event->urgent || model_may_be_urgent(h->delivered), "urgent at %" PRIu64, h->delivered);
}

static inline void model_on_accept(model *m, int side, const smux_event *event) {
    model_stream *t = model_find(m, smux_stream_id(event->stream));
    model_half *h = &t->half[side];
    CHECK(t->opener == 1 - side && !h->attached, "stream %u accepted twice", t->id);
    CHECK(!m->side[side].goaway || m->extensions, "accepted after goaway");
    h->handle = event->stream;
    h->attached = true;
    smux_stream_set_user(event->stream, t);
    m->side[side].accepted++;
    if (!one_in(m->c, 4))
        model_accept(h);
}

static inline void model_on_sent(const model *m, const smux_event *event) {
    model_loan *l = event->buffer->user;
    CHECK(l && &l->buffer == event->buffer, "a strange buffer");
    model_half *h = &l->stream->half[l->side];
    CHECK(event->stream == h->handle, "stream of a returned buffer");
    if (event->error)
        CHECK(event->error != SMUX_ERR_LOCAL_RESET || h->reset || m->lingered, "%d", event->error);
    model_return_loan(l);
}

static inline void model_on_stream_event(model *m, int side, const smux_event *event) {
    model_stream *t = event->user;
    CHECK(t && t->half[side].handle == event->stream, "event %d of a stream given up", event->type);
    model_half *h = &t->half[side];
    CHECK(!h->error, "event %d after the reset", event->type);
    switch (event->type) {
    case SMUX_EVENT_DATA:
        model_on_data(t, side, event);
        break;
    case SMUX_EVENT_EOF:
        model_on_eof(m, h, &t->half[1 - side]);
        break;
    case SMUX_EVENT_RESET:
        model_on_reset(m, side, h, &t->half[1 - side], event->error);
        break;
    case SMUX_EVENT_PEER_CLOSED:
        CHECK(h->eof && !h->peer_closed && t->half[1 - side].closed, "closed by the peer");
        h->peer_closed = true;
        break;
    default:
        CHECK(event->type == SMUX_EVENT_WRITABLE, "event %d", event->type);
        CHECK(h->fell_short, "writable, but it never fell short (shut %d)", h->shut);
        h->fell_short = false;
    }
}

static inline void model_on_event(model *m, int side, const smux_event *event) {
    switch (event->type) {
    case SMUX_EVENT_ACCEPT:
        model_on_accept(m, side, event);
        break;
    case SMUX_EVENT_RETURNED:
        model_on_sent(m, event);
        break;
    case SMUX_EVENT_HELLO:
        CHECK(m->extensions, "hello");
        break;
    case SMUX_EVENT_GOAWAY:
        CHECK(m->extensions && m->side[1 - side].goaway, "goaway");
        break;
    case SMUX_EVENT_FAILED:
        CHECK(m->failed && event->error == m->failed, "%s: %s", smux_error_name(event->error),
              smux_session_error_text(m->side[side].session));
        break;
    default:
        model_on_stream_event(m, side, event);
    }
}

static inline void model_op(model *m, int side, bool may_move);

static inline void model_events(model *m, int side) {
    smux_event event;
    while (smux_session_next_event(m->side[side].session, &event)) {
        model_on_event(m, side, &event);
        if (m->c->steps > 0 && one_in(m->c, 8)) /* any function between two events */
            model_op(m, side, false);
    }
}

/* ---- Moving bytes and time ------------------------------------------------------------------ */

static inline void model_feed(model *m, int to, size_t max) {
    model_side *s = &m->side[to], *from = &m->side[1 - to];
    size_t len = from->wire.len < max ? from->wire.len : max;
    if (!smux_session_want_read(s->session) || !len)
        return;
    uint8_t *piece = malloc(len); /* exactly as long, so that a sanitizer sees an overread */
    memcpy(piece, from->wire.data, len);
    bytes_drop(&from->wire, len);
    wire_heard(m, to, piece, len);
    int error = smux_session_feed(s->session, piece, len, m->now_us);
    CHECK(!error, "%s", smux_error_name(error));
    model_events(m, to);
    memset(piece, 0xDD, len);
    free(piece);
}

static inline void model_output(model *m, int side, size_t max) {
    static const int limits[] = {64, 4, 5, 16, 256};
    struct iovec iov[256];
    model_side *s = &m->side[side];
    bool wanted = smux_session_want_write(s->session);
    int limit = limits[choose(m->c, 5)];
    int count = smux_session_output(s->session, iov, limit, m->now_us);
    CHECK(count >= 0 && count <= limit && wanted == (count > 0), "%d of %d", count, limit);
    s->in_output = count > 0;
    if (m->c->steps > 0 && one_in(m->c, 4)) /* the memory must stay valid meanwhile */
        model_op(m, side, false);
    size_t total = 0, taken = 0;
    for (int i = 0; i < count; i++) {
        CHECK(iov[i].iov_len > 0, "empty piece");
        total += iov[i].iov_len;
        size_t part = iov[i].iov_len < max - taken ? iov[i].iov_len : max - taken;
        bytes_add(&s->wire, iov[i].iov_base, part);
        wire_said(m, side, iov[i].iov_base, part);
        taken += part;
    }
    CHECK(total <= SMUX_OUTPUT_MAX + FRAME_HEADER + FRAME_PAYLOAD_MAX, "%zu", total);
    s->in_output = false;
    smux_session_output_done(s->session, taken);
    model_events(m, side);
}

static inline void model_time(model *m, uint64_t us) {
    m->now_us += us;
    for (int i = 0; i < 2; i++)
        if (m->side[i].config.linger_timeout_us && m->now_us > SECONDS(100 + 59))
            m->lingered = true;
    for (int i = 0; i < 2; i++) {
        smux_session_tick(m->side[i].session, m->now_us);
        model_events(m, i);
        CHECK(m->failed || smux_session_deadline(m->side[i].session) > m->now_us,
              "deadline in the past");
    }
}

/* One operation.  may_move: bytes, time and nested operations too. */
static inline void model_op(model *m, int side, bool may_move) {
    static const uint8_t table[] = "wwwwwwwwllloosccrrCCCCCCCaakupg"; /* stream operations */
    m->c->steps--;
    if (may_move && choose(m->c, 2)) {
        uint32_t what = choose(m->c, 16);
        if (what < 7)
            model_feed(m, side, choose_size(m->c, 300000));
        else if (what < 14)
            model_output(m, side, choose(m->c, 2) ? SIZE_MAX : choose_size(m->c, 300000) - 1);
        else if (m->side[0].in_output == m->side[1].in_output)
            model_time(m, one_in(m->c, 8) ? SECONDS(100) : choose_u32(m->c) % SECONDS(2));
        return;
    }
    uint8_t what = table[choose(m->c, sizeof(table) - 1)];
    model_stream *t = model_pick(m, side);
    switch (what) {
    case 'o':
        model_open(m, side);
        return;
    case 'k':
        model_cancel(m);
        return;
    case 'p':
        smux_session_ping(m->side[side].session);
        return;
    case 'g':
        if (one_in(m->c, 16)) {
            smux_session_goaway(m->side[side].session);
            m->side[side].goaway = true;
        }
        return;
    }
    if (!t) {
        model_open(m, side);
        return;
    }
    switch (what) {
    case 'w':
        model_write(m, side, t);
        break;
    case 'l':
        model_lend(m, side, t);
        break;
    case 's':
        model_shut(m, side, t);
        break;
    case 'c':
    case 'r':
        if (one_in(m->c, 3))
            model_give_up(m, side, t, what == 'r');
        break;
    case 'C':
        model_consume(m, side, t);
        break;
    case 'a':
        model_accept(&t->half[side]);
        break;
    case 'u':
        model_mark_urgent(m, side, t);
        break;
    default:
        break;
    }
}

#include "support_model_end.h"

#endif
