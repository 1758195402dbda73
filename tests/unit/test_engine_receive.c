/* SPDX-License-Identifier: MIT
 *
 * Receiving: borrowed data, and the session's receive budget and its exhaustion.
 */
#include "support_engine.h"

#define BUDGET 100000

static void engine_with_budget(engine *e, int version, enum smux_on_full policy) {
    engine_prepare(e, SMUX_SERVER, version);
    e->config.max_receive_buffer = BUDGET;
    e->config.on_full = policy;
    engine_start(e);
}

static void data_events_lie_in_the_buffer_that_was_fed(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    engine_accepted(&e, 3);
    say_psh(&e, 3, "first");
    say_psh(&e, 3, "second");
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    smux_event event;
    size_t events = 0, total = 0;
    for (; smux_session_next_event(e.session, &event); events++) {
        assert_int_equal(event.type, SMUX_EVENT_DATA);
        assert_true(event.data > e.said.data);
        assert_true(event.data + event.len <= e.said.data + e.said.len);
        total += event.len;
    }
    assert_int_equal(total, 11);
    assert_int_equal(events, 2);
    engine_end(&e);
}

static void part_of_a_frame_is_delivered_at_once(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    put_header(&e.said, 1, CMD_PSH, 10, 3);
    bytes_add(&e.said, "1234", 4);
    hear(&e);
    expect_data(&e, s, "1234");
    assert_int_equal(info_of(&e).unread, 4);
    bytes_add(&e.said, "567890", 6);
    hear(&e);
    expect_data(&e, s, "567890");
    engine_end(&e);
}

static void feeding_nothing_is_allowed(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    assert_int_equal(smux_session_feed(e.session, NULL, 0, e.now_us), 0);
    assert_int_equal(smux_session_feed(e.session, "", 0, e.now_us), 0);
    expect_no_event(&e);
    engine_end(&e);
}

static void a_second_feed_before_the_events_are_taken_is_refused(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "one");
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    assert_int_equal(smux_session_feed(e.session, "garbage!", 8, e.now_us), SMUX_ERR_BUSY);
    collect(&e);
    e.said.len = 0;
    expect_data(&e, s, "one");
    say_psh(&e, 3, "two"); /* and nothing of the refused bytes was taken */
    hear(&e);
    expect_data(&e, s, "two");
    engine_end(&e);
}

static void any_function_may_be_called_between_two_events(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *a = engine_accepted(&e, 3), *b = engine_accepted(&e, 5);
    say_psh(&e, 3, "a");
    say_psh(&e, 5, "dropped: closed before its turn");
    say_psh(&e, 3, "A");
    say_syn(&e, 7);
    say_psh(&e, 7, "c");
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    smux_event event;
    assert_true(smux_session_next_event(e.session, &event));
    assert_ptr_equal(event.stream, a);
    assert_int_equal(smux_stream_consume(a, 1), 0);
    smux_stream_reset(b); /* its DATA event may not come any more: the handle is gone */
    smux_stream *own = engine_opened(&e);
    assert_int_equal(send_text(own, "x"), 1);
    drain(&e);
    e.out.len = 0;
    assert_true(smux_session_next_event(e.session, &event));
    assert_ptr_equal(event.stream, a);
    assert_memory_equal(event.data, "A", 1);
    assert_true(smux_session_next_event(e.session, &event));
    assert_int_equal(event.type, SMUX_EVENT_ACCEPT);
    smux_stream_reset(event.stream);
    assert_false(smux_session_next_event(e.session, &event));
    expect_frame(&e, CMD_FIN, 7);
    engine_end(&e);
}

static void no_event_comes_for_a_released_stream(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "x");
    say_psh(&e, 3, "y");
    say_fin(&e, 3);
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    smux_event event;
    assert_true(smux_session_next_event(e.session, &event));
    smux_stream_close(s);
    assert_false(smux_session_next_event(e.session, &event));
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    assert_int_equal(info_of(&e).unread, 0);
    engine_end(&e);
}

static void the_users_pointer_comes_back_in_events(void **state) {
    (void)state;
    int mine;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    assert_null(smux_stream_user(s));
    smux_stream_set_user(s, &mine);
    assert_ptr_equal(smux_stream_user(s), &mine);
    assert_ptr_equal(smux_stream_session(s), e.session);
    say_psh(&e, 3, "x");
    say_fin(&e, 3);
    hear(&e);
    assert_ptr_equal(expect_event(&e, SMUX_EVENT_DATA)->event.user, &mine);
    assert_ptr_equal(expect_event(&e, SMUX_EVENT_EOF)->event.user, &mine);
    engine_end(&e);
}

