/* SPDX-License-Identifier: MIT
 *
 * Peers that read slowly or never, and applications that do not read: what must stay bounded, and
 * what must continue nevertheless. Each test is for a defect that a review found.
 */
#include "support_engine.h"

static void engine_v2(engine *e, bool extensions) {
    engine_prepare(e, SMUX_SERVER, 2);
    e->config.keepalive_disabled = true;
    e->config.extensions = extensions;
    engine_start(e);
}

/* The peer closes each window, gets an answer and is closed, as is normal for a server. The
 * lingering bytes once exceeded every limit. */
static void lingering_data_is_bounded_by_the_sessions_send_buffer(void **state) {
    (void)state;
    engine e;
    engine_v2(&e, false);
    uint64_t cap = e.config.session_send_buffer, most = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        say_syn(&e, 3 + 2 * i);
        say_upd(&e, 3 + 2 * i, 0, 0);
        hear(&e);
        smux_stream *s = expect_accept(&e, 3 + 2 * i);
        ssize_t n = send_pattern(s, 0, 65536);
        assert_true(n >= 0);
        smux_stream_close(s);
        most = info_of(&e).queued > most ? info_of(&e).queued : most;
        drain(&e);
        e.out.len = 0;
        engine_drop_events(&e);
    }
    assert_true(most <= 2 * cap + 65536);
    assert_true(e.alloc.live_bytes < 4 * cap);
    pass_time(&e, SECONDS(700));
    drain(&e);
    e.out.len = 0;
    assert_int_equal(info_of(&e).streams, 0);
    assert_int_equal(info_of(&e).queued, 0);
    engine_end(&e);
}

/* Each byte used a buffer of 2 KiB, but only bytes were counted. */
static void a_byte_that_lingers_on_each_of_many_streams_takes_little_memory(void **state) {
    (void)state;
    enum { N = 100000 };
    engine e;
    engine_v2(&e, false);
    for (uint32_t i = 0; i < N; i++) {
        say_syn(&e, 3 + 2 * i);
        say_upd(&e, 3 + 2 * i, 0, 0);
        hear(&e);
        smux_stream *s = expect_accept(&e, 3 + 2 * i);
        assert_true(send_text(s, "x") >= 0);
        smux_stream_close(s);
        drain(&e);
        e.out.len = 0;
        engine_drop_events(&e);
    }
    size_t streams = (size_t)info_of(&e).streams * 256;
    assert_true(e.alloc.live_bytes < streams + 5 * (size_t)e.config.session_send_buffer);
    engine_end(&e);
}

/* When lingering streams use up the session's share, open streams wait for it, and get it back. */
static void streams_that_wait_for_memory_are_woken_when_it_is_free(void **state) {
    (void)state;
    enum { N = 3000 };
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 2);
    e.config.keepalive_disabled = true;
    e.config.session_send_buffer = 65536;
    engine_start(&e);
    smux_stream *streams[N];
    unsigned short_of = 0, woken = 0;
    for (unsigned i = 0; i < N; i++) {
        streams[i] = engine_opened(&e);
        short_of += send_text(streams[i], "x") == 0;
    }
    assert_true(short_of > N / 2);
    assert_true(e.alloc.live_bytes < N * 300 + 5 * 65536);
    while (woken < short_of) {
        drain(&e);
        e.out.len = 0;
        for (seen *v; (v = peek_event(&e)); e.event_next++) {
            assert_int_equal(v->event.type, SMUX_EVENT_WRITABLE);
            ssize_t n = send_text(v->event.stream, "y"); /* 0: others were quicker, wait again */
            assert_in_range(n, 0, 1);
            woken += (unsigned)n;
        }
    }
    drain(&e);
    e.out.len = 0;
    assert_int_equal(info_of(&e).queued, 0);
    engine_end(&e);
}

/* One byte of window every 50 s once renewed the linger timeout without limit. */
static void lingering_streams_that_get_a_byte_now_and_then_stay_bounded_too(void **state) {
    (void)state;
    enum { N = 3000, ROUNDS = 20 };
    engine e;
    engine_v2(&e, false);
    e.config.accept_backlog = N;
    for (uint32_t i = 0; i < N; i++) {
        say_syn(&e, 3 + 2 * i);
        say_upd(&e, 3 + 2 * i, 0, 0);
        hear(&e);
        smux_stream *s = expect_accept(&e, 3 + 2 * i);
        send_pattern(s, 0, 65536);
        smux_stream_close(s);
        engine_drop_events(&e);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        pass_time(&e, SECONDS(50));
        for (uint32_t i = 0; i < N; i++)
            say_upd(&e, 3 + 2 * i, round, 1);
        hear(&e);
        drain(&e);
        e.out.len = 0;
    }
    assert_true(info_of(&e).queued <= 2 * (uint64_t)e.config.session_send_buffer + 65536);
    engine_end(&e);
}

