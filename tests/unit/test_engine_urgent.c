/* SPDX-License-Identifier: MIT
 *
 * Urgent data (core/PROTOCOL.md, section 6): NOP and PSH of the same stream, by hand-made frames.
 */
#include "support_engine.h"

/* A server with stream 3 open. */
static smux_stream *begin(engine *e, int version, bool peer_knows) {
    if (peer_knows)
        engine_greeted(e, SMUX_SERVER, version);
    else
        engine_extended(e, SMUX_SERVER, version);
    return engine_accepted(e, 3);
}

static void expect_urgent(engine *e, smux_stream *s, const char *text, bool urgent) {
    seen *data = expect_event(e, SMUX_EVENT_DATA);
    assert_ptr_equal(data->event.stream, s);
    assert_int_equal(data->data.len, strlen(text));
    assert_memory_equal(data->data.data, text, data->data.len);
    assert_int_equal(data->event.urgent, urgent);
}

/* ---- Sending -------------------------------------------------------------------------------- */

static void the_urgent_byte_ends_its_frame_and_is_announced(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        smux_stream *s = begin(&e, version, true);
        send_text(s, "abc!");
        assert_int_equal(smux_stream_mark_urgent(s, 0), 0);
        send_text(s, "def");
        expect_frame(&e, CMD_NOP, 3);
        expect_psh(&e, 3, "abc!");
        expect_psh(&e, 3, "def");
        engine_end(&e);
    }
}

static void a_byte_followed_by_others_can_be_marked(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    send_text(s, "a!bc");
    assert_int_equal(smux_stream_mark_urgent(s, 2), 0);
    expect_frame(&e, CMD_NOP, 3);
    expect_psh(&e, 3, "a!");
    expect_psh(&e, 3, "bc");
    engine_end(&e);
}

static void a_later_mark_replaces_a_waiting_one(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    for (int i = 0; i < 1000; i++) {
        send_text(s, "x");
        assert_int_equal(smux_stream_mark_urgent(s, 0), 0);
    }
    expect_frame(&e, CMD_NOP, 3);
    frame f = expect_frame(&e, CMD_PSH, 3);
    assert_int_equal(f.len, 1000);
    engine_end(&e);
}

static void a_plain_peer_gets_the_byte_and_no_announcement(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, false);
    send_text(s, "abc!");
    assert_int_equal(smux_stream_mark_urgent(s, 0), 0);
    send_text(s, "d");
    expect_psh(&e, 3, "abc!");
    expect_psh(&e, 3, "d");
    engine_end(&e);
}

