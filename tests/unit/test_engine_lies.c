/* SPDX-License-Identifier: MIT
 *
 * Malicious peers: each violation gets its own error and text, and never causes a crash, a leak or
 * unbounded memory.
 */
#include "support_engine.h"

/* The session ends with this error, and the text contains the offending value. */
static void expect_end(engine *e, int error, const char *particular) {
    hear(e);
    expect_failed(e, error);
    const char *text = smux_session_error_text(e->session);
    assert_non_null(strstr(text, smux_strerror(error)));
    if (particular && !strstr(text, particular))
        fail_msg("\"%s\" does not say \"%s\"", text, particular);
    assert_int_equal(feed(e, "more", 4), error);
    engine_end(e);
}

static void a_wrong_version_ends_the_session(void **state) {
    (void)state;
    static const int wrong[] = {0, 2, 3, 7, 255};
    for (int i = 0; i < 5; i++) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        put_header(&e.said, wrong[i], CMD_SYN, 0, 3);
        char text[8];
        snprintf(text, sizeof(text), "%d", wrong[i]);
        expect_end(&e, SMUX_ERR_VERSION, text);
    }
}

static void a_wrong_version_as_first_frame_ends_a_session_that_would_adopt(void **state) {
    (void)state;
    static const int wrong[] = {0, 3, 'G', 0x16}; /* HTTP and TLS among them */
    for (int i = 0; i < 4; i++) {
        engine e;
        engine_prepare(&e, SMUX_SERVER, SMUX_VERSION_AUTO);
        engine_start(&e);
        put_header(&e.said, wrong[i], CMD_SYN, 0, 3);
        expect_end(&e, SMUX_ERR_VERSION, NULL);
    }
}

static void an_unknown_command_ends_the_session(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++)
        for (int cmd = version == 1 ? 4 : 5; cmd < 256; cmd++) {
            engine e;
            engine_begin(&e, SMUX_SERVER, version);
            put_header(&e.said, version, cmd, 0, 3);
            char text[8];
            snprintf(text, sizeof(text), "%d", cmd);
            expect_end(&e, SMUX_ERR_COMMAND, text);
        }
}

static void upd_in_version_1_ends_the_session(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_upd(&e, 3, 0, 65536);
    expect_end(&e, SMUX_ERR_COMMAND, "4");
}

static void a_length_that_the_command_does_not_have_ends_the_session(void **state) {
    (void)state;
    static const unsigned upd[] = {0, 1, 7, 9, 16, 65535}, none[] = {1, 8, 65535};
    for (int cmd = CMD_SYN; cmd <= CMD_UPD; cmd++) {
        if (cmd == CMD_PSH)
            continue;
        const unsigned *wrong = cmd == CMD_UPD ? upd : none;
        for (int i = 0; i < (cmd == CMD_UPD ? 6 : 3); i++) {
            engine e;
            engine_begin(&e, SMUX_SERVER, 2);
            engine_accepted(&e, 3);
            put_header(&e.said, 2, cmd, wrong[i], cmd == CMD_SYN ? 5 : 3);
            char text[8];
            snprintf(text, sizeof(text), "%u", wrong[i]);
            expect_end(&e, SMUX_ERR_LENGTH, text);
        }
    }
}

static void the_error_comes_before_the_payload_of_a_wrong_length(void **state) {
    (void)state;
    engine e; /* nothing waits for 65535 bytes that are not meant */
    engine_begin(&e, SMUX_SERVER, 1);
    put_header(&e.said, 1, CMD_NOP, 65535, 0);
    expect_end(&e, SMUX_ERR_LENGTH, NULL);
}

static void a_syn_with_our_own_parity_or_0_or_a_reserved_id_ends_the_session(void **state) {
    (void)state;
    static const struct {
        enum smux_role role;
        uint32_t id;
    } wrong[] = {{SMUX_SERVER, 2},
                 {SMUX_SERVER, 4},
                 {SMUX_SERVER, 0},
                 {SMUX_CLIENT, 3},
                 {SMUX_CLIENT, 0},
                 {SMUX_SERVER, STREAM_IDS_END + 1},
                 {SMUX_CLIENT, STREAM_IDS_END},
                 {SMUX_SERVER, 0xFFFFFFFF}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        engine e;
        engine_begin(&e, wrong[i].role, 1);
        say_syn(&e, wrong[i].id);
        expect_end(&e, SMUX_ERR_STREAM_ID, NULL);
    }
}

static void data_before_the_violation_is_delivered(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    say_syn(&e, 3);
    say_psh(&e, 3, "true");
    put_header(&e.said, 1, 77, 0, 3);
    say_psh(&e, 3, "never seen");
    hear(&e);
    smux_stream *s = expect_accept(&e, 3);
    expect_data(&e, s, "true");
    expect_failed(&e, SMUX_ERR_COMMAND);
    assert_int_equal(stream_info(s).error, SMUX_ERR_COMMAND);
    engine_end(&e);
}

static void a_failed_session_leaves_every_stream_with_the_error(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s[10];
    for (uint32_t i = 0; i < 10; i++)
        s[i] = engine_accepted(&e, 3 + 2 * i);
    put_header(&e.said, 9, 0, 0, 0);
    hear(&e);
    expect_failed(&e, SMUX_ERR_VERSION);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(stream_info(s[i]).error, SMUX_ERR_VERSION);
        assert_int_equal(send_text(s[i], "x"), SMUX_ERR_VERSION);
        if (i % 2)
            smux_stream_close(s[i]);
        else
            smux_stream_reset(s[i]);
    }
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

/* ---- Floods --------------------------------------------------------------------------------- */

