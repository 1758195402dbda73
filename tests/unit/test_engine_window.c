/* SPDX-License-Identifier: MIT
 *
 * Version 2: windows of both directions, by hand and over a simulated path.
 */
#include "support_path.h"

/* ---- The window that the peer gives us ------------------------------------------------------ */

/* Drains and returns how much payload of the stream went out. */
static size_t payload_sent(engine *e, uint32_t sid) {
    size_t sum = 0;
    for (frame f = next_frame(e); f.cmd != -1; f = next_frame(e))
        if (f.cmd == CMD_PSH && f.sid == sid)
            sum += f.len;
    return sum;
}

static void engine_with_sender(engine *e, smux_stream **s) {
    engine_prepare(e, SMUX_CLIENT, 2);
    e->config.stream_send_buffer = e->config.session_send_buffer = 8 << 20;
    engine_start(e);
    *s = engine_opened(e);
    expect_frame(e, CMD_SYN, 3);
}

static void before_any_upd_256_kib_may_be_sent(void **state) {
    (void)state;
    engine e;
    smux_stream *s;
    engine_with_sender(&e, &s);
    assert_int_equal(stream_info(s).send_window, INITIAL_WINDOW);
    send_pattern(s, 0, 1 << 20);
    assert_int_equal(payload_sent(&e, 3), INITIAL_WINDOW);
    assert_int_equal(stream_info(s).send_window, 0);
    expect_silence(&e);
    say_upd(&e, 3, INITIAL_WINDOW, 100000);
    hear(&e);
    assert_int_equal(stream_info(s).send_window, 100000);
    assert_int_equal(payload_sent(&e, 3), 100000);
    engine_end(&e);
}

static void the_window_of_one_stream_does_not_stop_another(void **state) {
    (void)state;
    engine e;
    smux_stream *s;
    engine_with_sender(&e, &s);
    send_pattern(s, 0, 1 << 20);
    assert_int_equal(payload_sent(&e, 3), INITIAL_WINDOW);
    smux_stream *other = engine_opened(&e);
    send_text(other, "hello");
    expect_frame(&e, CMD_SYN, 5);
    expect_psh(&e, 5, "hello");
    engine_end(&e);
}

static void a_window_may_shrink_below_what_is_in_flight(void **state) {
    (void)state;
    engine e;
    smux_stream *s;
    engine_with_sender(&e, &s);
    send_pattern(s, 0, 1 << 20);
    assert_int_equal(payload_sent(&e, 3), INITIAL_WINDOW);
    say_upd(&e, 3, 1000, 65536); /* Go, on the first read */
    hear(&e);
    assert_true(stream_info(s).send_window <= 0);
    assert_int_equal(payload_sent(&e, 3), 0);
    say_upd(&e, 3, INITIAL_WINDOW - 65536, 65536);
    hear(&e);
    assert_int_equal(payload_sent(&e, 3), 0);
    say_upd(&e, 3, INITIAL_WINDOW - 65536 + 1, 65536);
    hear(&e);
    assert_int_equal(payload_sent(&e, 3), 1);
    engine_end(&e);
}

static void a_window_may_be_opened_right_after_syn(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.stream_send_buffer = 4 << 20;
    engine_start(&e);
    say_syn(&e, 3);
    say_upd(&e, 3, 0, 1 << 20);
    hear(&e);
    smux_stream *s = expect_accept(&e, 3);
    assert_int_equal(send_pattern(s, 0, 2 << 20), 2 << 20);
    assert_int_equal(payload_sent(&e, 3), 1 << 20);
    engine_end(&e);
}