static void no_more_can_be_consumed_than_was_delivered(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    assert_int_equal(smux_stream_consume(s, 0), 0);
    assert_int_equal(smux_stream_consume(s, 1), SMUX_ERR_ARGUMENT);
    say_psh(&e, 3, "12345");
    hear(&e);
    expect_data(&e, s, "12345");
    assert_int_equal(smux_stream_consume(s, 6), SMUX_ERR_ARGUMENT);
    assert_int_equal(smux_stream_consume(s, SIZE_MAX), SMUX_ERR_ARGUMENT);
    assert_int_equal(info_of(&e).unread, 5);
    assert_int_equal(smux_stream_consume(s, 2), 0);
    assert_int_equal(smux_stream_consume(s, 3), 0);
    assert_int_equal(smux_stream_consume(s, 1), SMUX_ERR_ARGUMENT);
    assert_int_equal(info_of(&e).unread, 0);
    engine_end(&e);
}

static void reading_stops_when_the_budget_is_used_up_and_resumes_after_consume(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        engine_with_budget(&e, version, SMUX_FULL_STALL);
        smux_stream *s = engine_accepted(&e, 3);
        say_pattern(&e, 3, 0, BUDGET - 1);
        hear(&e);
        assert_true(smux_session_want_read(e.session));
        say_pattern(&e, 3, BUDGET - 1, 1);
        hear(&e);
        assert_false(smux_session_want_read(e.session));
        expect_pattern(&e, s, 0, BUDGET);
        assert_int_equal(smux_stream_consume(s, BUDGET / 2), 0);
        assert_true(smux_session_want_read(e.session));
        drain(&e);
        e.out.len = 0;
        engine_end(&e);
    }
}

static void bytes_fed_beyond_the_budget_are_not_lost(void **state) {
    (void)state;
    engine e;
    engine_with_budget(&e, 1, SMUX_FULL_STALL);
    smux_stream *a = engine_accepted(&e, 3), *b = engine_accepted(&e, 5);
    say_pattern(&e, 3, 0, BUDGET + 50000); /* one big read of the caller */
    say_psh(&e, 5, "behind");
    hear(&e);
    assert_false(smux_session_want_read(e.session));
    expect_pattern(&e, a, 0, BUDGET + 50000);
    expect_data(&e, b, "behind");
    assert_int_equal(smux_stream_consume(a, 50000), 0);
    assert_false(smux_session_want_read(e.session)); /* still over by six */
    assert_int_equal(smux_stream_consume(a, BUDGET), 0);
    assert_true(smux_session_want_read(e.session));
    assert_int_equal(info_of(&e).unread, 6);
    engine_end(&e);
}

static void the_budget_is_over_all_streams_together(void **state) {
    (void)state;
    engine e;
    engine_with_budget(&e, 1, SMUX_FULL_STALL);
    for (uint32_t i = 0; i < 10; i++)
        engine_accepted(&e, 3 + 2 * i);
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(smux_session_want_read(e.session));
        say_pattern(&e, 3 + 2 * i, 0, BUDGET / 10);
        hear(&e);
    }
    assert_false(smux_session_want_read(e.session));
    engine_drop_events(&e);
    engine_end(&e);
}

static void closing_or_resetting_a_stream_returns_its_budget(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        engine e;
        engine_with_budget(&e, 1, SMUX_FULL_STALL);
        smux_stream *s = engine_accepted(&e, 3);
        say_pattern(&e, 3, 0, BUDGET);
        hear(&e);
        assert_false(smux_session_want_read(e.session));
        engine_drop_events(&e);
        if (how)
            smux_stream_close(s);
        else
            smux_stream_reset(s);
        assert_true(smux_session_want_read(e.session));
        assert_int_equal(info_of(&e).unread, 0);
        expect_frame(&e, CMD_FIN, 3);
        engine_end(&e);
    }
}

