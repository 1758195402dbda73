/* SPDX-License-Identifier: MIT
 *
 * Predicting what comes next on the carrier, so that payload can be received into its final place;
 * and taking back unprocessed input.
 */
#include "support_engine.h"

static void expect_incoming(engine *e, smux_stream *stream, uint32_t len, uint32_t frame_len) {
    smux_incoming in;
    smux_session_get_incoming(e->session, &in);
    assert_ptr_equal(in.stream, stream);
    assert_int_equal(in.len, len);
    assert_int_equal(in.frame_len, frame_len);
}

/* Feeds the first `n` bytes that the peer has sent. */
static void hear_some(engine *e, size_t n) {
    assert_int_equal(feed(e, e->said.data, n), 0);
    bytes_drop(&e->said, n);
}

static void headers_and_payload_are_distinguished_at_any_byte(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    expect_incoming(&e, NULL, 8, 0);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "0123456789");
    hear_some(&e, 3);
    expect_incoming(&e, NULL, 5, 0);
    hear_some(&e, 5);
    expect_incoming(&e, s, 10, 10);
    hear_some(&e, 4);
    expect_incoming(&e, s, 6, 10);
    hear(&e);
    expect_incoming(&e, NULL, 8, 10);
    expect_data(&e, s, "0123456789");
    engine_end(&e);
}

static void an_update_ends_behind_its_eight_bytes(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    engine_accepted(&e, 3);
    say_upd(&e, 3, 0, INITIAL_WINDOW);
    hear_some(&e, 8);
    expect_incoming(&e, NULL, 8, 0);
    hear_some(&e, 3);
    expect_incoming(&e, NULL, 5, 0);
    hear(&e);
    expect_incoming(&e, NULL, 8, 0);
    engine_end(&e);
}

static void payload_without_a_receiver_belongs_to_no_stream(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    put_header(&e.said, 1, CMD_PSH, 100, 7); /* never opened */
    hear(&e);
    expect_incoming(&e, NULL, 100, 100);
    bytes_grow(&e.said, 100);
    put_header(&e.said, 1, CMD_PSH, 50, 3);
    hear(&e);
    expect_incoming(&e, s, 50, 50);
    smux_stream_close(s);
    expect_incoming(&e, NULL, 50, 50);
    engine_end_anyhow(&e);
}

static void payload_received_in_its_place_is_delivered_there(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    uint8_t place[16];
    smux_event event;
    put_header(&e.said, 1, CMD_PSH, 5, 3);
    hear(&e);
    expect_incoming(&e, s, 5, 5);
    memcpy(place, "hello", 5);
    assert_int_equal(smux_session_feed(e.session, place, 5, e.now_us), 0);
    assert_true(smux_session_next_event(e.session, &event));
    assert_int_equal(event.type, SMUX_EVENT_DATA);
    assert_ptr_equal(event.stream, s);
    assert_ptr_equal(event.data, place);
    assert_int_equal(event.len, 5);
    engine_end(&e);
}

/* A caller that feeds exactly the number of missing bytes gets each payload in one piece. */
static void pieces_of_the_length_named_are_whole_frames(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    size_t events = 0, feeds = 0;
    for (uint32_t id = 3; id < 43; id += 2) {
        say_syn(&e, id);
        put_pattern(&e.said, 2, id, 0, id * 50, id * 7);
        say_upd(&e, id, 0, INITIAL_WINDOW);
        say_nop(&e, 0);
        say_fin(&e, id);
    }
    for (; e.said.len; feeds++) {
        smux_incoming in;
        smux_event event;
        smux_session_get_incoming(e.session, &in);
        assert_in_range(in.len, 1, e.said.len);
        assert_int_equal(smux_session_feed(e.session, e.said.data, in.len, e.now_us), 0);
        while (smux_session_next_event(e.session, &event)) {
            if (event.type == SMUX_EVENT_ACCEPT)
                smux_stream_accept(event.stream);
            if (event.type != SMUX_EVENT_DATA)
                continue;
            assert_ptr_equal(event.stream, in.stream);
            assert_int_equal(event.len, in.len);
            assert_int_equal(event.len, in.frame_len);
            events++;
        }
        bytes_drop(&e.said, in.len);
    }
    assert_int_equal(events, 20 * 8); /* 50 / 7, rounded up */
    assert_int_equal(feeds, 20 * (1 + 2 * 8 + 2 + 1 + 1));
    engine_end_anyhow(&e);
}

static void input_after_an_event_can_be_taken_back_and_fed_again(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_event event;
    say_syn(&e, 3);
    say_psh(&e, 3, "first");
    say_syn(&e, 5);
    size_t behind = e.said.len - 8;
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    assert_true(smux_session_next_event(e.session, &event));
    assert_int_equal(event.type, SMUX_EVENT_ACCEPT);
    assert_int_equal(smux_session_feed_cancel(e.session), behind);
    assert_false(smux_session_next_event(e.session, &event));
    assert_int_equal(smux_session_feed_cancel(e.session), 0);
    expect_incoming(&e, NULL, 8, 0);
    smux_stream *s = event.stream;
    bytes_drop(&e.said, 8);
    hear(&e);
    expect_data(&e, s, "first");
    expect_accept(&e, 5);
    engine_end(&e);
}

static void nothing_can_be_taken_back_once_all_is_processed(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "x");
    hear_some(&e, 5); /* half a header, which the engine keeps */
    assert_int_equal(smux_session_feed_cancel(e.session), 0);
    hear(&e);
    expect_data(&e, s, "x");
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_payload_are_distinguished_at_any_byte),
        cmocka_unit_test(an_update_ends_behind_its_eight_bytes),
        cmocka_unit_test(payload_without_a_receiver_belongs_to_no_stream),
        cmocka_unit_test(payload_received_in_its_place_is_delivered_there),
        cmocka_unit_test(pieces_of_the_length_named_are_whole_frames),
        cmocka_unit_test(input_after_an_event_can_be_taken_back_and_fed_again),
        cmocka_unit_test(nothing_can_be_taken_back_once_all_is_processed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