static void a_window_of_0_stops_and_a_huge_one_is_fine(void **state) {
    (void)state;
    static const uint32_t huge[] = {0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (int i = 0; i < 3; i++) {
        engine e;
        smux_stream *s;
        engine_with_sender(&e, &s);
        say_upd(&e, 3, 0, 0);
        hear(&e);
        send_pattern(s, 0, 4 << 20);
        assert_int_equal(payload_sent(&e, 3), 0);
        say_upd(&e, 3, 0, huge[i]);
        hear(&e);
        assert_int_equal(payload_sent(&e, 3), 4 << 20);
        engine_end(&e);
    }
}

static void a_upd_older_than_the_last_is_ignored(void **state) {
    (void)state;
    engine e;
    smux_stream *s;
    engine_with_sender(&e, &s);
    send_pattern(s, 0, 1 << 20);
    assert_int_equal(payload_sent(&e, 3), INITIAL_WINDOW);
    say_upd(&e, 3, 200000, 10);
    say_upd(&e, 3, 100000, 1 << 20);
    hear(&e);
    expect_no_event(&e);
    assert_int_equal(payload_sent(&e, 3), 0);
    engine_end(&e);
}

static void a_upd_beyond_what_was_sent_resets_the_stream(void **state) {
    (void)state;
    static const uint32_t lies[] = {101, 1000000, 0x7FFFFFFF};
    for (int i = 0; i < 3; i++) {
        engine e;
        smux_stream *s;
        engine_with_sender(&e, &s);
        send_pattern(s, 0, 100);
        assert_int_equal(payload_sent(&e, 3), 100);
        say_upd(&e, 3, 100, 65536); /* exactly what was sent is the truth */
        hear(&e);
        expect_no_event(&e);
        say_upd(&e, 3, lies[i], 65536);
        hear(&e);
        expect_reset(&e, s, SMUX_ERR_CONSUMED);
        assert_int_equal(send_text(s, "x"), SMUX_ERR_CONSUMED);
        expect_frame(&e, CMD_FIN, 3);
        engine_opened(&e); /* the session goes on */
        expect_frame(&e, CMD_SYN, 5);
        smux_stream_close(s);
        engine_end(&e);
    }
}

static void fin_needs_no_window(void **state) {
    (void)state;
    engine e;
    smux_stream *s;
    engine_with_sender(&e, &s);
    send_pattern(s, 0, INITIAL_WINDOW);
    smux_stream_close_write(s);
    size_t sum = 0;
    frame f;
    for (f = next_frame(&e); f.cmd == CMD_PSH; f = next_frame(&e))
        sum += f.len;
    assert_int_equal(sum, INITIAL_WINDOW);
    assert_int_equal(f.cmd, CMD_FIN);
    engine_end(&e);
}

static void sent_positions_wrap_at_4_gib(void **state) {
    (void)state;
    enum { LEN = 64 << 20 };
    engine e;
    smux_stream *s;
    engine_with_sender(&e, &s);
    uint8_t *data = calloc(1, LEN);
    uint64_t sent = 0;
    for (int i = 0; i < 66; i++) { /* 4.1 GiB */
        smux_sendbuf lent = {.data = data, .len = LEN};
        assert_int_equal(smux_stream_send_borrowed(s, &lent), 0);
        say_upd(&e, 3, (uint32_t)sent, LEN);
        hear(&e);
        struct iovec iov[64];
        int count;
        while ((count = smux_session_output(e.session, iov, 64, e.now_us)) > 0)
            smux_session_output_done(e.session, iov_total(iov, count));
        sent += LEN;
        assert_int_equal(stream_info(s).bytes_out, sent);
        assert_int_equal(stream_info(s).send_window, 0);
        expect_event(&e, SMUX_EVENT_RETURNED);
        engine_drop_events(&e);
    }
    assert_true(sent > UINT32_MAX);
    engine_end(&e);
    free(data);
}

/* ---- The window that we give ---------------------------------------------------------------- */

static void the_peer_may_send_256_kib_whatever_is_configured(void **state) {
    (void)state;
    for (int automatic = 0; automatic < 2; automatic++) {
        engine e;
        engine_prepare(&e, SMUX_SERVER, 2);
        e.config.auto_window = automatic;
        e.config.max_stream_buffer = 1000;
        engine_start(&e);
        smux_stream *s = engine_accepted(&e, 3);
        say_pattern(&e, 3, 0, INITIAL_WINDOW);
        hear(&e);
        expect_pattern(&e, s, 0, INITIAL_WINDOW);
        expect_no_event(&e);
        say_frame(&e, CMD_PSH, 3, "!", 1);
        hear(&e);
        expect_reset(&e, s, SMUX_ERR_WINDOW);
        assert_int_equal(stream_info(s).error, SMUX_ERR_WINDOW);
        frame f = next_frame(&e);
        while (f.cmd == CMD_UPD)
            f = next_frame(&e);
        assert_int_equal(f.cmd, CMD_FIN);
        engine_end(&e);
    }
}

static void a_peer_that_knew_only_the_larger_window_is_not_punished_for_the_smaller(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.auto_window = false;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, 1000);
    hear(&e);
    assert_int_equal(smux_stream_consume(s, 1000), 0);
    frame f = expect_frame(&e, CMD_UPD, 3); /* 64 KiB from here on */
    assert_int_equal(get_u32(f.payload), 1000);
    assert_int_equal(get_u32(f.payload + 4), 65536);
    assert_int_equal(stream_info(s).recv_window, 65536);
    say_pattern(&e, 3, 1000, INITIAL_WINDOW - 1000); /* but that was under way */
    hear(&e);
    expect_pattern(&e, s, 0, INITIAL_WINDOW);
    expect_no_event(&e);
    engine_end(&e);
}

