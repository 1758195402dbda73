/* SPDX-License-Identifier: MIT
 *
 * Two engines over a simulated path with a rate and a delay, on a simulated clock.
 *
 * Side 0 is the client.  The test sets on_event and, optionally, on_step.
 */
#ifndef TEST_SUPPORT_PATH_H
#define TEST_SUPPORT_PATH_H

#include "support_engine.h"

#define PATH_CHUNKS 4096

typedef struct path_chunk {
    uint64_t arrives_us;
    size_t len;
} path_chunk;

/* One direction: the bytes in flight. */
typedef struct path_wire {
    bytes data;
    size_t head; /* bytes at the front that have arrived */
    path_chunk chunks[PATH_CHUNKS];
    unsigned first, count;
    double credit; /* bytes that may leave now */
} path_wire;

typedef struct path {
    smux_session *side[2];
    test_alloc alloc[2];
    path_wire wire[2]; /* wire[i] carries what side i sends */
    uint64_t now_us, step_us, delay_us;
    double bytes_per_us;
    void (*on_event)(struct path *, int side, const smux_event *);
    void (*on_step)(struct path *);
    void *user;
    bool stalled[2]; /* smux_session_want_read was false once */
} path;

static inline void path_begin(path *p, const smux_config *client, const smux_config *server) {
    const smux_config *config[2] = {client, server};
    p->now_us = SECONDS(5);
    for (int i = 0; i < 2; i++) {
        smux_allocator a = test_allocator(&p->alloc[i]);
        assert_int_equal(smux_session_new(&p->side[i], i, config[i], &a, p->now_us), 0);
    }
}

static inline void path_end(path *p) {
    for (int i = 0; i < 2; i++) {
        smux_session_free(p->side[i]);
        assert_int_equal(p->alloc[i].live_blocks, 0);
        bytes_free(&p->wire[i].data);
    }
}

static inline void path_events(path *p, int side) {
    smux_event event;
    while (smux_session_next_event(p->side[side], &event))
        p->on_event(p, side, &event);
}

static inline void path_transmit(path *p, int side) {
    path_wire *w = &p->wire[side];
    double burst = p->bytes_per_us * (double)p->step_us;
    w->credit = w->credit + burst > 2 * burst ? 2 * burst : w->credit + burst;
    while (w->credit >= 1 && w->count < PATH_CHUNKS) {
        struct iovec iov[64];
        int n = smux_session_output(p->side[side], iov, 64, p->now_us);
        size_t total = iov_total(iov, n);
        size_t take = (double)total < w->credit ? total : (size_t)w->credit, left = take;
        for (int i = 0; i < n && left; i++) {
            size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
            bytes_add(&w->data, iov[i].iov_base, part);
            left -= part;
        }
        smux_session_output_done(p->side[side], take);
        if (!take)
            break;
        w->credit -= (double)take;
        w->chunks[(w->first + w->count++) % PATH_CHUNKS] =
            (path_chunk){.arrives_us = p->now_us + p->delay_us, .len = take};
    }
    path_events(p, side);
}

static inline void path_deliver(path *p, int from) {
    path_wire *w = &p->wire[from];
    int to = 1 - from;
    while (w->count && w->chunks[w->first].arrives_us <= p->now_us) {
        if (!smux_session_want_read(p->side[to])) {
            p->stalled[to] = true;
            break;
        }
        path_chunk *c = &w->chunks[w->first];
        assert_int_equal(smux_session_feed(p->side[to], w->data.data + w->head, c->len, p->now_us),
                         0);
        path_events(p, to);
        w->head += c->len;
        w->first = (w->first + 1) % PATH_CHUNKS;
        w->count--;
    }
    if (w->head > w->data.len / 2) {
        bytes_drop(&w->data, w->head);
        w->head = 0;
    }
}

static inline void path_run(path *p, uint64_t us) {
    for (uint64_t end = p->now_us + us; p->now_us < end;) {
        p->now_us += p->step_us;
        for (int i = 0; i < 2; i++) {
            path_deliver(p, i);
            if (smux_session_deadline(p->side[i]) <= p->now_us)
                smux_session_tick(p->side[i], p->now_us);
            path_events(p, i);
        }
        if (p->on_step)
            p->on_step(p);
        for (int i = 0; i < 2; i++)
            path_transmit(p, i);
    }
}

#endif