static void data_for_a_closed_stream_costs_no_budget(void **state) {
    (void)state;
    engine e;
    engine_with_budget(&e, 1, SMUX_FULL_STALL);
    smux_stream_close(engine_accepted(&e, 3));
    expect_frame(&e, CMD_FIN, 3);
    for (int i = 0; i < 100; i++) {
        say_pattern(&e, 3, 0, BUDGET);
        hear(&e);
        assert_true(smux_session_want_read(e.session));
        assert_int_equal(info_of(&e).unread, 0);
    }
    expect_no_event(&e);
    say_fin(&e, 3);
    hear(&e);
    assert_int_equal(info_of(&e).streams, 0);
    drain(&e);
    e.out.len = 0;
    engine_end(&e);
}

static void with_full_reset_the_largest_stream_is_reset_and_others_continue(void **state) {
    (void)state;
    engine e;
    engine_with_budget(&e, 1, SMUX_FULL_RESET);
    smux_stream *small = engine_accepted(&e, 3), *big = engine_accepted(&e, 5);
    smux_stream *tiny = engine_accepted(&e, 7);
    say_pattern(&e, 3, 0, 20000);
    say_pattern(&e, 5, 0, 75000);
    hear(&e);
    expect_pattern(&e, small, 0, 20000);
    expect_pattern(&e, big, 0, 75000);
    assert_true(smux_session_want_read(e.session));
    say_pattern(&e, 7, 0, 6000); /* more than is left */
    hear(&e);
    assert_true(smux_session_want_read(e.session));
    /* the reset and the data may come in either order */
    bool reset = false;
    size_t got = 0;
    for (seen *s; (s = peek_event(&e)); e.event_next++) {
        if (s->event.type == SMUX_EVENT_RESET) {
            assert_ptr_equal(s->event.stream, big);
            assert_int_equal(s->event.error, SMUX_ERR_OVERRUN);
            reset = true;
        } else {
            assert_int_equal(s->event.type, SMUX_EVENT_DATA);
            assert_ptr_equal(s->event.stream, tiny);
            got += s->data.len;
        }
    }
    assert_true(reset);
    assert_int_equal(got, 6000);
    assert_int_equal(stream_info(big).error, SMUX_ERR_OVERRUN);
    expect_frame(&e, CMD_FIN, 5); /* the peer is told */
    say_psh(&e, 3, "flows on");
    hear(&e);
    expect_data(&e, small, "flows on");
    smux_stream_close(big);
    assert_true(info_of(&e).unread <= BUDGET);
    assert_int_equal(info_of(&e).unread, 26008);
    engine_end(&e);
}

static void with_full_reset_the_victim_holds_at_least_half_of_the_most(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 50; seed++) {
        engine e;
        engine_with_budget(&e, 1, SMUX_FULL_RESET);
        smux_stream *s[8];
        size_t unread[8] = {0};
        for (uint32_t i = 0; i < 8; i++)
            s[i] = engine_accepted(&e, 3 + 2 * i);
        uint32_t x = seed * 2654435761u;
        int victim = -1;
        while (victim < 0) {
            x = x * 1664525u + 1013904223u;
            uint32_t i = (x >> 24) % 8, len = 1 + (x >> 8) % 9000;
            say_pattern(&e, 3 + 2 * i, 0, len);
            unread[i] += len;
            hear(&e);
            for (seen *v; (v = peek_event(&e)); e.event_next++)
                if (v->event.type == SMUX_EVENT_RESET)
                    for (int k = 0; k < 8; k++)
                        if (s[k] == v->event.stream)
                            victim = k;
        }
        size_t most = 0;
        for (int k = 0; k < 8; k++)
            most = unread[k] > most ? unread[k] : most;
        assert_true(2 * unread[victim] >= most);
        assert_true(info_of(&e).unread <= BUDGET);
        drain(&e);
        e.out.len = 0;
        engine_end(&e);
    }
}

static void with_full_reset_one_stream_alone_that_floods_is_reset_too(void **state) {
    (void)state;
    engine e;
    engine_with_budget(&e, 1, SMUX_FULL_RESET);
    smux_stream *s = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, 3 * BUDGET);
    hear(&e);
    bool reset = false;
    for (seen *v; (v = peek_event(&e)); e.event_next++) {
        reset = reset || v->event.type == SMUX_EVENT_RESET;
        assert_false(reset && v->event.type == SMUX_EVENT_DATA);
    }
    assert_true(reset);
    assert_true(smux_session_want_read(e.session));
    smux_stream_close(s);
    assert_int_equal(info_of(&e).unread, 0);
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

