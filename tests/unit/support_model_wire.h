/* SPDX-License-Identifier: MIT
 *
 * Checks the bytes between the two engines of the model: only valid frames, within windows, and
 * extensions only to a peer that has them. Included by support_model.h.
 */
#ifndef TEST_SUPPORT_MODEL_WIRE_H
#define TEST_SUPPORT_MODEL_WIRE_H

static inline model_stream *model_find(model *m, uint32_t id);
static inline bool model_may_be_urgent(uint64_t end);

static const char *const wire_names[] = {"SYN", "FIN", "PSH", "NOP", "UPD"};

static inline bool wire_extension_id(uint32_t id) {
    return id == NOP_GOAWAY || (id >= NOP_PING && id < NOP_PING + 16) ||
           (id >= NOP_PONG && id < NOP_PONG + 16);
}

static inline uint32_t wire_window_limit(const smux_config *g) {
    uint32_t half = g->max_receive_buffer / 2;
    uint32_t largest = g->max_window ? g->max_window : half;
    if (!g->auto_window)
        largest = g->max_stream_buffer;
    return largest > INITIAL_WINDOW ? largest : INITIAL_WINDOW;
}

static inline void wire_said_psh(model *m, int side, const frame *f, bool urgent) {
    model_stream *t = model_find(m, f->sid);
    model_half *h = &t->half[side];
    CHECK(f->len > 0 && f->len <= m->side[side].config.max_frame_size, "PSH of %u", f->len);
    CHECK(!h->wire_fin, "PSH behind FIN on %u", f->sid);
    CHECK(side != t->opener || h->wire_syn, "PSH before SYN on %u", f->sid);
    h->wire_sent += f->len;
    CHECK(!urgent || model_may_be_urgent(h->wire_sent), "urgent at %" PRIu64, h->wire_sent);
    CHECK(f->version == 1 || h->wire_sent <= h->wire_edge, "stream %u: %" PRIu64 " > %" PRIu64,
          f->sid, h->wire_sent, h->wire_edge);
}

static inline void wire_said_nop(model *m, int side, const frame *f) {
    model_side *s = &m->side[side];
    CHECK(f->len == 0, "NOP of %u", f->len);
    if (f->sid == 0)
        return;
    CHECK(s->heard_hello && s->said_hello, "NOP %#x to a peer that said no hello", f->sid);
    if (f->sid < STREAM_IDS_END)
        s->reset_frame_of = f->sid;
    else
        CHECK(wire_extension_id(f->sid), "NOP %#x", f->sid);
}

static inline void wire_said_fin(model *m, int side, const frame *f) {
    CHECK(f->len == 0, "FIN of %u", f->len);
    if (f->sid == FIN_HELLO) {
        CHECK(m->side[side].config.extensions && !m->side[side].said_hello, "hello");
        CHECK(side == 0 || m->side[1].heard_hello, "the server said hello first");
        m->side[side].said_hello = true;
        return;
    }
    model_find(m, f->sid)->half[side].wire_fin = true;
}

static inline void wire_said_upd(model *m, int side, const frame *f) {
    CHECK(f->version == 2 && f->len == 8, "UPD of %u in version %d", f->len, f->version);
    model_stream *t = model_find(m, f->sid);
    CHECK(side != t->opener || t->half[side].wire_syn, "UPD before SYN");
    uint64_t arrived = t->half[side].delivered;
    uint32_t consumed = get_u32(f->payload), window = get_u32(f->payload + 4);
    if (!t->half[side].closed && !t->half[side].reset)
        CHECK(consumed <= arrived, "%u of %" PRIu64 " consumed", consumed, arrived);
    CHECK(window <= wire_window_limit(&m->side[side].config), "window %u", window);
}

static inline void wire_said_closed(model *m, int side, uint32_t id) {
    model_half *h = &model_find(m, id)->half[side];
    CHECK(h->wire_fin && h->closed, "CLOSED of %u, FIN said %d, closed %d", id, h->wire_fin,
          h->closed);
    CHECK(!h->wire_closed, "CLOSED of %u twice", id);
    h->wire_closed = true;
}

/* A whole frame has left `side`. */
static inline void wire_said_frame(model *m, int side, const frame *f) {
    model_side *s = &m->side[side];
    if (model_trace)
        fprintf(stderr, "%d: %s %#x, %u bytes (%u, %u)\n", side, wire_names[f->cmd % 5], f->sid,
                f->len, f->cmd == CMD_UPD ? get_u32(f->payload) : 0,
                f->cmd == CMD_UPD ? get_u32(f->payload + 4) : 0);
    CHECK(f->version == s->wire_version, "version %d", f->version);
    uint32_t reset = s->reset_frame_of;
    CHECK(!reset ||
              ((f->cmd == CMD_FIN || f->cmd == CMD_PSH || f->cmd == CMD_NOP) && f->sid == reset),
          "NOP %u without its FIN, PSH or NOP", reset);
    s->reset_frame_of = 0;
    if (reset && f->cmd == CMD_NOP) {
        wire_said_closed(m, side, f->sid);
        return;
    }
    if (side == 0 && s->config.extensions && !s->said_hello)
        CHECK(f->cmd == CMD_FIN && f->sid == FIN_HELLO, "hello is not the first frame");
    switch (f->cmd) {
    case CMD_SYN: {
        model_stream *t = model_find(m, f->sid);
        CHECK(t->opener == side && f->len == 0, "SYN %u", f->sid);
        CHECK(!t->half[side].wire_syn, "SYN %u twice", f->sid);
        t->half[side].wire_syn = true;
        break;
    }
    case CMD_FIN:
        wire_said_fin(m, side, f);
        break;
    case CMD_PSH:
        wire_said_psh(m, side, f, reset);
        break;
    case CMD_NOP:
        wire_said_nop(m, side, f);
        break;
    default:
        CHECK(f->cmd == CMD_UPD, "command %d", f->cmd);
        wire_said_upd(m, side, f);
    }
}

static inline void wire_said(model *m, int side, const void *data, size_t len) {
    bytes *b = &m->side[side].monitored;
    bytes_add(b, data, len);
    frame f;
    size_t at = 0;
    for (size_t size; (size = frame_parse(b->data + at, b->len - at, &f)); at += size)
        wire_said_frame(m, side, &f);
    bytes_drop(b, at);
}

/* Notes what `side` is about to receive. */
static inline void wire_heard(model *m, int side, const void *data, size_t len) {
    model_side *s = &m->side[side];
    bytes *b = &s->fed;
    bytes_add(b, data, len);
    frame f;
    size_t at = 0;
    for (size_t size; (size = frame_parse(b->data + at, b->len - at, &f)); at += size) {
        if (f.cmd == CMD_FIN && f.sid == FIN_HELLO)
            s->heard_hello = true;
        if (f.cmd == CMD_UPD) {
            model_half *h = &model_find(m, f.sid)->half[side];
            uint64_t edge = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
            h->wire_edge = edge > h->wire_edge ? edge : h->wire_edge;
        }
    }
    bytes_drop(b, at);
}

#endif