static void a_larger_configured_window_is_announced_at_once(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.auto_window = false;
    e.config.max_stream_buffer = 1 << 20;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3), *own = engine_opened(&e);
    int announced = 0;
    bool opened = false;
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
        if (f.cmd == CMD_UPD) {
            assert_int_equal(get_u32(f.payload), 0);
            assert_int_equal(get_u32(f.payload + 4), 1 << 20);
            assert_true(f.sid == 3 || opened);
            announced++;
        }
        opened = opened || f.cmd == CMD_SYN;
    }
    assert_int_equal(announced, 2);
    say_pattern(&e, 3, 0, 1 << 20);
    hear(&e);
    expect_pattern(&e, s, 0, 1 << 20);
    assert_int_equal(stream_info(own).recv_window, 1 << 20);
    engine_end(&e);
}

static void
the_window_is_opened_again_before_the_peer_runs_dry_and_not_for_every_byte(void **state) {
    (void)state;
    for (int automatic = 0; automatic < 2; automatic++) {
        engine e;
        engine_prepare(&e, SMUX_SERVER, 2);
        e.config.auto_window = automatic;
        engine_start(&e);
        smux_stream *s = engine_accepted(&e, 3);
        uint64_t sent = 0, limit = INITIAL_WINDOW;
        int updates = 0;
        while (sent < (8 << 20)) { /* a peer that always uses its window up */
            size_t len = limit - sent < 5000 ? (size_t)(limit - sent) : 5000;
            assert_true(len > 0);
            say_pattern(&e, 3, sent, len);
            hear(&e);
            sent += len;
            engine_drop_events(&e);
            assert_int_equal(smux_stream_consume(s, len), 0);
            for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
                assert_int_equal(f.cmd, CMD_UPD);
                assert_true(get_u32(f.payload) <= sent);
                uint64_t now = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
                limit = now;
                updates++;
            }
        }
        assert_true(updates <= (8 << 20) / 32768 + 2); /* half a window of 64 KiB, or better */
        engine_end(&e);
    }
}

static void consuming_byte_by_byte_causes_few_updates(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, INITIAL_WINDOW);
    hear(&e);
    engine_drop_events(&e);
    int updates = 0;
    for (uint32_t i = 0; i < INITIAL_WINDOW; i++) {
        assert_int_equal(smux_stream_consume(s, 1), 0);
        if (smux_session_want_write(e.session))
            for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
                updates += f.cmd == CMD_UPD;
    }
    assert_in_range(updates, 1, 8);
    engine_end(&e);
}

