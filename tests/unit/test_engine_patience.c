/* SPDX-License-Identifier: MIT
 *
 * A full budget where nothing is promised (version 1, plain peers), with full_patience_us: readers
 * that make progress slow the session down, and one that makes none loses its stream in the end.
 */
#include "support_engine.h"

#define BUDGET   102400u
#define LEAST    (BUDGET / 1024u) /* what counts as progress */
#define PATIENCE SECONDS(10)

static void begin(engine *e, int version) {
    engine_prepare(e, SMUX_SERVER, version);
    e->config.max_receive_buffer = BUDGET;
    e->config.on_full = SMUX_FULL_RESET;
    e->config.full_patience_us = PATIENCE;
    engine_start(e);
}

static void say_to(engine *e, smux_stream *stream, size_t len) {
    say_pattern(e, smux_stream_id(stream), 0, len);
    hear(e);
    engine_drop_events(e);
}

static bool is_read(const engine *e) {
    return smux_session_want_read(e->session);
}

/* Looks at all events since the last look. */
static bool was_reset(engine *e, const smux_stream *stream) {
    bool found = false;
    for (seen *s; (s = peek_event(e)); e->event_next++)
        if (s->event.type == SMUX_EVENT_RESET && s->event.stream == stream) {
            assert_int_equal(s->event.error, SMUX_ERR_OVERRUN);
            found = true;
        }
    return found;
}

static void end(engine *e) {
    drain(e);
    e->out.len = 0;
    engine_end(e);
}

static void a_full_budget_stops_reading_and_resets_nobody(void **state) {
    (void)state;
    for (int exactly = 0; exactly < 2; exactly++) {
        engine e;
        begin(&e, 1);
        smux_stream *slow = engine_accepted(&e, 3), *other = engine_accepted(&e, 5);
        say_to(&e, other, 1000);
        say_to(&e, slow, exactly ? BUDGET - 1000 : BUDGET);
        assert_false(is_read(&e));
        pass_time(&e, PATIENCE - 1);
        assert_false(was_reset(&e, slow));
        smux_stream_consume(slow, exactly ? 1 : 1001);
        assert_true(is_read(&e));
        smux_stream_consume(other, 1000);
        end(&e);
    }
}

static void a_reader_that_makes_no_progress_is_reset_when_the_time_is_over(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *slow = engine_accepted(&e, 3), *other = engine_accepted(&e, 5);
    say_to(&e, other, 20000);
    say_to(&e, slow, BUDGET);
    uint64_t due_us = e.now_us + PATIENCE;
    pass_time(&e, PATIENCE - 1);
    smux_stream_consume(other, 10); /* of another stream: no progress of this one */
    smux_stream_consume(slow, LEAST - 1);
    assert_false(is_read(&e));
    assert_true(smux_session_deadline(e.session) <= due_us);
    assert_false(was_reset(&e, slow));
    pass_time(&e, 1);
    assert_true(was_reset(&e, slow));
    assert_true(is_read(&e));
    assert_int_equal(info_of(&e).unread, 19990);
    say_psh(&e, 5, "flows on");
    hear(&e);
    expect_data(&e, other, "flows on");
    end(&e);
}

static void a_reader_that_makes_progress_is_never_reset(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *slow = engine_accepted(&e, 3);
    say_to(&e, slow, BUDGET);
    for (int i = 0; i < 300; i++) {
        pass_time(&e, PATIENCE / 3);
        smux_stream_consume(slow, LEAST);
        assert_true(is_read(&e));
        say_to(&e, slow, LEAST);
        assert_false(is_read(&e));
    }
    assert_false(was_reset(&e, slow));
    assert_true(info_of(&e).unread <= BUDGET);
    end(&e);
}

/* Which would let the other streams of the session move by as little. */
static void a_reader_that_only_drips_is_reset(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *slow = engine_accepted(&e, 3);
    say_to(&e, slow, BUDGET);
    for (int second = 0; second < 10; second++) {
        assert_false(was_reset(&e, slow));
        pass_time(&e, SECONDS(1));
        if (second == 9)
            break;
        smux_stream_consume(slow, 1);
        say_to(&e, slow, 1);
    }
    assert_true(was_reset(&e, slow));
    assert_true(is_read(&e));
    end(&e);
}