static void bytes_that_have_been_sent_cannot_be_marked(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    assert_int_equal(smux_stream_mark_urgent(s, 0), SMUX_ERR_ARGUMENT);
    send_text(s, "ab");
    assert_int_equal(smux_stream_mark_urgent(s, 2), SMUX_ERR_ARGUMENT);
    expect_psh(&e, 3, "ab");
    assert_int_equal(smux_stream_mark_urgent(s, 0), SMUX_ERR_ARGUMENT);
    smux_stream_close_write(s);
    assert_int_equal(smux_stream_mark_urgent(s, 0), SMUX_ERR_SHUT);
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

/* After every short write, what the carrier has not accepted is planned anew, with the mark. */
static void a_mark_survives_every_short_write(void **state) {
    (void)state;
    for (size_t piece = 0; piece < 40; piece++) {
        engine e;
        smux_stream *s = begin(&e, 2, true);
        send_text(s, "before!");
        assert_int_equal(smux_stream_mark_urgent(s, 0), 0);
        send_text(s, "behind");
        drain_some(&e, piece);
        e.output_max = 1;
        expect_frame(&e, CMD_NOP, 3);
        expect_psh(&e, 3, "before!");
        expect_psh(&e, 3, "behind");
        engine_end(&e);
    }
}

static void a_mark_waits_for_the_window(void **state) {
    (void)state;
    static uint8_t much[INITIAL_WINDOW];
    engine e;
    smux_stream *s = begin(&e, 2, true);
    smux_sendbuf lent = {.data = much, .len = sizeof much};
    smux_sendbuf last = {.data = (const uint8_t *)"!", .len = 1};
    assert_int_equal(smux_stream_send_borrowed(s, &lent), 0);
    assert_int_equal(smux_stream_send_borrowed(s, &last), 0);
    assert_int_equal(smux_stream_mark_urgent(s, 0), 0);
    for (size_t got = 0; got < sizeof much;)
        got += expect_frame(&e, CMD_PSH, 3).len;
    expect_event(&e, SMUX_EVENT_RETURNED);
    expect_silence(&e);
    say_upd(&e, 3, sizeof much, sizeof much);
    hear(&e);
    expect_frame(&e, CMD_NOP, 3);
    expect_psh(&e, 3, "!");
    expect_event(&e, SMUX_EVENT_RETURNED);
    engine_end(&e);
}

static void a_cancelled_buffer_loses_its_mark(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    smux_sendbuf lent = {.data = (const uint8_t *)"lent!", .len = 5};
    assert_int_equal(smux_stream_send_borrowed(s, &lent), 0);
    assert_int_equal(smux_stream_mark_urgent(s, 0), 0);
    assert_int_equal(smux_session_send_cancel(e.session, &lent, NULL), 0);
    send_text(s, "ordinary");
    expect_psh(&e, 3, "ordinary");
    engine_end(&e);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

static void nop_then_psh_is_received_as_urgent(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    say_psh(&e, 3, "a");
    say_nop(&e, 3);
    say_psh(&e, 3, "bc!");
    say_psh(&e, 3, "d");
    hear(&e);
    expect_urgent(&e, s, "a", false);
    expect_urgent(&e, s, "bc!", true);
    expect_urgent(&e, s, "d", false);
    engine_end(&e);
}

/* In pieces, only the one that ends the frame is urgent. */
static void the_last_piece_of_a_cut_frame_is_the_urgent_one(void **state) {
    (void)state;
    for (size_t cut = 1; cut < 8 + 8 + 4; cut++) {
        engine e;
        smux_stream *s = begin(&e, 1, true);
        say_nop(&e, 3);
        say_psh(&e, 3, "bc!?");
        bytes all = {0};
        bytes_add(&all, e.said.data, e.said.len);
        e.said.len = 0;
        assert_int_equal(feed(&e, all.data, cut), 0);
        assert_int_equal(feed(&e, all.data + cut, all.len - cut), 0);
        if (cut > 16)
            assert_false(expect_event(&e, SMUX_EVENT_DATA)->event.urgent);
        seen *last = expect_event(&e, SMUX_EVENT_DATA);
        assert_true(last->event.urgent);
        assert_int_equal(last->data.data[last->data.len - 1], '?');
        assert_ptr_equal(last->event.stream, s);
        bytes_free(&all);
        engine_end(&e);
    }
}

static void a_peer_that_has_not_said_hello_cannot_announce(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, false);
    say_nop(&e, 3);
    say_psh(&e, 3, "plain");
    hear(&e);
    expect_urgent(&e, s, "plain", false);
    engine_end(&e);
}

/* ---- Lies ----------------------------------------------------------------------------------- */

static void an_announcement_without_its_psh_has_no_meaning(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    say_nop(&e, 3);
    say_nop(&e, 5); /* of a stream that is not */
    say_psh(&e, 3, "a");
    say_nop(&e, 3);
    say_syn(&e, 5);
    say_psh(&e, 3, "b");
    say_nop(&e, 3);
    say_psh(&e, 5, "c");
    hear(&e);
    expect_urgent(&e, s, "a", false);
    smux_stream *other = expect_accept(&e, 5);
    expect_urgent(&e, s, "b", false);
    expect_urgent(&e, other, "c", false);
    engine_end(&e);
}

/* As without the announcement: a reset answers, the session lives. */
static void urgent_data_for_an_unknown_stream_is_answered_by_a_reset(void **state) {
    (void)state;
    engine e;
    begin(&e, 1, true);
    say_nop(&e, 99);
    say_psh(&e, 99, "!");
    hear(&e);
    expect_frame(&e, CMD_NOP, 99);
    expect_frame(&e, CMD_FIN, 99);
    engine_end(&e);
}

static void an_empty_urgent_psh_is_ignored_and_forgotten(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 1, true);
    say_nop(&e, 3);
    say_psh(&e, 3, "");
    say_psh(&e, 3, "a");
    hear(&e);
    expect_urgent(&e, s, "a", false);
    engine_end(&e);
}

/* Marks use no memory, so a flood costs no more than a flood of short PSHs: its window. */
static void a_flood_is_bounded_by_the_window_and_keeps_nothing(void **state) {
    (void)state;
    engine e;
    smux_stream *s = begin(&e, 2, true);
    size_t live = e.alloc.live_blocks;
    for (int i = 0; i < 100000; i++) {
        say_nop(&e, 3);
        if (i % 100 == 0)
            say_psh(&e, 3, "!");
    }
    hear(&e);
    for (int i = 0; i < 1000; i++)
        expect_urgent(&e, s, "!", true);
    assert_int_equal(e.alloc.live_blocks, live);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_urgent_byte_ends_its_frame_and_is_announced),
        cmocka_unit_test(a_byte_followed_by_others_can_be_marked),
        cmocka_unit_test(a_later_mark_replaces_a_waiting_one),
        cmocka_unit_test(a_plain_peer_gets_the_byte_and_no_announcement),
        cmocka_unit_test(bytes_that_have_been_sent_cannot_be_marked),
        cmocka_unit_test(a_mark_survives_every_short_write),
        cmocka_unit_test(a_mark_waits_for_the_window),
        cmocka_unit_test(a_cancelled_buffer_loses_its_mark),
        cmocka_unit_test(nop_then_psh_is_received_as_urgent),
        cmocka_unit_test(the_last_piece_of_a_cut_frame_is_the_urgent_one),
        cmocka_unit_test(a_peer_that_has_not_said_hello_cannot_announce),
        cmocka_unit_test(an_announcement_without_its_psh_has_no_meaning),
        cmocka_unit_test(urgent_data_for_an_unknown_stream_is_answered_by_a_reset),
        cmocka_unit_test(an_empty_urgent_psh_is_ignored_and_forgotten),
        cmocka_unit_test(a_flood_is_bounded_by_the_window_and_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