/* Of eighteen streams that waited for the session's share two were woken; these had nothing more to
 * send, so the other sixteen were never woken. */
static void every_stream_that_fell_short_is_woken_whatever_the_others_do(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++)
        for (int what = 0; what < 3; what++) { /* nothing, close, reset */
            enum { N = 20 };
            engine e;
            engine_prepare(&e, SMUX_CLIENT, version);
            e.config.session_send_buffer = 4096;
            engine_start(&e);
            smux_stream *s[N];
            int fell_short = 0, woken = 0;
            for (int i = 0; i < N; i++) {
                s[i] = engine_opened(&e);
                fell_short += send_pattern(s[i], 0, 4096) < 4096;
            }
            assert_true(fell_short >= N / 2);
            for (int round = 0; round < 50; round++) {
                drain(&e);
                e.out.len = 0;
                for (seen *v; (v = peek_event(&e)); e.event_next++) {
                    assert_int_equal(v->event.type, SMUX_EVENT_WRITABLE);
                    woken++;
                    if (what == 1)
                        smux_stream_close(v->event.stream);
                    if (what == 2)
                        smux_stream_reset(v->event.stream);
                }
            }
            assert_int_equal(woken, fell_short);
            engine_end(&e);
        }
}

/* Sixteen stopped readers filled the budget with 256 KiB each, and everything stalled. */
static void a_hundred_unread_streams_do_not_stall_a_peer_that_keeps_its_windows(void **state) {
    (void)state;
    enum { N = 100 };
    engine e;
    engine_v2(&e, false);
    uint64_t limit[N], sent[N] = {0};
    for (uint32_t i = 0; i < N; i++) {
        limit[i] = INITIAL_WINDOW;
        engine_accepted(&e, 3 + 2 * i);
        for (int round = 0; round < 20; round++) {
            for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
                assert_int_equal(f.cmd, CMD_UPD);
                uint32_t k = (f.sid - 3) / 2;
                limit[k] = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
            }
            if (sent[i] >= limit[i])
                continue;
            size_t len = limit[i] - sent[i] < 20000 ? (size_t)(limit[i] - sent[i]) : 20000;
            say_pattern(&e, 3 + 2 * i, sent[i], len);
            hear(&e);
            sent[i] += len;
            engine_drop_events(&e);
            if (!smux_session_want_read(e.session))
                fail_msg("reading stopped at stream %u of %d", i + 1, N);
        }
    }
    engine_end(&e);
}

/* The measured round-trip time of a plain peer included its pauses of minutes. */
static void the_pauses_of_a_plain_peer_are_not_its_round_trip_time(void **state) {
    (void)state;
    engine e;
    engine_v2(&e, false);
    smux_stream *s = engine_accepted(&e, 3);
    uint64_t sent = 0;
    for (int i = 0; i < 200; i++) { /* 32 KiB every 20 s over a path of 1 ms */
        pass_time(&e, SECONDS(20));
        say_pattern(&e, 3, sent, 32768);
        hear(&e);
        sent += 32768;
        engine_drop_events(&e);
        assert_int_equal(smux_stream_consume(s, 32768), 0);
        drain(&e);
        e.out.len = 0;
    }
    assert_true(info_of(&e).rtt_us < SECONDS(3));
    assert_int_equal(stream_info(s).recv_window, INITIAL_WINDOW);
    engine_end(&e);
}

/* Answers pings 100 ms later, on the clock of the test; other output is dropped. */
static void answer_pings(engine *e) {
    for (frame f = next_frame(e); f.cmd != -1; f = next_frame(e))
        if (f.cmd == CMD_NOP && f.sid >= NOP_PING && f.sid < NOP_PING + 16) {
            e->now_us += MILLISECONDS(100);
            say_nop(e, f.sid - NOP_PING + NOP_PONG);
            hear(e);
        }
}

/* Two idle streams that had once moved much data kept their grown windows for ever; the third could
 * not grow. */
static void windows_of_streams_gone_idle_do_not_keep_others_small(void **state) {
    (void)state;
    enum { N = 6 };
    engine e;
    engine_v2(&e, true);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    answer_pings(&e);
    smux_stream *s[N];
    for (uint32_t i = 0; i < N; i++)
        s[i] = engine_accepted(&e, 3 + 2 * i);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t sent = 0, limit = INITIAL_WINDOW;
        for (int round = 0; round < 60; round++) { /* always the whole window, each 100 ms */
            size_t len = (size_t)(limit - sent);
            e.now_us += MILLISECONDS(100);
            say_pattern(&e, 3 + 2 * i, sent, len);
            hear(&e);
            sent = limit;
            engine_drop_events(&e);
            assert_int_equal(smux_stream_consume(s[i], len), 0);
            for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
                if (f.cmd == CMD_UPD && f.sid == 3 + 2 * i)
                    limit = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
        }
        assert_in_range(stream_info(s[i]).recv_window, 1 << 20, 2 << 20);
        pass_time(&e, SECONDS(3600));
        drain(&e);
        e.out.len = 0;
    }
    engine_end(&e);
}

