/* SPDX-License-Identifier: MIT
 *
 * The extensions of core/PROTOCOL.md section 6, with hand-made frames: hello, ping and pong,
 * goaway, reset; and nothing of these to a peer that has sent no hello.
 */
#include "support_engine.h"

static uint32_t expect_ping(engine *e) {
    frame f = next_frame(e);
    assert_int_equal(f.cmd, CMD_NOP);
    assert_int_equal(f.len, 0);
    assert_in_range(f.sid, NOP_PING, NOP_PING + 15);
    return f.sid - NOP_PING;
}

static void expect_reset_frames(engine *e, uint32_t sid) {
    expect_frame(e, CMD_NOP, sid);
    expect_frame(e, CMD_FIN, sid);
}

static void expect_closed_frames(engine *e, uint32_t sid) {
    expect_frame(e, CMD_NOP, sid);
    expect_frame(e, CMD_NOP, sid);
}

/* ---- Hello ---------------------------------------------------------------------------------- */

static void the_client_sends_hello_before_anything_else(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        engine_extended(&e, SMUX_CLIENT, version);
        smux_stream *s = engine_opened(&e);
        send_text(s, "x");
        expect_frame(&e, CMD_FIN, FIN_HELLO);
        expect_frame(&e, CMD_SYN, 3);
        expect_psh(&e, 3, "x");
        expect_silence(&e);
        assert_false(info_of(&e).peer_extensions);
        engine_end(&e);
    }
}

static void the_server_sends_no_hello_unasked(void **state) {
    (void)state;
    engine e;
    engine_extended(&e, SMUX_SERVER, 1);
    expect_silence(&e);
    engine_accepted(&e, 3);
    pass_time(&e, SECONDS(10));
    expect_frame(&e, CMD_NOP, 0);
    expect_silence(&e);
    engine_end(&e);
}

static void the_server_answers_a_hello_once(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    assert_true(info_of(&e).peer_extensions);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_no_event(&e);
    expect_silence(&e);
    engine_end(&e);
}

static void a_hello_with_version_2_is_adopted_like_any_first_frame(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, SMUX_VERSION_AUTO);
    e.config.extensions = true;
    engine_start(&e);
    e.version = 2;
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    assert_int_equal(info_of(&e).version, 2);
    expect_frame(&e, CMD_FIN, FIN_HELLO);
    expect_ping(&e);
    engine_end(&e);
}

static void without_extensions_a_hello_is_not_answered(void **state) {
    (void)state;
    for (int role = SMUX_CLIENT; role <= SMUX_SERVER; role++) {
        engine e;
        engine_begin(&e, role, 1);
        expect_silence(&e);
        say_fin(&e, FIN_HELLO);
        hear(&e);
        expect_no_event(&e);
        expect_silence(&e);
        assert_false(info_of(&e).peer_extensions);
        engine_end(&e);
    }
}

static void nothing_of_the_extensions_is_used_before_the_hello(void **state) {
    (void)state;
    for (int role = SMUX_CLIENT; role <= SMUX_SERVER; role++) {
        engine e;
        engine_extended(&e, role, 2);
        uint32_t sid = role == SMUX_CLIENT ? 2 : 3;
        smux_stream *s = engine_accepted(&e, sid);
        smux_session_ping(e.session);
        say_nop(&e, NOP_PING + 5); /* ignored until the hello */
        say_nop(&e, NOP_GOAWAY);
        say_nop(&e, NOP_PONG + 1);
        hear(&e);
        expect_no_event(&e);
        smux_stream_reset(s);
        pass_time(&e, SECONDS(10));
        engine_opened(&e); /* no goaway was heard */
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
            if (f.cmd == CMD_NOP)
                assert_int_equal(f.sid, 0);
        assert_int_equal(info_of(&e).rtt_us, 0);
        engine_end(&e);
    }
}