static void a_window_overrun_hits_its_stream_and_not_the_session(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_stream *liar = engine_accepted(&e, 3), *honest = engine_accepted(&e, 5);
    for (int i = 0; i < 20; i++) {
        say_pattern(&e, 3, 0, 100000);
        say_psh(&e, 5, "x");
        hear(&e);
    }
    size_t good = 0, taken = 0;
    bool reset = false;
    for (seen *v; (v = peek_event(&e)); e.event_next++) {
        if (v->event.type == SMUX_EVENT_RESET) {
            assert_ptr_equal(v->event.stream, liar);
            assert_int_equal(v->event.error, SMUX_ERR_WINDOW);
            reset = true;
        } else if (v->event.stream == honest) {
            good++;
        } else {
            assert_false(reset);
            taken += v->data.len;
        }
    }
    assert_true(reset);
    assert_in_range(taken, 1, INITIAL_WINDOW);
    assert_int_equal(good, 20);
    assert_int_equal(smux_session_error(e.session), 0);
    drain(&e);
    e.out.len = 0;
    engine_end(&e);
}

static void a_syn_flood_is_bounded_by_the_backlog_and_its_answers_by_a_flood_error(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.accept_backlog = 100;
    engine_start(&e);
    uint32_t id = 3, accepted = 0, sent = 0;
    while (!smux_session_error(e.session) && sent < 10000000) { /* and never reads an answer */
        for (int i = 0; i < 1000; i++, id += 2, sent++)
            say_syn(&e, id);
        hear(&e);
        for (seen *v; (v = peek_event(&e)); e.event_next++)
            accepted += v->event.type == SMUX_EVENT_ACCEPT;
        engine_drop_events(&e);
        assert_true(e.alloc.live_bytes < 4 << 20);
    }
    assert_int_equal(accepted, 100);
    assert_int_equal(smux_session_error(e.session), SMUX_ERR_FLOOD);
    engine_end_anyhow(&e);
}

static void a_syn_flood_whose_answers_are_read_is_not_limited(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.accept_backlog = 10;
    engine_start(&e);
    uint32_t id = 3;
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 1000; i++, id += 2)
            say_syn(&e, id);
        hear(&e);
        engine_drop_events(&e);
        int fins = 0;
        for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
            fins += f.cmd == CMD_FIN;
        assert_int_equal(fins, round ? 1000 : 990);
    }
    assert_int_equal(info_of(&e).refused, 299990);
    assert_true(e.alloc.live_bytes < 1 << 20);
    engine_end(&e);
}

static void floods_of_ends_nops_and_updates_cost_no_memory(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    engine_accepted(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    engine_drop_events(&e);
    size_t memory = e.alloc.live_bytes, calls = e.alloc.calls;
    for (uint32_t i = 0; i < 50000; i++) {
        say_fin(&e, i % 2 ? 3 : 1000 + i);
        say_nop(&e, i);
        say_upd(&e, i % 2 ? 3 : 5000 + i, 0, i);
        say_psh(&e, 70001, "x");
    }
    hear(&e);
    expect_no_event(&e);
    expect_silence(&e);
    assert_int_equal(e.alloc.live_bytes, memory);
    assert_int_equal(e.alloc.calls, calls);
    engine_end(&e);
}

static void a_hundred_thousand_streams_opened_and_ended_at_once_leave_nothing(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    size_t memory = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        say_syn(&e, 3 + 2 * i);
        say_psh(&e, 3 + 2 * i, "x");
        say_fin(&e, 3 + 2 * i);
        hear(&e);
        smux_stream *s = expect_accept(&e, 3 + 2 * i);
        engine_drop_events(&e);
        smux_stream_close(s);
        if (i % 100 == 99) {
            drain(&e);
            e.out.len = 0;
            engine_drop_events(&e);
        }
        if (i == 999)
            memory = e.alloc.live_bytes;
    }
    assert_int_equal(e.alloc.live_bytes, memory);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

/* The budget holds for both versions and any number of streams: the engine's own memory does not
 * grow with what a peer sends. */
static void the_engine_keeps_no_memory_for_what_it_delivers(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    engine_accepted(&e, 3);
    size_t memory = e.alloc.live_bytes;
    for (int i = 0; i < 40; i++) {
        say_pattern(&e, 3, 0, 100000);
        hear(&e);
    }
    assert_true(e.alloc.live_bytes <= memory + 1024);
    engine_end_anyhow(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_version_ends_the_session),
        cmocka_unit_test(a_wrong_version_as_first_frame_ends_a_session_that_would_adopt),
        cmocka_unit_test(an_unknown_command_ends_the_session),
        cmocka_unit_test(upd_in_version_1_ends_the_session),
        cmocka_unit_test(a_length_that_the_command_does_not_have_ends_the_session),
        cmocka_unit_test(the_error_comes_before_the_payload_of_a_wrong_length),
        cmocka_unit_test(a_syn_with_our_own_parity_or_0_or_a_reserved_id_ends_the_session),
        cmocka_unit_test(data_before_the_violation_is_delivered),
        cmocka_unit_test(a_failed_session_leaves_every_stream_with_the_error),
        cmocka_unit_test(a_window_overrun_hits_its_stream_and_not_the_session),
        cmocka_unit_test(a_syn_flood_is_bounded_by_the_backlog_and_its_answers_by_a_flood_error),
        cmocka_unit_test(a_syn_flood_whose_answers_are_read_is_not_limited),
        cmocka_unit_test(floods_of_ends_nops_and_updates_cost_no_memory),
        cmocka_unit_test(a_hundred_thousand_streams_opened_and_ended_at_once_leave_nothing),
        cmocka_unit_test(the_engine_keeps_no_memory_for_what_it_delivers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
