/* SPDX-License-Identifier: MIT
 *
 * Time as an argument: keepalive, silence of the peer, idle streams, lingering, deadlines.
 */
#include "support_engine.h"

static void a_nop_goes_out_every_interval(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    for (int i = 1; i <= 10; i++) {
        uint64_t due = smux_session_deadline(e.session);
        assert_int_equal(due, SECONDS(1000) + i * SECONDS(10));
        pass_time_until(&e, due - 1);
        expect_silence(&e);
        pass_time_until(&e, due);
        expect_frame(&e, CMD_NOP, 0);
        expect_silence(&e);
    }
    engine_end(&e);
}

static void nops_go_out_although_data_flows(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    int nops = 0;
    for (int i = 0; i < 100; i++) { /* a write every second */
        send_text(s, "busy");
        pass_time(&e, SECONDS(1));
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
            nops += f.cmd == CMD_NOP;
    }
    assert_in_range(nops, 9, 10);
    engine_end(&e);
}

static void nops_that_cannot_leave_do_not_pile_up(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    send_pattern(s, 0, 1000);
    drain_some(&e, 100); /* blocked inside a frame */
    size_t memory = e.alloc.live_bytes;
    pass_time(&e, SECONDS(10 * 1000));
    assert_true(e.alloc.live_bytes <= memory);
    int nops = 0;
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
        nops += f.cmd == CMD_NOP;
    assert_int_equal(nops, 1);
    engine_end(&e);
}

static void a_disabled_keepalive_has_no_deadline_and_sends_nothing(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.keepalive_disabled = true;
    engine_start(&e);
    say_nop(&e, 0);
    hear(&e);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    e.now_us += SECONDS(100000);
    smux_session_tick(e.session, e.now_us);
    expect_silence(&e);
    expect_no_event(&e);
    engine_end(&e);
}

/* Runs until the session fails; returns how long that took after the last byte of the peer. */
static uint64_t time_until_silence_is_noticed(engine *e, uint64_t heard_us, uint64_t at_most_us) {
    while (!smux_session_error(e->session) && e->now_us < heard_us + at_most_us) {
        uint64_t next = smux_session_deadline(e->session);
        assert_true(next > e->now_us);
        e->now_us = next;
        smux_session_tick(e->session, e->now_us);
        drain(e);
    }
    e->out.len = 0;
    return e->now_us - heard_us;
}

static void a_peer_that_sent_a_nop_and_then_falls_silent_ends_the_session(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    e.now_us += SECONDS(3);
    say_nop(&e, 0);
    hear(&e);
    uint64_t took = time_until_silence_is_noticed(&e, e.now_us, SECONDS(100));
    assert_in_range(took, SECONDS(30), SECONDS(40));
    expect_failed(&e, SMUX_ERR_KEEPALIVE);
    assert_int_equal(stream_info(s).error, SMUX_ERR_KEEPALIVE);
    engine_end(&e);
}

static void a_peer_that_never_sent_a_nop_may_be_silent_for_ever(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    engine_accepted(&e, 3);
    say_psh(&e, 3, "the last you hear of me");
    hear(&e);
    engine_drop_events(&e);
    for (int i = 0; i < 1000; i++) {
        pass_time(&e, SECONDS(10));
        drain(&e);
        e.out.len = 0;
    }
    expect_no_event(&e);
    engine_end(&e);
}

static void any_byte_of_the_peer_counts_as_a_sign_of_life(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_nop(&e, 0);
    hear(&e);
    put_header(&e.said, 1, CMD_PSH, 20, 3); /* for an unknown stream, byte by byte */
    bytes_add(&e.said, "12345678901234567890", 20);
    for (size_t i = 0; i < e.said.len; i++) {
        pass_time(&e, SECONDS(29));
        assert_int_equal(feed(&e, e.said.data + i, 1), 0);
        assert_int_equal(info_of(&e).last_received_us, e.now_us);
    }
    drain(&e);
    e.out.len = 0;
    expect_no_event(&e);
    assert_int_equal(smux_session_error(e.session), 0);
    e.said.len = 0;
    engine_end(&e);
}

static void silence_does_not_count_while_we_do_not_read(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.max_receive_buffer = e.config.max_stream_buffer = 1000;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3);
    say_nop(&e, 0);
    say_pattern(&e, 3, 0, 1000);
    hear(&e);
    engine_drop_events(&e);
    assert_false(smux_session_want_read(e.session));
    for (int i = 0; i < 100; i++) {
        pass_time(&e, SECONDS(10));
        drain(&e);
        e.out.len = 0;
    }
    assert_int_equal(smux_session_error(e.session), 0);
    assert_int_equal(smux_stream_consume(s, 1000), 0);
    assert_true(smux_session_want_read(e.session));
    uint64_t resumed = e.now_us;
    smux_session_tick(e.session, e.now_us); /* not the moment it goes on */
    assert_int_equal(smux_session_error(e.session), 0);
    uint64_t took = time_until_silence_is_noticed(&e, resumed, SECONDS(100));
    assert_in_range(took, SECONDS(30), SECONDS(41));
    expect_failed(&e, SMUX_ERR_KEEPALIVE);
    engine_end(&e);
}