/* Both sides stopped reading because their answers to refused streams could not be sent; keepalive
 * did not detect it, because reading was stopped. */
static void refusals_that_cannot_leave_do_not_stop_reading(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.accept_backlog = 1;
    engine_start(&e);
    for (uint32_t i = 0; i < 20000; i++)
        say_syn(&e, 3 + 2 * i);
    hear(&e);
    assert_true(smux_session_want_read(e.session));
    assert_int_equal(info_of(&e).refused, 19999);
    engine_drop_events(&e);
    e.now_us += SECONDS(1);
    say_nop(&e, 0); /* heard all the same */
    hear(&e);
    assert_int_equal(info_of(&e).last_received_us, e.now_us);
    engine_end_anyhow(&e);
}

static void closing_drops_a_pending_writable_event(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.stream_send_buffer = 100;
    engine_start(&e);
    smux_stream *s = engine_opened(&e);
    assert_int_equal(send_pattern(s, 0, 200), 100);
    smux_stream_close_write(s);
    drain(&e);
    e.out.len = 0;
    expect_no_event(&e);
    engine_end(&e);
}

static void a_fin_that_was_planned_and_not_sent_is_not_lost_by_a_reset(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    smux_stream_close_write(s);
    struct iovec iov[4];
    assert_true(smux_session_output(e.session, iov, 4, e.now_us) > 0);
    smux_stream_reset(s);
    smux_session_output_done(e.session, 0);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_send_cut_short_for_want_of_memory_is_followed_by_writable(void **state) {
    (void)state;
    for (size_t fail = 1; fail < 12; fail++) {
        engine e;
        engine_begin(&e, SMUX_CLIENT, 1);
        smux_stream *s = engine_opened(&e);
        e.alloc.fail_at = e.alloc.calls + fail;
        e.alloc.fail_count = 1000;
        ssize_t n = send_pattern(s, 0, 200000);
        e.alloc.fail_at = 0;
        assert_true(n == SMUX_ERR_NOMEM || (n > 0 && n <= 200000));
        drain(&e);
        e.out.len = 0;
        if (n > 0 && n < 200000)
            expect_writable(&e, s);
        engine_end(&e);
    }
}

static void two_sides_that_close_with_more_than_a_window_queued_finish(void **state) {
    (void)state;
    engine e;
    engine_v2(&e, true);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    smux_stream *s = engine_accepted(&e, 3);
    uint8_t *data = calloc(1, 1 << 20);
    smux_sendbuf lent = {.data = data, .len = 1 << 20};
    assert_int_equal(smux_stream_send_borrowed(s, &lent), 0);
    smux_stream_close(s);
    drain(&e);
    e.out.len = 0;
    /* the peer, too, has closed with a megabyte queued: it sends its window, and must get more */
    uint64_t sent = INITIAL_WINDOW;
    say_pattern(&e, 3, 0, INITIAL_WINDOW);
    hear(&e);
    uint64_t limit = 0;
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
        if (f.cmd == CMD_UPD && f.sid == 3)
            limit = get_u32(f.payload) + (uint64_t)get_u32(f.payload + 4);
    assert_true(limit > sent);
    expect_no_event(&e);
    engine_end_anyhow(&e);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lingering_data_is_bounded_by_the_sessions_send_buffer),
        cmocka_unit_test(a_byte_that_lingers_on_each_of_many_streams_takes_little_memory),
        cmocka_unit_test(streams_that_wait_for_memory_are_woken_when_it_is_free),
        cmocka_unit_test(lingering_streams_that_get_a_byte_now_and_then_stay_bounded_too),
        cmocka_unit_test(every_stream_that_fell_short_is_woken_whatever_the_others_do),
        cmocka_unit_test(a_hundred_unread_streams_do_not_stall_a_peer_that_keeps_its_windows),
        cmocka_unit_test(the_pauses_of_a_plain_peer_are_not_its_round_trip_time),
        cmocka_unit_test(windows_of_streams_gone_idle_do_not_keep_others_small),
        cmocka_unit_test(refusals_that_cannot_leave_do_not_stop_reading),
        cmocka_unit_test(closing_drops_a_pending_writable_event),
        cmocka_unit_test(a_fin_that_was_planned_and_not_sent_is_not_lost_by_a_reset),
        cmocka_unit_test(a_send_cut_short_for_want_of_memory_is_followed_by_writable),
        cmocka_unit_test(two_sides_that_close_with_more_than_a_window_queued_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
