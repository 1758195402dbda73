/* SPDX-License-Identifier: MIT
 *
 * CLOSED (core/PROTOCOL.md, section 6): a full close is distinguished from a half-close.
 */
#include "support_engine.h"

/* A server, greeted, with stream 3 open. */
static smux_stream *begin(engine *e, int version) {
    engine_greeted(e, SMUX_SERVER, version);
    return engine_accepted(e, 3);
}

static void expect_closed(engine *e, uint32_t sid) {
    expect_frame(e, CMD_NOP, sid);
    expect_frame(e, CMD_NOP, sid);
}

static void say_closed(engine *e, uint32_t sid) {
    say_nop(e, sid);
    say_nop(e, sid);
}

static uint32_t streams_of(engine *e) {
    smux_session_info info;
    smux_session_get_info(e->session, &info);
    return info.streams;
}

/* ---- Saying it ------------------------------------------------------------------------------ */

static void a_close_sends_fin_and_closed_after_queued_data(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        smux_stream *s = begin(&e, version);
        send_text(s, "last words");
        smux_stream_close(s);
        expect_psh(&e, 3, "last words");
        expect_frame(&e, CMD_FIN, 3);
        expect_closed(&e, 3);
        expect_silence(&e);
        assert_int_equal(streams_of(&e), 0);
        engine_end(&e);
    }
}

static void a_close_after_a_half_close_sends_closed_alone(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    smux_stream_close_write(s);
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e); /* a half-close is no close */
    smux_stream_close(s);
    expect_closed(&e, 3);
    expect_silence(&e);
    assert_int_equal(streams_of(&e), 0);
    engine_end(&e);
}

static void a_close_after_the_peers_fin_needs_no_closed(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    smux_stream_close(s);
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e);
    engine_end(&e);
}

/* The peer's FIN comes while CLOSED waits for the carrier. */
static void a_fin_received_before_closed_is_sent_cancels_it(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    smux_stream_close_write(s);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_close(s);
    say_fin(&e, 3);
    hear(&e);
    expect_no_event(&e);
    expect_silence(&e);
    assert_int_equal(streams_of(&e), 0);
    engine_end(&e);
}

static void a_reset_sends_no_closed(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    smux_stream_close_write(s);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_reset(s);
    expect_frame(&e, CMD_NOP, 3);
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e);
    engine_end(&e);
}

/* However much the carrier accepts at a time: FIN, then CLOSED, each once. */
static void closed_survives_every_short_write(void **state) {
    (void)state;
    for (size_t max = 1; max <= 40; max++) {
        engine e;
        smux_stream *s = begin(&e, 2);
        e.output_max = max;
        send_text(s, "x");
        smux_stream_close(s);
        expect_psh(&e, 3, "x");
        expect_frame(&e, CMD_FIN, 3);
        expect_closed(&e, 3);
        expect_silence(&e);
        assert_int_equal(streams_of(&e), 0);
        engine_end(&e);
    }
}

/* ---- The session's first second ------------------------------------------------------------- */

static void begin_client(engine *e) {
    engine_prepare(e, SMUX_CLIENT, 1);
    e->config.extensions = true;
    engine_start(e);
    expect_frame(e, CMD_FIN, FIN_HELLO);
}

static void closed_waits_for_the_hello(void **state) {
    (void)state;
    engine e;
    begin_client(&e);
    smux_stream_close(engine_opened(&e));
    expect_frame(&e, CMD_SYN, 3);
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    frame ping = next_frame(&e);
    assert_in_range(ping.sid, NOP_PING, NOP_PING + 15);
    expect_closed(&e, 3);
    expect_silence(&e);
    assert_int_equal(streams_of(&e), 0);
    engine_end(&e);
}