static void silence_does_not_count_while_the_caller_has_paused(void **state) {
    (void)state;
    engine e;
    int nops = 0;
    engine_begin(&e, SMUX_SERVER, 2);
    say_nop(&e, 0);
    hear(&e);
    smux_session_pause_reading(e.session, true, e.now_us);
    assert_false(smux_session_want_read(e.session));
    for (int i = 0; i < 100; i++) {
        pass_time(&e, SECONDS(10));
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
            nops += f.cmd == CMD_NOP;
    }
    assert_int_equal(smux_session_error(e.session), 0);
    assert_in_range(nops, 99, 100); /* the peer is not to take us for silent, either */
    pass_time(&e, SECONDS(9));
    smux_session_pause_reading(e.session, false, e.now_us);
    assert_true(smux_session_want_read(e.session));
    uint64_t resumed = e.now_us, took = time_until_silence_is_noticed(&e, resumed, SECONDS(100));
    assert_in_range(took, SECONDS(30), SECONDS(41));
    expect_failed(&e, SMUX_ERR_KEEPALIVE);
    engine_end(&e);
}

static void a_process_that_was_stopped_reads_before_it_decides(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_nop(&e, 0);
    hear(&e);
    e.now_us += SECONDS(3600); /* SIGSTOP, SIGCONT: time has leapt, the NOPs lie in the socket */
    smux_session_tick(e.session, e.now_us);
    drain(&e);
    e.out.len = 0;
    assert_int_equal(smux_session_error(e.session), 0);
    say_nop(&e, 0);
    hear(&e);
    pass_time(&e, SECONDS(20));
    drain(&e);
    e.out.len = 0;
    assert_int_equal(smux_session_error(e.session), 0);
    uint64_t took = time_until_silence_is_noticed(&e, e.now_us - SECONDS(20), SECONDS(100));
    assert_in_range(took, SECONDS(30), SECONDS(41));
    expect_failed(&e, SMUX_ERR_KEEPALIVE);
    engine_end(&e);
}

static void ticking_early_or_late_or_backwards_does_no_harm(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    uint64_t start = e.now_us, due = smux_session_deadline(e.session);
    for (uint64_t t = start; t < due; t += SECONDS(1) / 3)
        smux_session_tick(e.session, t);
    expect_silence(&e);
    smux_session_tick(e.session, start - SECONDS(500)); /* taken as no time at all */
    smux_session_tick(e.session, 0);
    expect_silence(&e);
    assert_int_equal(smux_session_deadline(e.session), due);
    e.now_us = due;
    smux_session_tick(e.session, due);
    smux_session_tick(e.session, due);
    expect_frame(&e, CMD_NOP, 0);
    expect_silence(&e);
    engine_end(&e);
}

static void the_clock_may_start_anywhere(void **state) {
    (void)state;
    static const uint64_t starts[] = {0, 1, UINT32_MAX, (uint64_t)1 << 62};
    for (int i = 0; i < 4; i++) {
        engine e;
        engine_prepare(&e, SMUX_CLIENT, 1);
        e.now_us = starts[i];
        engine_start(&e);
        assert_int_equal(smux_session_deadline(e.session), starts[i] + SECONDS(10));
        pass_time(&e, SECONDS(10));
        expect_frame(&e, CMD_NOP, 0);
        engine_end(&e);
    }
}

/* ---- Idle streams --------------------------------------------------------------------------- */

static void engine_with_idle_timeout(engine *e) {
    engine_prepare(e, SMUX_SERVER, 1);
    e->config.keepalive_disabled = true;
    e->config.stream_idle_timeout_us = SECONDS(60);
    engine_start(e);
}

static void a_stream_without_data_for_the_idle_timeout_is_reset(void **state) {
    (void)state;
    engine e;
    engine_with_idle_timeout(&e);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    smux_stream *s = engine_accepted(&e, 3);
    uint64_t start = e.now_us;
    assert_in_range(smux_session_deadline(e.session), start + SECONDS(60), start + SECONDS(61));
    pass_time_until(&e, start + SECONDS(60) - 1);
    expect_no_event(&e);
    pass_time_until(&e, start + SECONDS(62));
    expect_reset(&e, s, SMUX_ERR_IDLE);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_close(s);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    engine_end(&e);
}

static void data_in_either_direction_keeps_a_stream_alive(void **state) {
    (void)state;
    engine e;
    engine_with_idle_timeout(&e);
    smux_stream *in = engine_accepted(&e, 3), *out = engine_accepted(&e, 5);
    smux_stream *quiet = engine_accepted(&e, 7);
    for (int i = 0; i < 10; i++) {
        pass_time(&e, SECONDS(50));
        say_psh(&e, 3, "x");
        hear(&e);
        send_text(out, "y");
        drain(&e);
    }
    e.out.len = 0;
    int resets = 0;
    for (seen *v; (v = peek_event(&e)); e.event_next++)
        if (v->event.type == SMUX_EVENT_RESET) {
            assert_ptr_equal(v->event.stream, quiet);
            resets++;
        }
    assert_int_equal(resets, 1);
    assert_int_equal(stream_info(in).error, 0);
    assert_int_equal(stream_info(in).active_us, e.now_us);
    assert_int_equal(stream_info(out).error, 0);
    assert_int_equal(stream_info(out).active_us, e.now_us);
    engine_end(&e);
}

