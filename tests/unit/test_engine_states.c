/* SPDX-License-Identifier: MIT
 *
 * The states of a stream: half-close, close, reset, in every order.  Plain peers; resets between
 * peers that know the extensions are in test_engine_extensions.c.
 */
#include "support_engine.h"

static void half_close_sends_fin_after_the_data_and_receiving_continues(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    send_text(s, "last words");
    assert_int_equal(smux_stream_close_write(s), 0);
    expect_frame(&e, CMD_SYN, 3);
    expect_psh(&e, 3, "last words");
    expect_frame(&e, CMD_FIN, 3);
    say_psh(&e, 3, "an answer");
    hear(&e);
    expect_data(&e, s, "an answer");
    assert_true(stream_info(s).write_closed);
    assert_false(stream_info(s).read_closed);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    assert_int_equal(info_of(&e).streams, 1); /* the handle is still ours */
    smux_stream_close(s);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e); /* no second FIN */
}

static void half_closing_twice_sends_one_fin(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    assert_int_equal(smux_stream_close_write(s), 0);
    assert_int_equal(smux_stream_close_write(s), 0);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(smux_stream_close_write(s), 0);
    smux_stream_close(s);
    expect_silence(&e);
    engine_end(&e);
}

static void nothing_can_be_sent_after_half_close(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    smux_stream_close_write(s);
    assert_int_equal(send_text(s, "x"), SMUX_ERR_SHUT);
    struct iovec iov = {"x", 1};
    assert_int_equal(smux_stream_sendv(s, &iov, 1), SMUX_ERR_SHUT);
    smux_sendbuf buffer = {.data = (const uint8_t *)"x", .len = 1};
    assert_int_equal(smux_stream_send_borrowed(s, &buffer), SMUX_ERR_SHUT);
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

static void after_the_peers_fin_we_can_still_send(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "question");
    say_fin(&e, 3);
    hear(&e);
    expect_data(&e, s, "question");
    expect_eof(&e, s);
    assert_true(stream_info(s).read_closed);
    assert_int_equal(send_text(s, "answer"), 6);
    expect_psh(&e, 3, "answer");
    smux_stream_close(s);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_second_fin_is_ignored(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_fin(&e, 3);
    say_fin(&e, 3); /* Go's CloseWrite, then Close */
    hear(&e);
    expect_eof(&e, s);
    expect_no_event(&e);
    assert_int_equal(info_of(&e).frames_ignored, 1);
    engine_end(&e);
}

static void data_after_the_peers_fin_is_not_delivered(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_fin(&e, 3);
    say_psh(&e, 3, "too late");
    hear(&e);
    expect_eof(&e, s);
    expect_no_event(&e);
    assert_int_equal(info_of(&e).unread, 0);
    assert_int_equal(info_of(&e).frames_ignored, 1);
    engine_end(&e);
}

static void eof_leaves_unread_data_readable(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 2);
    smux_stream *s = engine_opened(&e);
    smux_stream_close_write(s);
    say_psh(&e, 3, "unread");
    say_fin(&e, 3);
    hear(&e);
    expect_data(&e, s, "unread");
    expect_eof(&e, s);
    assert_int_equal(stream_info(s).unread, 6);
    assert_int_equal(smux_stream_consume(s, 6), 0);
    smux_stream_close(s);
    expect_frame(&e, CMD_SYN, 3);
    expect_frame(&e, CMD_FIN, 3);
    frame f = next_frame(&e); /* the window of a finished stream need not be opened */
    assert_int_equal(f.cmd, -1);
    engine_end(&e);
}

static void close_sends_what_is_queued_and_then_fin(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    assert_int_equal(send_pattern(s, 0, 200000), 200000);
    smux_stream_close(s);
    assert_int_equal(info_of(&e).streams, 1); /* flushing */
    assert_null(smux_session_next_stream(e.session, NULL));
    e.output_max = 1000;
    expect_frame(&e, CMD_SYN, 3);
    for (size_t got = 0; got < 200000;) {
        frame f = expect_frame(&e, CMD_PSH, 3);
        for (uint32_t k = 0; k < f.len; k++)
            assert_int_equal(f.payload[k], pattern(3, 1, got + k));
        got += f.len;
    }
    expect_frame(&e, CMD_FIN, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_no_event(&e);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void close_drops_unread_and_later_data(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "unread");
    hear(&e);
    expect_data(&e, s, "unread");
    smux_stream_close(s);
    assert_int_equal(info_of(&e).unread, 0);
    say_psh(&e, 3, "late");
    say_fin(&e, 3);
    hear(&e);
    expect_no_event(&e);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void reset_drops_queued_data_and_sends_fin_to_a_plain_peer(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    send_pattern(s, 0, 200000);
    smux_stream_reset(s);
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e);
    assert_int_equal(info_of(&e).streams, 0);
    assert_int_equal(info_of(&e).queued, 0);
    say_psh(&e, 3, "late");
    say_fin(&e, 3);
    hear(&e);
    engine_end(&e);
}

static void reset_completes_the_frame_that_is_on_the_wire(void **state) {
    (void)state;
    for (size_t cut = 1; cut < FRAME_HEADER + 5000; cut += 123) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *s = engine_accepted(&e, 3);
        assert_int_equal(send_pattern(s, 0, 5000), 5000);
        assert_int_equal(drain_some(&e, cut), cut);
        smux_stream_reset(s);
        frame f = expect_frame(&e, CMD_PSH, 3);
        assert_int_equal(f.len, 5000);
        for (uint32_t k = 0; k < f.len; k++)
            assert_int_equal(f.payload[k], pattern(3, 1, k));
        expect_frame(&e, CMD_FIN, 3);
        assert_int_equal(info_of(&e).streams, 0);
        engine_end(&e);
    }
}

