/* SPDX-License-Identifier: MIT
 *
 * Windows of several streams that grow together over a long path: unread streams leave room for
 * others, each stream gets its share, and idle ones give theirs back.
 */
#include "support_path.h"

enum { STREAMS_MAX = 9, RTT_MS = 50, BYTES_PER_US = 200 };

typedef struct transfer {
    smux_stream *source, *sink;
    uint64_t received;
    bool sends;
} transfer;

typedef struct several {
    path path;
    transfer transfers[STREAMS_MAX];
    unsigned accepted;
    bool reads; /* the receiver does, all that comes */
} several;

static void fill(transfer *t) {
    static const uint8_t zeros[65536];
    while (t->sends && smux_stream_send(t->source, zeros, sizeof zeros) == sizeof zeros)
        ;
}

static void on_event(path *p, int side, const smux_event *event) {
    several *v = p->user;
    transfer *t = event->user;
    if (event->type == SMUX_EVENT_ACCEPT) {
        t = &v->transfers[v->accepted++];
        smux_stream_accept(event->stream);
        smux_stream_set_user(event->stream, t);
        t->sink = event->stream;
    } else if (event->type == SMUX_EVENT_DATA) {
        assert_int_equal(side, 1);
        t->received += event->len;
        if (v->reads)
            assert_int_equal(smux_stream_consume(event->stream, event->len), 0);
    } else if (event->type == SMUX_EVENT_WRITABLE) {
        fill(t);
    }
}

static void several_begin(several *v, unsigned streams, const smux_config *server) {
    smux_config config;
    memset(v, 0, sizeof *v);
    smux_config_init(&config);
    config.version = 2;
    config.stream_send_buffer = 16 << 20;
    config.session_send_buffer = 256 << 20;
    v->path.delay_us = MILLISECONDS(RTT_MS) / 2;
    v->path.step_us = 1000;
    v->path.bytes_per_us = BYTES_PER_US;
    v->path.on_event = on_event;
    v->path.user = v;
    v->reads = true;
    path_begin(&v->path, &config, server ? server : &config);
    for (unsigned i = 0; i < streams; i++) {
        assert_int_equal(smux_stream_open(v->path.side[0], &v->transfers[i].source), 0);
        smux_stream_set_user(v->transfers[i].source, &v->transfers[i]);
    }
}

static void start(transfer *t) {
    t->sends = true;
    fill(t);
}

static uint32_t window(const transfer *t) {
    return stream_info(t->sink).recv_window;
}

/* Three streams had grown to half of the budget each; when their readers stopped, the budget was
 * used up, and the rest of the session stalled. */
static void unread_streams_whose_windows_have_grown_leave_room_for_another(void **state) {
    static several v;
    (void)state;
    for (unsigned unread = 1; unread <= 8; unread++) {
        several_begin(&v, unread + 1, NULL);
        for (unsigned i = 0; i < unread; i++)
            start(&v.transfers[i]);
        path_run(&v.path, SECONDS(5));
        assert_true(window(&v.transfers[0]) > INITIAL_WINDOW);
        v.reads = false;
        path_run(&v.path, SECONDS(1));
        assert_int_equal(smux_stream_send(v.transfers[unread].source, "hello", 5), 5);
        path_run(&v.path, SECONDS(1));
        assert_int_equal(v.transfers[unread].received, 5);
        path_end(&v.path);
    }
}

static void a_window_as_large_as_the_budget_does_not_use_it_up(void **state) {
    static several v;
    smux_config config;
    (void)state;
    smux_config_init(&config);
    config.version = 2;
    config.max_window = config.max_receive_buffer;
    several_begin(&v, 2, &config);
    start(&v.transfers[0]);
    path_run(&v.path, SECONDS(3));
    v.reads = false;
    path_run(&v.path, SECONDS(1));
    assert_int_equal(smux_stream_send(v.transfers[1].source, "hello", 5), 5);
    path_run(&v.path, SECONDS(1));
    assert_int_equal(v.transfers[1].received, 5);
    path_end(&v.path);
}

/* Otherwise the first streams would take all the growth, and keep it. */
static void streams_that_begin_later_get_their_share_of_what_windows_may_grow_by(void **state) {
    enum { N = 6 };
    static several v;
    uint32_t least = UINT32_MAX, most = 0;
    (void)state;
    several_begin(&v, N, NULL);
    for (unsigned i = 0; i < N; i++) {
        start(&v.transfers[i]);
        path_run(&v.path, SECONDS(2));
    }
    for (unsigned i = 0; i < N; i++) {
        uint32_t w = window(&v.transfers[i]);
        least = w < least ? w : least;
        most = w > most ? w : most;
    }
    assert_true(least > INITIAL_WINDOW);
    assert_true(most - INITIAL_WINDOW <= 2 * (least - INITIAL_WINDOW));
    path_end(&v.path);
}

static void the_growth_of_an_idle_streams_window_goes_to_a_busy_one(void **state) {
    static several v;
    (void)state;
    several_begin(&v, 2, NULL);
    start(&v.transfers[0]);
    path_run(&v.path, SECONDS(2));
    uint32_t alone = window(&v.transfers[0]);
    assert_int_equal(alone, 2 << 20); /* half of the budget */
    v.transfers[0].sends = false;
    path_run(&v.path, SECONDS(5));
    assert_int_equal(window(&v.transfers[0]), alone); /* nobody wants it */
    start(&v.transfers[1]);
    path_run(&v.path, SECONDS(3));
    assert_int_equal(window(&v.transfers[0]), INITIAL_WINDOW);
    assert_int_equal(window(&v.transfers[1]), alone);
    path_end(&v.path);
}

static void a_stream_that_pauses_alone_keeps_its_window(void **state) {
    static several v;
    (void)state;
    several_begin(&v, 1, NULL);
    for (int i = 0; i < 4; i++) {
        start(&v.transfers[0]);
        path_run(&v.path, SECONDS(2));
        assert_int_equal(window(&v.transfers[0]), 2 << 20);
        v.transfers[0].sends = false;
        path_run(&v.path, SECONDS(5));
    }
    path_end(&v.path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unread_streams_whose_windows_have_grown_leave_room_for_another),
        cmocka_unit_test(a_window_as_large_as_the_budget_does_not_use_it_up),
        cmocka_unit_test(streams_that_begin_later_get_their_share_of_what_windows_may_grow_by),
        cmocka_unit_test(the_growth_of_an_idle_streams_window_goes_to_a_busy_one),
        cmocka_unit_test(a_stream_that_pauses_alone_keeps_its_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