static void ten_thousand_idle_streams_are_reset_in_the_order_they_fell_silent(void **state) {
    (void)state;
    enum { N = 10000 };
    engine e;
    engine_with_idle_timeout(&e);
    e.output_max = 0;
    for (uint32_t i = 0; i < N; i++) {
        engine_opened(&e);
        e.now_us += 1000;
    }
    drain(&e);
    e.out.len = 0;
    pass_time(&e, SECONDS(80));
    uint32_t count = 0;
    for (seen *v; (v = peek_event(&e)); e.event_next++, count++) {
        assert_int_equal(v->event.type, SMUX_EVENT_RESET);
        assert_int_equal(v->event.error, SMUX_ERR_IDLE);
        smux_stream_close(v->event.stream);
    }
    assert_int_equal(count, N);
    drain(&e);
    e.out.len = 0;
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

/* ---- Lingering ------------------------------------------------------------------------------ */

/* Opens stream 3, for which the peer opens no window. */
static smux_stream *begin_without_window(engine *e, uint64_t linger_timeout_us) {
    engine_prepare(e, SMUX_SERVER, 2);
    e->config.keepalive_disabled = true;
    e->config.linger_timeout_us = linger_timeout_us;
    engine_start(e);
    smux_stream *s = engine_accepted(e, 3);
    say_upd(e, 3, 0, 0);
    hear(e);
    return s;
}

static void a_closed_stream_that_the_peer_gives_no_window_is_reset_after_a_while(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin_without_window(&e, SECONDS(60));
    send_text(s, "stuck");
    smux_stream_close(s);
    expect_silence(&e);
    assert_int_equal(info_of(&e).streams, 1);
    pass_time(&e, SECONDS(59));
    assert_int_equal(info_of(&e).streams, 1);
    pass_time(&e, SECONDS(3));
    expect_no_event(&e);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    assert_int_equal(info_of(&e).queued, 0);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    engine_end(&e);
}

static void a_closed_stream_is_not_reset_for_a_carrier_that_takes_nothing(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.keepalive_disabled = true;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3);
    send_text(s, "waits");
    smux_stream_close(s);
    for (int i = 0; i < 100; i++) {
        drain_some(&e, 0);
        pass_time(&e, SECONDS(10));
    }
    expect_psh(&e, 3, "waits");
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

static void a_closed_stream_that_makes_progress_continues_to_linger(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin_without_window(&e, SECONDS(60));
    assert_int_equal(send_pattern(s, 0, 200000), 200000);
    smux_stream_close(s);
    size_t sum = 0;
    for (uint32_t i = 0; i < 10; i++) {
        pass_time(&e, SECONDS(50));
        say_upd(&e, 3, i * 20000, 20000);
        hear(&e);
        sum += expect_frame(&e, CMD_PSH, 3).len;
    }
    assert_int_equal(sum, 200000);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void with_no_linger_timeout_a_closed_stream_waits_for_ever(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin_without_window(&e, 0);
    send_text(s, "patient");
    smux_stream_close(s);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    pass_time(&e, SECONDS(1000000));
    say_upd(&e, 3, 0, 100);
    hear(&e);
    expect_psh(&e, 3, "patient");
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nop_goes_out_every_interval),
        cmocka_unit_test(nops_go_out_although_data_flows),
        cmocka_unit_test(nops_that_cannot_leave_do_not_pile_up),
        cmocka_unit_test(a_disabled_keepalive_has_no_deadline_and_sends_nothing),
        cmocka_unit_test(a_peer_that_sent_a_nop_and_then_falls_silent_ends_the_session),
        cmocka_unit_test(a_peer_that_never_sent_a_nop_may_be_silent_for_ever),
        cmocka_unit_test(any_byte_of_the_peer_counts_as_a_sign_of_life),
        cmocka_unit_test(silence_does_not_count_while_we_do_not_read),
        cmocka_unit_test(silence_does_not_count_while_the_caller_has_paused),
        cmocka_unit_test(a_process_that_was_stopped_reads_before_it_decides),
        cmocka_unit_test(ticking_early_or_late_or_backwards_does_no_harm),
        cmocka_unit_test(the_clock_may_start_anywhere),
        cmocka_unit_test(a_stream_without_data_for_the_idle_timeout_is_reset),
        cmocka_unit_test(data_in_either_direction_keeps_a_stream_alive),
        cmocka_unit_test(ten_thousand_idle_streams_are_reset_in_the_order_they_fell_silent),
        cmocka_unit_test(a_closed_stream_that_the_peer_gives_no_window_is_reset_after_a_while),
        cmocka_unit_test(a_closed_stream_is_not_reset_for_a_carrier_that_takes_nothing),
        cmocka_unit_test(a_closed_stream_that_makes_progress_continues_to_linger),
        cmocka_unit_test(with_no_linger_timeout_a_closed_stream_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