static void reset_after_half_close_sends_no_second_fin_to_a_plain_peer(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    smux_stream_close_write(s);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_reset(s);
    frame f = next_frame(&e); /* one more would do no harm, but two kinds of frame would */
    assert_true(f.cmd == -1 || f.cmd == CMD_FIN);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_stream_reset_before_anything_was_sent_sends_nothing(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    send_text(s, "never mind");
    smux_stream_reset(s);
    frame f = next_frame(&e); /* nothing, or an empty stream: both are right */
    if (f.cmd != -1) {
        assert_int_equal(f.cmd, CMD_SYN);
        expect_frame(&e, CMD_FIN, 3);
    }
    expect_silence(&e);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_stream_opened_and_closed_at_once_sends_syn_and_fin(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream_close(engine_opened(&e));
    expect_frame(&e, CMD_SYN, 3);
    expect_frame(&e, CMD_FIN, 3);
    expect_silence(&e);
    say_fin(&e, 3);
    hear(&e);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

/* Both sides finish, in every order of our close and the peer's FIN, with our queue empty or not:
 * one FIN is sent, nothing stays. */
static void every_order_of_closing_ends_with_one_fin_and_no_stream(void **state) {
    (void)state;
    for (int order = 0; order < 16; order++) {
        bool half_first = order & 1, peer_first = order & 2, queued = order & 4;
        bool drained_between = order & 8;
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *s = engine_accepted(&e, 3);
        if (queued)
            assert_int_equal(send_text(s, "data"), 4);
        if (peer_first) {
            say_fin(&e, 3);
            hear(&e);
            expect_eof(&e, s);
        }
        if (half_first)
            assert_int_equal(smux_stream_close_write(s), 0);
        if (drained_between)
            drain(&e);
        smux_stream_close(s);
        if (!peer_first) {
            say_fin(&e, 3);
            hear(&e);
            expect_no_event(&e);
        }
        if (queued)
            expect_psh(&e, 3, "data");
        expect_frame(&e, CMD_FIN, 3);
        expect_silence(&e);
        assert_int_equal(info_of(&e).streams, 0);
        engine_end(&e);
    }
}

static void a_closed_stream_that_the_peer_never_finishes_takes_no_new_stream_down(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    for (int i = 0; i < 1000; i++) {
        smux_stream_close(engine_opened(&e));
        drain(&e);
        e.out.len = 0;
    }
    expect_no_event(&e);
    assert_int_equal(info_of(&e).opened, 1000);
    engine_end(&e);
}

static void reset_of_a_stream_in_the_backlog_refuses_it(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_syn(&e, 3);
    hear(&e);
    smux_stream *s = expect_event(&e, SMUX_EVENT_ACCEPT)->event.stream;
    smux_stream_reset(s);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).backlog, 0);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void close_of_a_stream_in_the_backlog_takes_it_out(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_syn(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    smux_stream *s = expect_event(&e, SMUX_EVENT_ACCEPT)->event.stream;
    expect_eof(&e, s);
    smux_stream_close(s);
    assert_int_equal(info_of(&e).backlog, 0);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void streams_may_be_closed_between_output_and_sent(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *s = engine_accepted(&e, 3);
        assert_int_equal(send_pattern(s, 0, 20000), 20000);
        struct iovec iov[16];
        int count = smux_session_output(e.session, iov, 16, e.now_us);
        assert_true(count > 0);
        if (how)
            smux_stream_close(s);
        else
            smux_stream_reset(s);
        /* the memory stays valid and unchanged until smux_session_output_done */
        for (int i = 0; i < count; i++)
            bytes_add(&e.out, iov[i].iov_base, iov[i].iov_len);
        smux_session_output_done(e.session, iov_total(iov, count));
        frame f = expect_frame(&e, CMD_PSH, 3);
        assert_int_equal(f.len, 20000);
        for (uint32_t k = 0; k < f.len; k++)
            assert_int_equal(f.payload[k], pattern(3, 1, k));
        expect_frame(&e, CMD_FIN, 3);
        engine_end(&e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_close_sends_fin_after_the_data_and_receiving_continues),
        cmocka_unit_test(half_closing_twice_sends_one_fin),
        cmocka_unit_test(nothing_can_be_sent_after_half_close),
        cmocka_unit_test(after_the_peers_fin_we_can_still_send),
        cmocka_unit_test(a_second_fin_is_ignored),
        cmocka_unit_test(data_after_the_peers_fin_is_not_delivered),
        cmocka_unit_test(eof_leaves_unread_data_readable),
        cmocka_unit_test(close_sends_what_is_queued_and_then_fin),
        cmocka_unit_test(close_drops_unread_and_later_data),
        cmocka_unit_test(reset_drops_queued_data_and_sends_fin_to_a_plain_peer),
        cmocka_unit_test(reset_completes_the_frame_that_is_on_the_wire),
        cmocka_unit_test(reset_after_half_close_sends_no_second_fin_to_a_plain_peer),
        cmocka_unit_test(a_stream_reset_before_anything_was_sent_sends_nothing),
        cmocka_unit_test(a_stream_opened_and_closed_at_once_sends_syn_and_fin),
        cmocka_unit_test(every_order_of_closing_ends_with_one_fin_and_no_stream),
        cmocka_unit_test(a_closed_stream_that_the_peer_never_finishes_takes_no_new_stream_down),
        cmocka_unit_test(reset_of_a_stream_in_the_backlog_refuses_it),
        cmocka_unit_test(close_of_a_stream_in_the_backlog_takes_it_out),
        cmocka_unit_test(streams_may_be_closed_between_output_and_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