/* With many streams, so that removing them from the table moves others. */
static void without_a_hello_closed_is_dropped_and_the_streams_with_it(void **state) {
    (void)state;
    engine e;
    begin_client(&e);
    for (int i = 0; i < 100; i++)
        smux_stream_close(engine_opened(&e));
    drain(&e);
    e.out.len = 0;
    assert_int_equal(streams_of(&e), 100);
    pass_time(&e, SECONDS(2));
    expect_silence(&e);
    assert_int_equal(streams_of(&e), 0);
    engine_end(&e);
}

static void a_plain_peer_gets_fin_alone(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream_close(engine_accepted(&e, 3));
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e);
    assert_int_equal(streams_of(&e), 0);
    engine_end(&e);
}

/* ---- Hearing it ----------------------------------------------------------------------------- */

static void closed_after_the_fin_is_reported_once(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    say_psh(&e, 3, "bye");
    say_fin(&e, 3);
    say_closed(&e, 3);
    say_closed(&e, 3);
    hear(&e);
    expect_data(&e, s, "bye");
    expect_eof(&e, s);
    expect_stream_event(&e, SMUX_EVENT_PEER_CLOSED, s, 0);
    expect_no_event(&e);
    assert_int_equal(smux_stream_send(s, "late", 4), 4); /* it is the peer who answers that */
    expect_psh(&e, 3, "late");
    engine_end(&e);
}

static void closed_before_the_fin_has_no_meaning(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    say_closed(&e, 3);
    say_nop(&e, 0); /* parts the NOPs from the FIN */
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    expect_no_event(&e);
    engine_end(&e);
}

static void nops_that_are_not_consecutive_are_no_closed(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    engine_accepted(&e, 5);
    say_fin(&e, 3);
    say_nop(&e, 3);
    say_nop(&e, 5);
    say_nop(&e, 3);
    say_nop(&e, 0);
    say_nop(&e, 3);
    say_psh(&e, 7, "");
    say_nop(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    expect_no_event(&e);
    engine_end(&e);
}

static void closed_from_a_plain_peer_has_no_meaning(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_fin(&e, 3);
    say_closed(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    expect_no_event(&e);
    engine_end(&e);
}

static void a_reset_may_follow_closed(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1);
    say_fin(&e, 3);
    say_closed(&e, 3);
    say_nop(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    expect_stream_event(&e, SMUX_EVENT_PEER_CLOSED, s, 0);
    expect_reset(&e, s, SMUX_ERR_PEER_RESET);
    expect_no_event(&e);
    engine_end(&e);
}

/* Two sides that close at the same time keep no state. */
static void closed_for_a_stream_that_is_gone_is_ignored(void **state) {
    (void)state;
    engine e;
    smux_stream_close(begin(&e, 1));
    expect_frame(&e, CMD_FIN, 3);
    expect_closed(&e, 3);
    say_fin(&e, 3);
    say_closed(&e, 3);
    hear(&e);
    expect_no_event(&e);
    expect_silence(&e);
    assert_int_equal(streams_of(&e), 0);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_sends_fin_and_closed_after_queued_data),
        cmocka_unit_test(a_close_after_a_half_close_sends_closed_alone),
        cmocka_unit_test(a_close_after_the_peers_fin_needs_no_closed),
        cmocka_unit_test(a_fin_received_before_closed_is_sent_cancels_it),
        cmocka_unit_test(a_reset_sends_no_closed),
        cmocka_unit_test(closed_survives_every_short_write),
        cmocka_unit_test(closed_waits_for_the_hello),
        cmocka_unit_test(without_a_hello_closed_is_dropped_and_the_streams_with_it),
        cmocka_unit_test(a_plain_peer_gets_fin_alone),
        cmocka_unit_test(closed_after_the_fin_is_reported_once),
        cmocka_unit_test(closed_before_the_fin_has_no_meaning),
        cmocka_unit_test(nops_that_are_not_consecutive_are_no_closed),
        cmocka_unit_test(closed_from_a_plain_peer_has_no_meaning),
        cmocka_unit_test(a_reset_may_follow_closed),
        cmocka_unit_test(closed_for_a_stream_that_is_gone_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