static void a_reset_before_the_hello_is_an_ordinary_end(void **state) {
    (void)state;
    engine e;
    engine_extended(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_nop(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    engine_end(&e);
}

/* A plain FIN would mean that the data is complete. */
static void a_reset_waits_for_the_hello_that_makes_it_one(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        engine_extended(&e, SMUX_CLIENT, version);
        smux_stream *s = engine_opened(&e), *other = engine_opened(&e);
        send_text(s, "half");
        expect_frame(&e, CMD_FIN, FIN_HELLO);
        expect_frame(&e, CMD_SYN, 3);
        expect_frame(&e, CMD_SYN, 5);
        expect_psh(&e, 3, "half");
        smux_stream_reset(s);
        expect_silence(&e);
        assert_false(smux_session_want_write(e.session));
        say_fin(&e, FIN_HELLO);
        hear(&e);
        expect_event(&e, SMUX_EVENT_HELLO);
        expect_ping(&e);
        expect_reset_frames(&e, 3);
        expect_silence(&e);
        assert_int_equal(info_of(&e).streams, 1);
        smux_stream_reset(other);
        expect_reset_frames(&e, 5);
        engine_end(&e);
    }
}

static void a_reset_is_sent_after_queued_data_and_reported(void **state) {
    (void)state;
    for (size_t step = 1; step < 40; step++) {
        engine e;
        engine_greeted(&e, SMUX_CLIENT, 2);
        smux_stream *s = engine_opened(&e);
        e.output_max = step;
        send_text(s, "all of it");
        assert_int_equal(smux_stream_reset_behind(s), 0);
        assert_int_equal(smux_stream_reset_behind(s), 0);
        assert_int_equal(send_text(s, "x"), SMUX_ERR_SHUT);
        say_psh(&e, 3, "still heard");
        hear(&e);
        expect_data(&e, s, "still heard");
        expect_no_event(&e);
        expect_frame(&e, CMD_SYN, 3);
        expect_psh(&e, 3, "all of it");
        expect_reset_frames(&e, 3);
        collect(&e);
        expect_stream_event(&e, SMUX_EVENT_RESET, s, SMUX_ERR_LOCAL_RESET);
        smux_stream_close(s);
        assert_int_equal(info_of(&e).streams, 0);
        engine_end(&e);
    }
}

static void a_reset_behind_replaces_an_unsent_end(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_CLIENT, 2);
    smux_stream *s = engine_opened(&e);
    send_text(s, "all of it");
    smux_stream_close_write(s);
    smux_stream_reset_behind(s);
    smux_stream_close(s); /* needs no event */
    expect_frame(&e, CMD_SYN, 3);
    expect_psh(&e, 3, "all of it");
    expect_reset_frames(&e, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_reset_behind_nothing_is_sent_at_once(void **state) {
    (void)state;
    engine e;
    smux_sendbuf lent = {.data = (const uint8_t *)"taken back", .len = 10};
    engine_greeted(&e, SMUX_CLIENT, 2);
    smux_stream *s = engine_opened(&e), *t = engine_opened(&e);
    expect_frame(&e, CMD_SYN, 3);
    expect_frame(&e, CMD_SYN, 5);
    smux_stream_reset_behind(s);
    assert_int_equal(smux_stream_send_borrowed(t, &lent), 0);
    smux_stream_reset_behind(t);
    smux_stream_close(t);
    assert_int_equal(smux_session_send_cancel(e.session, &lent, NULL), 0);
    expect_reset_frames(&e, 3);
    expect_reset_frames(&e, 5);
    expect_stream_event(&e, SMUX_EVENT_RESET, s, SMUX_ERR_LOCAL_RESET);
    assert_int_equal(smux_stream_reset_behind(s), SMUX_ERR_LOCAL_RESET);
    smux_stream_reset(s);
    engine_end(&e);
}

static void a_reset_after_an_end_waits_for_the_hello_too(void **state) {
    (void)state;
    engine e;
    engine_extended(&e, SMUX_CLIENT, 2);
    smux_stream *s = engine_opened(&e);
    smux_stream_close_write(s);
    expect_frame(&e, CMD_FIN, FIN_HELLO);
    expect_frame(&e, CMD_SYN, 3);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_reset(s);
    expect_silence(&e);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    expect_ping(&e);
    expect_reset_frames(&e, 3);
    engine_end(&e);
}

static void a_reset_waits_at_most_a_second_for_the_peers_hello(void **state) {
    (void)state;
    engine e;
    engine_extended(&e, SMUX_CLIENT, 2);
    smux_stream *a = engine_opened(&e), *b = engine_opened(&e);
    expect_frame(&e, CMD_FIN, FIN_HELLO);
    expect_frame(&e, CMD_SYN, 3);
    expect_frame(&e, CMD_SYN, 5);
    smux_stream_reset(a);
    assert_int_equal(smux_session_deadline(e.session), e.now_us + SECONDS(1));
    pass_time(&e, SECONDS(1) - 1);
    expect_silence(&e);
    pass_time(&e, 1);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_reset(b);
    expect_frame(&e, CMD_FIN, 5);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

/* A client's hello would have been its first frame. */
static void a_server_does_not_wait_for_the_hello_of_a_plain_client(void **state) {
    (void)state;
    engine e;
    engine_extended(&e, SMUX_SERVER, 1);
    smux_stream_reset(engine_accepted(&e, 3));
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

/* ---- Ping ----------------------------------------------------------------------------------- */

static void a_ping_is_answered_by_the_pong_of_its_number(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    for (uint32_t n = 0; n < 16; n++) {
        say_nop(&e, NOP_PING + n);
        hear(&e);
        expect_frame(&e, CMD_NOP, NOP_PONG + n);
    }
    expect_no_event(&e);
    engine_end(&e);
}

static void several_unanswered_pings_get_one_pong(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    size_t memory = e.alloc.live_bytes;
    for (int i = 0; i < 10000; i++)
        say_nop(&e, NOP_PING + (uint32_t)i % 16);
    hear(&e);
    assert_true(e.alloc.live_bytes <= memory + 4096);
    expect_frame(&e, CMD_NOP, NOP_PONG + 9999 % 16);
    expect_silence(&e);
    engine_end(&e);
}

static void a_pong_measures_the_round_trip_time(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_CLIENT, 2);
    for (int i = 0; i < 40; i++) {
        smux_session_ping(e.session);
        uint32_t n = expect_ping(&e);
        e.now_us += MILLISECONDS(80);
        say_nop(&e, NOP_PONG + n);
        hear(&e);
        e.now_us += SECONDS(1);
    }
    assert_in_range(info_of(&e).rtt_us, MILLISECONDS(70), MILLISECONDS(90));
    engine_end(&e);
}

static void an_unsolicited_pong_changes_nothing(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_CLIENT, 2);
    uint64_t rtt = info_of(&e).rtt_us;
    e.now_us += SECONDS(5);
    for (uint32_t n = 0; n < 16; n++)
        say_nop(&e, NOP_PONG + n);
    hear(&e);
    assert_int_equal(info_of(&e).rtt_us, rtt);
    smux_session_ping(e.session);
    uint32_t n = expect_ping(&e);
    e.now_us += SECONDS(1);
    say_nop(&e, NOP_PONG + (n + 1) % 16); /* the wrong number */
    hear(&e);
    assert_int_equal(info_of(&e).rtt_us, rtt);
    engine_end(&e);
}

static void a_ping_to_a_plain_peer_is_a_nop(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_session_ping(e.session);
    expect_frame(&e, CMD_NOP, 0);
    smux_session_ping(e.session);
    smux_session_ping(e.session);
    expect_frame(&e, CMD_NOP, 0);
    expect_silence(&e);
    engine_end(&e);
}

static void keepalives_are_pings_once_the_peer_knows_them(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_CLIENT, 1);
    for (int i = 0; i < 5; i++) {
        pass_time(&e, SECONDS(10));
        uint32_t n = expect_ping(&e);
        say_nop(&e, NOP_PONG + n);
        hear(&e);
        expect_silence(&e);
    }
    engine_end(&e);
}

static void a_peer_that_falls_silent_after_hello_ends_the_session(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_CLIENT, 1);
    uint64_t start = e.now_us;
    while (!smux_session_error(e.session)) {
        e.now_us = smux_session_deadline(e.session);
        assert_true(e.now_us < start + SECONDS(100));
        smux_session_tick(e.session, e.now_us);
        drain(&e);
    }
    assert_in_range(e.now_us - start, SECONDS(30), SECONDS(41));
    expect_failed(&e, SMUX_ERR_KEEPALIVE);
    engine_end(&e);
}