static void version_1_streams_flow_past_an_unread_one_while_the_budget_lasts(void **state) {
    (void)state;
    engine e;
    engine_with_budget(&e, 1, SMUX_FULL_STALL);
    engine_accepted(&e, 3);
    smux_stream *b = engine_accepted(&e, 5);
    say_pattern(&e, 3, 0, BUDGET - 10000);
    hear(&e);
    engine_drop_events(&e);
    uint64_t offset = 0;
    for (int i = 0; i < 200; i++, offset += 9000) {
        assert_true(smux_session_want_read(e.session));
        say_pattern(&e, 5, offset, 9000);
        hear(&e);
        expect_pattern(&e, b, offset, 9000);
        assert_int_equal(smux_stream_consume(b, 9000), 0);
    }
    engine_drop_events(&e);
    engine_end(&e);
}

static void a_stream_can_be_used_and_read_before_it_is_accepted(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_syn(&e, 3);
    say_psh(&e, 3, "early");
    say_fin(&e, 3);
    hear(&e);
    smux_stream *s = expect_event(&e, SMUX_EVENT_ACCEPT)->event.stream;
    expect_data(&e, s, "early");
    expect_eof(&e, s);
    assert_int_equal(smux_stream_consume(s, 5), 0);
    assert_int_equal(send_text(s, "answer"), 6);
    expect_psh(&e, 3, "answer");
    assert_int_equal(info_of(&e).backlog, 1);
    assert_false(stream_info(s).accepted);
    smux_stream_accept(s);
    assert_int_equal(info_of(&e).backlog, 0);
    assert_true(stream_info(s).accepted);
    smux_stream_accept(s); /* once more does no harm */
    assert_int_equal(info_of(&e).backlog, 0);
    smux_stream_close(s);
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

static void the_walk_over_the_streams_shows_each_once(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    assert_null(smux_session_next_stream(e.session, NULL));
    smux_stream *gone = NULL;
    for (uint32_t i = 0; i < 100; i++) {
        smux_stream *s = engine_accepted(&e, 3 + 2 * i);
        if (i == 50)
            gone = s;
    }
    for (int i = 0; i < 20; i++)
        engine_opened(&e);
    send_text(gone, "still flushing");
    smux_stream_close(gone);
    uint8_t seen_id[256] = {0};
    int count = 0;
    for (smux_stream *s = smux_session_next_stream(e.session, NULL); s;
         s = smux_session_next_stream(e.session, s), count++) {
        uint32_t id = smux_stream_id(s);
        assert_true(id < sizeof(seen_id));
        assert_int_equal(seen_id[id]++, 0);
        assert_int_not_equal(id, 3 + 2 * 50);
    }
    assert_int_equal(count, 119);
    drain(&e);
    e.out.len = 0;
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_events_lie_in_the_buffer_that_was_fed),
        cmocka_unit_test(part_of_a_frame_is_delivered_at_once),
        cmocka_unit_test(feeding_nothing_is_allowed),
        cmocka_unit_test(a_second_feed_before_the_events_are_taken_is_refused),
        cmocka_unit_test(any_function_may_be_called_between_two_events),
        cmocka_unit_test(no_event_comes_for_a_released_stream),
        cmocka_unit_test(the_users_pointer_comes_back_in_events),
        cmocka_unit_test(no_more_can_be_consumed_than_was_delivered),
        cmocka_unit_test(reading_stops_when_the_budget_is_used_up_and_resumes_after_consume),
        cmocka_unit_test(bytes_fed_beyond_the_budget_are_not_lost),
        cmocka_unit_test(the_budget_is_over_all_streams_together),
        cmocka_unit_test(closing_or_resetting_a_stream_returns_its_budget),
        cmocka_unit_test(data_for_a_closed_stream_costs_no_budget),
        cmocka_unit_test(with_full_reset_the_largest_stream_is_reset_and_others_continue),
        cmocka_unit_test(with_full_reset_the_victim_holds_at_least_half_of_the_most),
        cmocka_unit_test(with_full_reset_one_stream_alone_that_floods_is_reset_too),
        cmocka_unit_test(version_1_streams_flow_past_an_unread_one_while_the_budget_lasts),
        cmocka_unit_test(a_stream_can_be_used_and_read_before_it_is_accepted),
        cmocka_unit_test(the_walk_over_the_streams_shows_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