static void updates_that_cannot_leave_do_not_pile_up(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3);
    send_text(s, "in the way");
    uint64_t sent = 0;
    size_t before = e.alloc.live_bytes;
    for (int i = 0; i < 1; i++) {
        say_pattern(&e, 3, sent, INITIAL_WINDOW);
        hear(&e);
        engine_drop_events(&e);
        for (int k = 0; k < 64; k++)
            assert_int_equal(smux_stream_consume(s, INITIAL_WINDOW / 64), 0);
        sent += INITIAL_WINDOW;
    }
    assert_true(e.alloc.live_bytes <= before + 4096);
    frame f = expect_frame(&e, CMD_UPD, 3); /* one, with the newest numbers */
    assert_int_equal(get_u32(f.payload), sent);
    expect_psh(&e, 3, "in the way");
    engine_end(&e);
}

static void received_positions_wrap_at_4_gib(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.auto_window = false;
    e.config.max_stream_buffer = e.config.max_receive_buffer;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3);
    drain(&e);
    e.out.len = 0;
    bytes chunk = {0};
    put_pattern(&chunk, 2, 3, 0, 1 << 20, 65535);
    uint64_t total = 0, limit = 4 << 20;
    while (total < 0x100000000u + (64 << 20)) {
        assert_true(total + (1 << 20) <= limit);
        assert_int_equal(smux_session_feed(e.session, chunk.data, chunk.len, e.now_us), 0);
        smux_event event;
        size_t got = 0;
        while (smux_session_next_event(e.session, &event)) {
            assert_int_equal(event.type, SMUX_EVENT_DATA);
            got += event.len;
        }
        assert_int_equal(got, 1 << 20);
        total += got;
        assert_int_equal(smux_stream_consume(s, got), 0);
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
            uint32_t back = (uint32_t)total - get_u32(f.payload); /* modulo 2^32 */
            assert_true(back <= 4 << 20);
            limit = total - back + get_u32(f.payload + 4);
        }
    }
    assert_int_equal(stream_info(s).bytes_in, total);
    bytes_free(&chunk);
    engine_end(&e);
}

static void one_unread_stream_does_not_stall_the_others(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    engine_accepted(&e, 3);
    smux_stream *busy = engine_accepted(&e, 5);
    say_pattern(&e, 3, 0, INITIAL_WINDOW); /* nobody reads it */
    hear(&e);
    engine_drop_events(&e);
    uint64_t sent = 0, limit = INITIAL_WINDOW;
    while (sent < (16 << 20)) {
        assert_true(smux_session_want_read(e.session));
        size_t len = limit - sent < 20000 ? (size_t)(limit - sent) : 20000;
        assert_true(len > 0);
        say_pattern(&e, 5, sent, len);
        hear(&e);
        expect_pattern(&e, busy, sent, len);
        sent += len;
        assert_int_equal(smux_stream_consume(busy, len), 0);
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
            if (f.sid == 5)
                limit = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
        engine_drop_events(&e);
    }
    engine_end(&e);
}

/* ---- Automatic windows over a simulated path ------------------------------------------------- */

typedef struct bulk {
    smux_stream *source, *sink;
    uint64_t received;
    double read_bytes_per_us; /* 0: at once */
    double read_credit;
    uint32_t largest_window;
    uint64_t unread;
} bulk;

static void bulk_fill(bulk *b) {
    static const uint8_t zeros[65536];
    while (b->source && smux_stream_send(b->source, zeros, sizeof(zeros)) == sizeof(zeros))
        ;
}

static void bulk_event(path *p, int side, const smux_event *event) {
    bulk *b = p->user;
    if (event->type == SMUX_EVENT_ACCEPT) {
        smux_stream_accept(event->stream);
        b->sink = event->stream;
    } else if (event->type == SMUX_EVENT_DATA) {
        assert_int_equal(side, 1);
        b->received += event->len;
        b->unread += event->len;
        if (b->read_bytes_per_us == 0) {
            assert_int_equal(smux_stream_consume(event->stream, event->len), 0);
            b->unread -= event->len;
        }
    } else if (event->type == SMUX_EVENT_WRITABLE) {
        bulk_fill(b);
    } else {
        assert_int_equal(event->type, SMUX_EVENT_HELLO);
    }
}