static void ids_that_are_reserved_for_later_are_ignored(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 2);
    for (uint32_t id = 0xFFFFFF02; id <= 0xFFFFFF0F; id++)
        say_nop(&e, id);
    for (uint32_t id = 0xFFFFFF30; id >= 0xFFFFFF30; id++)
        say_nop(&e, id);
    say_nop(&e, FIN_HELLO);
    for (uint32_t id = NOP_GOAWAY; id >= NOP_GOAWAY; id++) {
        say_fin(&e, id);
        say_psh(&e, id, "x");
        say_upd(&e, id, 0, 5);
    }
    hear(&e);
    expect_no_event(&e);
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
        assert_true(f.cmd == CMD_NOP || f.cmd == CMD_FIN); /* a PSH may be answered by a reset */
    engine_end(&e);
}

/* ---- Reset ---------------------------------------------------------------------------------- */

static void a_reset_is_nop_and_fin_and_drops_the_queue(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    send_pattern(s, 0, 100000);
    smux_stream_reset(s);
    expect_reset_frames(&e, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_reset_after_the_fin_is_still_sent(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    smux_stream_close_write(s);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_reset(s);
    expect_reset_frames(&e, 3);
    engine_end(&e);
}

static void nop_then_fin_is_received_as_a_reset(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    send_pattern(s, 0, 100000);
    say_psh(&e, 3, "unread");
    say_nop(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_data(&e, s, "unread");
    expect_reset(&e, s, SMUX_ERR_PEER_RESET);
    assert_int_equal(info_of(&e).queued, 0);
    assert_int_equal(send_text(s, "x"), SMUX_ERR_PEER_RESET);
    assert_int_equal(smux_stream_close_write(s), SMUX_ERR_PEER_RESET);
    assert_true(stream_info(s).read_closed);
    assert_true(stream_info(s).write_closed);
    expect_silence(&e); /* a reset is not answered */
    smux_stream_close(s);
    assert_int_equal(info_of(&e).unread, 0);
    assert_int_equal(info_of(&e).streams, 0);
    expect_silence(&e);
    engine_end(&e);
}

static void a_reset_may_follow_the_peers_fin(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    say_nop(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_reset(&e, s, SMUX_ERR_PEER_RESET);
    smux_stream_close(s);
    engine_end(&e);
}

static void a_nop_is_a_reset_only_right_before_the_fin_of_its_stream(void **state) {
    (void)state;
    for (int between = 0; between < 5; between++) {
        engine e;
        engine_greeted(&e, SMUX_SERVER, 2);
        smux_stream *s = engine_accepted(&e, 3), *other = engine_accepted(&e, 5);
        say_nop(&e, 3);
        if (between == 0)
            say_nop(&e, 0);
        else if (between == 1)
            say_nop(&e, 5);
        else if (between == 2)
            say_psh(&e, 5, "x");
        else if (between == 3)
            say_upd(&e, 3, 0, 1000);
        else
            say_fin(&e, 5);
        say_fin(&e, 3);
        hear(&e);
        if (between == 2)
            expect_data(&e, other, "x");
        if (between == 4)
            expect_eof(&e, other);
        expect_eof(&e, s);
        engine_end(&e);
    }
}

static void a_reset_for_an_unknown_stream_is_ignored(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    say_nop(&e, 99);
    say_fin(&e, 99);
    hear(&e);
    expect_no_event(&e);
    expect_silence(&e);
    engine_end(&e);
}

static void data_for_a_forgotten_stream_is_answered_by_a_reset(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    smux_stream_close(engine_accepted(&e, 3));
    expect_frame(&e, CMD_FIN, 3);
    expect_closed_frames(&e, 3);
    say_psh(&e, 3, "into the void");
    hear(&e);
    expect_reset_frames(&e, 3);
    expect_no_event(&e);
    say_fin(&e, 3); /* a FIN is not answered: two sides could go on for ever */
    hear(&e);
    expect_silence(&e);
    engine_end(&e);
}

/* Once the header of a frame has been accepted for an existing stream, its payload may arrive when
 * the stream is gone: the sender must be told nevertheless, or it waits for its window for ever
 * (property test, seed 3077). */
static void data_whose_stream_goes_in_the_middle_of_a_frame_is_answered_too(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3);
    put_header(&e.said, 2, CMD_PSH, 1000, 3);
    bytes_add(&e.said, "begun", 5);
    hear(&e);
    expect_data(&e, s, "begun");
    smux_stream_close(s);
    frame f = next_frame(&e);
    while (f.cmd == CMD_UPD)
        f = next_frame(&e);
    assert_int_equal(f.cmd, CMD_FIN);
    drain(&e);
    e.out.len = 0;
    uint8_t rest[995] = {0};
    bytes_add(&e.said, rest, sizeof(rest));
    hear(&e);
    expect_reset_frames(&e, 3);
    engine_end(&e);
}

static void a_reader_that_closes_wakes_a_writer_that_waits_for_its_window(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, INITIAL_WINDOW); /* the writer has no window left */
    hear(&e);
    expect_pattern(&e, s, 0, INITIAL_WINDOW);
    smux_stream_close(s);
    bool woken = false; /* by a window (its next bytes are answered by a reset), or a reset */
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
        woken = woken || (f.cmd == CMD_NOP && f.sid == 3);
        woken = woken || (f.cmd == CMD_UPD && get_u32(f.payload) == INITIAL_WINDOW &&
                          get_u32(f.payload + 4) > 0);
    }
    assert_true(woken);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_refused_stream_is_reset(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.extensions = true;
    e.config.accept_backlog = 1;
    engine_start(&e);
    say_fin(&e, FIN_HELLO);
    say_syn(&e, 3);
    say_syn(&e, 5);
    say_psh(&e, 5, "eager");
    say_fin(&e, 5);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    expect_accept(&e, 3);
    expect_no_event(&e);
    assert_int_equal(info_of(&e).refused, 1);
    expect_frame(&e, CMD_FIN, FIN_HELLO);
    int resets = 0;
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
        resets += f.cmd == CMD_FIN && f.sid == 5;
    assert_in_range(resets, 1, 2);
    engine_end(&e);
}

/* ---- Goaway --------------------------------------------------------------------------------- */

static void a_peers_goaway_stops_opening_and_nothing_else(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    expect_frame(&e, CMD_SYN, 3);
    say_nop(&e, NOP_GOAWAY);
    say_nop(&e, NOP_GOAWAY);
    hear(&e);
    expect_event(&e, SMUX_EVENT_GOAWAY);
    expect_no_event(&e);
    assert_true(info_of(&e).peer_goaway);
    smux_stream *more = NULL;
    assert_int_equal(smux_stream_open(e.session, &more), SMUX_ERR_GOAWAY);
    assert_null(more);
    send_text(s, "on");
    expect_psh(&e, 3, "on");
    say_psh(&e, 3, "and on");
    hear(&e);
    expect_data(&e, s, "and on");
    engine_accepted(&e, 2); /* the peer may still open */
    engine_end(&e);
}

static void our_goaway_refuses_once_the_peer_knows(void **state) {
    (void)state;
    engine e;
    engine_greeted(&e, SMUX_SERVER, 1);
    smux_stream *old = engine_accepted(&e, 3);
    smux_session_goaway(e.session);
    smux_session_goaway(e.session);
    expect_frame(&e, CMD_NOP, NOP_GOAWAY);
    uint32_t n = expect_ping(&e);
    expect_silence(&e);
    engine_accepted(&e, 5); /* crossed the goaway */
    say_nop(&e, NOP_PONG + n);
    hear(&e);
    say_syn(&e, 7);
    hear(&e);
    expect_no_event(&e);
    expect_reset_frames(&e, 7);
    assert_int_equal(info_of(&e).refused, 1);
    smux_stream *more = NULL;
    assert_int_equal(smux_stream_open(e.session, &more), SMUX_ERR_GOAWAY);
    say_psh(&e, 3, "goes on");
    hear(&e);
    expect_data(&e, old, "goes on");
    engine_end(&e);
}

static void goaway_to_a_plain_peer_sends_nothing_and_refuses(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    engine_accepted(&e, 3);
    smux_session_goaway(e.session);
    expect_silence(&e);
    say_syn(&e, 5);
    hear(&e);
    expect_no_event(&e);
    expect_frame(&e, CMD_FIN, 5);
    assert_int_equal(info_of(&e).refused, 1);
    engine_end(&e);
}

static void a_goaway_before_the_hello_is_sent_after_it(void **state) {
    (void)state;
    engine e;
    engine_extended(&e, SMUX_SERVER, 1);
    smux_session_goaway(e.session);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    expect_frame(&e, CMD_FIN, FIN_HELLO);
    expect_frame(&e, CMD_NOP, NOP_GOAWAY);
    expect_ping(&e);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_sends_hello_before_anything_else),
        cmocka_unit_test(the_server_sends_no_hello_unasked),
        cmocka_unit_test(the_server_answers_a_hello_once),
        cmocka_unit_test(a_hello_with_version_2_is_adopted_like_any_first_frame),
        cmocka_unit_test(without_extensions_a_hello_is_not_answered),
        cmocka_unit_test(nothing_of_the_extensions_is_used_before_the_hello),
        cmocka_unit_test(a_reset_before_the_hello_is_an_ordinary_end),
        cmocka_unit_test(a_reset_waits_for_the_hello_that_makes_it_one),
        cmocka_unit_test(a_reset_after_an_end_waits_for_the_hello_too),
        cmocka_unit_test(a_reset_is_sent_after_queued_data_and_reported),
        cmocka_unit_test(a_reset_behind_replaces_an_unsent_end),
        cmocka_unit_test(a_reset_behind_nothing_is_sent_at_once),
        cmocka_unit_test(a_reset_waits_at_most_a_second_for_the_peers_hello),
        cmocka_unit_test(a_server_does_not_wait_for_the_hello_of_a_plain_client),
        cmocka_unit_test(a_ping_is_answered_by_the_pong_of_its_number),
        cmocka_unit_test(several_unanswered_pings_get_one_pong),
        cmocka_unit_test(a_pong_measures_the_round_trip_time),
        cmocka_unit_test(an_unsolicited_pong_changes_nothing),
        cmocka_unit_test(a_ping_to_a_plain_peer_is_a_nop),
        cmocka_unit_test(keepalives_are_pings_once_the_peer_knows_them),
        cmocka_unit_test(a_peer_that_falls_silent_after_hello_ends_the_session),
        cmocka_unit_test(ids_that_are_reserved_for_later_are_ignored),
        cmocka_unit_test(a_reset_is_nop_and_fin_and_drops_the_queue),
        cmocka_unit_test(a_reset_after_the_fin_is_still_sent),
        cmocka_unit_test(nop_then_fin_is_received_as_a_reset),
        cmocka_unit_test(a_reset_may_follow_the_peers_fin),
        cmocka_unit_test(a_nop_is_a_reset_only_right_before_the_fin_of_its_stream),
        cmocka_unit_test(a_reset_for_an_unknown_stream_is_ignored),
        cmocka_unit_test(data_for_a_forgotten_stream_is_answered_by_a_reset),
        cmocka_unit_test(data_whose_stream_goes_in_the_middle_of_a_frame_is_answered_too),
        cmocka_unit_test(a_reader_that_closes_wakes_a_writer_that_waits_for_its_window),
        cmocka_unit_test(a_refused_stream_is_reset),
        cmocka_unit_test(a_peers_goaway_stops_opening_and_nothing_else),
        cmocka_unit_test(our_goaway_refuses_once_the_peer_knows),
        cmocka_unit_test(goaway_to_a_plain_peer_sends_nothing_and_refuses),
        cmocka_unit_test(a_goaway_before_the_hello_is_sent_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