static void a_reader_that_pauses_while_there_is_room_for_others_keeps_its_stream(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *paused = engine_accepted(&e, 3), *other = engine_accepted(&e, 5);
    say_to(&e, paused, BUDGET - 1000);
    say_to(&e, other, 1000);
    assert_false(is_read(&e)); /* for a moment */
    smux_stream_consume(other, 1000);
    for (int i = 0; i < 100; i++) {
        pass_time(&e, SECONDS(1));
        say_to(&e, other, 500);
        assert_true(is_read(&e));
        smux_stream_consume(other, 500);
    }
    assert_false(was_reset(&e, paused));
    end(&e);
}

static void who_holds_the_most_after_another_has_gone_gets_the_whole_time(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *first = engine_accepted(&e, 3), *second = engine_accepted(&e, 5);
    say_to(&e, first, 70000);
    say_to(&e, second, BUDGET - 70000);
    assert_false(is_read(&e));
    pass_time(&e, PATIENCE - 1);
    smux_stream_reset(first);
    assert_true(is_read(&e));
    say_to(&e, second, 70000);
    assert_false(is_read(&e));
    pass_time(&e, PATIENCE);
    assert_false(was_reset(&e, second));
    pass_time(&e, PATIENCE);
    assert_true(was_reset(&e, second));
    end(&e);
}

/* Two that hold about the same take turns as the largest: neither hides behind the other. */
static void of_two_that_make_no_progress_each_is_reset_in_its_turn(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *a = engine_accepted(&e, 3), *b = engine_accepted(&e, 5);
    say_to(&e, a, BUDGET / 2);
    say_to(&e, b, BUDGET / 2);
    assert_false(is_read(&e));
    pass_time(&e, PATIENCE);
    smux_stream *rest = was_reset(&e, a) ? b : a;
    assert_true(is_read(&e));
    say_to(&e, rest, BUDGET / 2);
    assert_false(is_read(&e));
    pass_time(&e, PATIENCE);
    assert_true(was_reset(&e, rest));
    end(&e);
}

static void the_silence_of_a_peer_that_is_not_read_does_not_count(void **state) {
    engine e;
    (void)state;
    begin(&e, 1);
    smux_stream *slow = engine_accepted(&e, 3);
    say_nop(&e, 0); /* it keeps alive from now on */
    say_to(&e, slow, BUDGET);
    for (int i = 0; i < 30; i++) {
        pass_time(&e, SECONDS(5));
        smux_stream_consume(slow, LEAST);
        say_to(&e, slow, LEAST);
    }
    assert_int_equal(smux_session_error(e.session), 0);
    end(&e);
}

static void without_patience_the_largest_is_reset_at_once(void **state) {
    engine e;
    (void)state;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.max_receive_buffer = BUDGET;
    e.config.on_full = SMUX_FULL_RESET;
    engine_start(&e);
    smux_stream *slow = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, BUDGET + 1);
    hear(&e);
    assert_true(is_read(&e));
    assert_true(was_reset(&e, slow));
    end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_budget_stops_reading_and_resets_nobody),
        cmocka_unit_test(a_reader_that_makes_no_progress_is_reset_when_the_time_is_over),
        cmocka_unit_test(a_reader_that_makes_progress_is_never_reset),
        cmocka_unit_test(a_reader_that_only_drips_is_reset),
        cmocka_unit_test(a_reader_that_pauses_while_there_is_room_for_others_keeps_its_stream),
        cmocka_unit_test(who_holds_the_most_after_another_has_gone_gets_the_whole_time),
        cmocka_unit_test(of_two_that_make_no_progress_each_is_reset_in_its_turn),
        cmocka_unit_test(the_silence_of_a_peer_that_is_not_read_does_not_count),
        cmocka_unit_test(without_patience_the_largest_is_reset_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