static void bulk_step(path *p) {
    bulk *b = p->user;
    if (!b->sink)
        return;
    uint32_t window = stream_info(b->sink).recv_window;
    b->largest_window = window > b->largest_window ? window : b->largest_window;
    if (b->read_bytes_per_us == 0)
        return;
    b->read_credit += b->read_bytes_per_us * (double)p->step_us;
    uint64_t n = (uint64_t)b->read_credit < b->unread ? (uint64_t)b->read_credit : b->unread;
    assert_int_equal(smux_stream_consume(b->sink, n), 0);
    b->unread -= n;
    b->read_credit -= (double)n;
}

typedef struct trip {
    smux_config client, server;
    uint64_t rtt_us;
    double bytes_per_us, read_bytes_per_us;
    uint64_t run_us;
    uint32_t first_limit, second_limit; /* smux_session_limit_windows for each half; 0: none */
    uint32_t last_window;
    double rate; /* result: bytes per microsecond over the second half */
    bulk bulk;
    uint64_t rtt_seen_us;
    bool stalled;
} trip;

static void trip_prepare(trip *t) {
    memset(t, 0, sizeof(*t));
    smux_config_init(&t->client);
    t->client.version = 2;
    t->client.stream_send_buffer = t->client.session_send_buffer = 16 << 20;
    t->client.max_receive_buffer = 16 << 20;
    t->server = t->client;
    t->rtt_us = MILLISECONDS(100);
    t->bytes_per_us = 20;
    t->run_us = SECONDS(8);
}

static void trip_run(trip *t) {
    static path p;
    memset(&p, 0, sizeof(p));
    p.delay_us = t->rtt_us / 2;
    p.step_us = t->rtt_us > 10000 ? 1000 : t->rtt_us / 10;
    p.bytes_per_us = t->bytes_per_us;
    p.on_event = bulk_event;
    p.on_step = bulk_step;
    p.user = &t->bulk;
    t->bulk.read_bytes_per_us = t->read_bytes_per_us;
    path_begin(&p, &t->client, &t->server);
    assert_int_equal(smux_stream_open(p.side[0], &t->bulk.source), 0);
    bulk_fill(&t->bulk);
    if (t->first_limit)
        smux_session_limit_windows(p.side[1], t->first_limit);
    path_run(&p, t->run_us / 2);
    uint64_t half = t->bulk.received;
    if (t->second_limit)
        smux_session_limit_windows(p.side[1], t->second_limit);
    path_run(&p, t->run_us / 2);
    t->last_window = stream_info(t->bulk.sink).recv_window;
    t->rate = (double)(t->bulk.received - half) / ((double)t->run_us / 2);
    smux_session_info info;
    smux_session_get_info(p.side[1], &info);
    t->rtt_seen_us = info.rtt_us;
    t->stalled = p.stalled[0] || p.stalled[1];
    path_end(&p);
}

static void on_a_100_ms_path_the_window_grows_until_the_path_is_used(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    trip_run(&t);
    assert_true(t.rate > 0.9 * t.bytes_per_us);
    assert_true(t.bulk.largest_window >= 2000000); /* the bandwidth-delay product */
    assert_true(t.bulk.largest_window <= 8 << 20);
    assert_in_range(t.rtt_seen_us, MILLISECONDS(90), MILLISECONDS(250));
    assert_false(t.stalled);
}

static void with_a_plain_peer_the_window_grows_too(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.client.extensions = false;
    trip_run(&t);
    assert_true(t.rate > 0.9 * t.bytes_per_us);
    assert_true(t.bulk.largest_window >= 2000000);
    assert_true(t.bulk.largest_window <= 8 << 20);
}

static void a_fixed_window_stays_what_it_is(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.server.auto_window = false;
    t.run_us = SECONDS(4);
    trip_run(&t);
    assert_true(t.bulk.largest_window <= INITIAL_WINDOW);
    assert_true(t.rate < 1.0); /* 64 KiB in 100 ms */
    assert_true(t.rate > 0.4);
}

static void max_window_bounds_the_growth(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.server.max_window = 1 << 20;
    trip_run(&t);
    assert_in_range(t.bulk.largest_window, 900000, 1 << 20);
    assert_true(t.rate > 0.7 * (1 << 20) / 100000.0);
    assert_true(t.rate < 1.1 * (1 << 20) / 100000.0);
}

static void a_limit_makes_a_window_that_has_grown_smaller(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.second_limit = 100000;
    trip_run(&t);
    assert_true(t.bulk.largest_window >= 2000000);
    assert_true(t.last_window <= 100000);
    assert_true(t.rate > 0.5 && t.rate < 2.0); /* 100000 in 100 ms, after what had been promised */
}

static void a_window_grows_again_when_the_limit_is_lifted(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.first_limit = 50000;
    t.second_limit = UINT32_MAX;
    t.run_us = SECONDS(16);
    trip_run(&t);
    assert_true(t.last_window >= 2000000);
    assert_true(t.rate > 0.7 * t.bytes_per_us);
}

static void streams_that_move_little_do_not_notice_a_limit(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_session_limit_windows(e.session, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, 100000);
    hear(&e);
    engine_drop_events(&e);
    assert_int_equal(smux_stream_consume(s, 100000), 0);
    expect_silence(&e);
    say_pattern(&e, 3, 100000, 100000);
    hear(&e);
    engine_drop_events(&e);
    assert_int_equal(smux_stream_consume(s, 100000), 0);
    frame f = next_frame(&e);
    assert_int_equal(f.cmd, CMD_UPD);
    assert_int_equal(get_u32(f.payload + 4), 4096);
    engine_end(&e);
}

static void a_slow_reader_on_a_short_path_gets_no_larger_window(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.rtt_us = 200;
    t.bytes_per_us = 100;
    t.read_bytes_per_us = 1;
    t.run_us = SECONDS(3);
    trip_run(&t);
    assert_int_equal(t.bulk.largest_window, INITIAL_WINDOW);
    assert_true(t.rate > 0.95 && t.rate < 1.05);
}

static void a_slow_reader_on_a_long_path_is_still_kept_busy(void **state) {
    (void)state;
    trip t;
    trip_prepare(&t);
    t.read_bytes_per_us = 5; /* 500 KB in a round trip: more than the first window */
    t.run_us = SECONDS(16);
    trip_run(&t);
    assert_true(t.rate > 0.9 * 5);
    assert_true(t.bulk.largest_window <= 4 << 20);
}

static void windows_of_many_unread_streams_stay_within_the_budget(void **state) {
    (void)state;
    enum { N = 100 }; /* 100 x 256 KiB is more than 4 MiB: someone must give way */
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    uint64_t sent[N] = {0}, limit[N];
    smux_stream *s[N];
    for (uint32_t i = 0; i < N; i++) {
        s[i] = engine_accepted(&e, 3 + 2 * i);
        limit[i] = INITIAL_WINDOW;
    }
    uint64_t unread = 0;
    for (int round = 0; round < 2000; round++) {
        uint32_t i = (uint32_t)round % N;
        size_t len = limit[i] - sent[i] < 30000 ? (size_t)(limit[i] - sent[i]) : 30000;
        if (smux_session_want_read(e.session) && len) {
            say_pattern(&e, 3 + 2 * i, sent[i], len);
            hear(&e);
            sent[i] += len;
            unread += len;
        }
        engine_drop_events(&e);
        uint64_t some = stream_info(s[(i * 7) % N]).unread / 2;
        assert_int_equal(smux_stream_consume(s[(i * 7) % N], some), 0);
        unread -= some;
        assert_int_equal(info_of(&e).unread, unread);
        assert_true(unread <= (4 << 20) + 30000);
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
            assert_int_equal(f.cmd, CMD_UPD);
            limit[(f.sid - 3) / 2] = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
            if (limit[(f.sid - 3) / 2] < sent[(f.sid - 3) / 2])
                limit[(f.sid - 3) / 2] = sent[(f.sid - 3) / 2];
        }
    }
    engine_end(&e);
}

/* A caller that asks for room can leave the data where it is, instead of queueing it. */
static void a_caller_that_found_no_room_is_told_once_when_there_is(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 2);
    smux_stream *s = engine_opened(&e);
    assert_int_equal(smux_stream_window_room(s), INITIAL_WINDOW);
    static uint8_t zeros[INITIAL_WINDOW];
    assert_int_equal(smux_stream_send(s, zeros, INITIAL_WINDOW - 10), INITIAL_WINDOW - 10);
    drain(&e);
    assert_int_equal(smux_stream_window_room(s), 10);
    assert_int_equal(smux_stream_send(s, "0123456789more", 14), 14);
    assert_int_equal(smux_stream_window_room(s), 0);
    drain(&e);
    expect_no_event(&e);
    say_upd(&e, 3, 4, INITIAL_WINDOW); /* what waits already takes all of it */
    hear(&e);
    expect_no_event(&e);
    say_upd(&e, 3, 5, INITIAL_WINDOW);
    hear(&e);
    expect_writable(&e, s);
    assert_int_equal(smux_stream_window_room(s), 1);
    say_upd(&e, 3, 100, INITIAL_WINDOW);
    hear(&e);
    expect_no_event(&e);
    engine_end_anyhow(&e);
}

static void without_windows_there_is_always_room(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    assert_int_equal(smux_stream_send(s, "x", 1), 1);
    assert_true(smux_stream_window_room(s) > UINT32_MAX);
    engine_end_anyhow(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_any_upd_256_kib_may_be_sent),
        cmocka_unit_test(the_window_of_one_stream_does_not_stop_another),
        cmocka_unit_test(a_window_may_shrink_below_what_is_in_flight),
        cmocka_unit_test(a_window_may_be_opened_right_after_syn),
        cmocka_unit_test(a_window_of_0_stops_and_a_huge_one_is_fine),
        cmocka_unit_test(a_upd_older_than_the_last_is_ignored),
        cmocka_unit_test(a_upd_beyond_what_was_sent_resets_the_stream),
        cmocka_unit_test(fin_needs_no_window),
        cmocka_unit_test(sent_positions_wrap_at_4_gib),
        cmocka_unit_test(the_peer_may_send_256_kib_whatever_is_configured),
        cmocka_unit_test(a_peer_that_knew_only_the_larger_window_is_not_punished_for_the_smaller),
        cmocka_unit_test(a_larger_configured_window_is_announced_at_once),
        cmocka_unit_test(
            the_window_is_opened_again_before_the_peer_runs_dry_and_not_for_every_byte),
        cmocka_unit_test(consuming_byte_by_byte_causes_few_updates),
        cmocka_unit_test(updates_that_cannot_leave_do_not_pile_up),
        cmocka_unit_test(received_positions_wrap_at_4_gib),
        cmocka_unit_test(one_unread_stream_does_not_stall_the_others),
        cmocka_unit_test(on_a_100_ms_path_the_window_grows_until_the_path_is_used),
        cmocka_unit_test(with_a_plain_peer_the_window_grows_too),
        cmocka_unit_test(a_fixed_window_stays_what_it_is),
        cmocka_unit_test(max_window_bounds_the_growth),
        cmocka_unit_test(a_limit_makes_a_window_that_has_grown_smaller),
        cmocka_unit_test(a_window_grows_again_when_the_limit_is_lifted),
        cmocka_unit_test(streams_that_move_little_do_not_notice_a_limit),
        cmocka_unit_test(a_slow_reader_on_a_short_path_gets_no_larger_window),
        cmocka_unit_test(a_slow_reader_on_a_long_path_is_still_kept_busy),
        cmocka_unit_test(windows_of_many_unread_streams_stay_within_the_budget),
        cmocka_unit_test(a_caller_that_found_no_room_is_told_once_when_there_is),
        cmocka_unit_test(without_windows_there_is_always_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
