/* SPDX-License-Identifier: MIT
 *
 * The bytes on the wire, and how frames without meaning are handled.
 */
#include "support_engine.h"

static void expect_output_bytes(engine *e, const uint8_t *want, size_t len) {
    drain(e);
    assert_int_equal(e->out.len, len);
    assert_memory_equal(e->out.data, want, len);
    e->out.len = 0;
}

static void the_frames_of_a_short_stream_are_these_bytes(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        uint8_t v = (uint8_t)version;
        const uint8_t want[] = {v, 0, 0, 0, 3, 0, 0, 0,           /* SYN 3 */
                                v, 2, 2, 0, 3, 0, 0, 0, 'h', 'i', /* PSH 3 "hi" */
                                v, 1, 0, 0, 3, 0, 0, 0};          /* FIN 3 */
        engine e;
        engine_begin(&e, SMUX_CLIENT, version);
        smux_stream *s = engine_opened(&e);
        assert_int_equal(send_text(s, "hi"), 2);
        smux_stream_close(s);
        expect_output_bytes(&e, want, sizeof(want));
        engine_end(&e);
    }
}

static void lengths_and_ids_are_little_endian(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 0x01020305);
    assert_int_equal(send_pattern(s, 0, 0x0304), 0x0304);
    drain(&e);
    const uint8_t want[] = {1, 2, 0x04, 0x03, 0x05, 0x03, 0x02, 0x01};
    assert_memory_equal(e.out.data, want, sizeof(want));
    e.out.len = 0;
    smux_stream_close(s);
    expect_frame(&e, CMD_FIN, 0x01020305);
    engine_end(&e);
}

static void a_nop_keepalive_is_these_bytes(void **state) {
    (void)state;
    const uint8_t want[] = {2, 3, 0, 0, 0, 0, 0, 0};
    engine e;
    engine_begin(&e, SMUX_CLIENT, 2);
    pass_time(&e, SECONDS(10));
    expect_output_bytes(&e, want, sizeof(want));
    engine_end(&e);
}

static void an_upd_is_these_bytes(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.auto_window = false;
    e.config.max_stream_buffer = 0x00020304;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3);
    say_pattern(&e, 3, 0, 0x00020304);
    hear(&e);
    expect_pattern(&e, s, 0, 0x00020304);
    assert_int_equal(smux_stream_consume(s, 0x00020304), 0);
    const uint8_t want[] = {2,    4,    8,    0, 3,    0,    0,    0, /* UPD 3, 8 bytes */
                            0x04, 0x03, 0x02, 0, 0x04, 0x03, 0x02, 0};
    expect_output_bytes(&e, want, sizeof(want));
    smux_stream_close(s);
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

static void a_client_opens_with_the_ids_3_5_7_and_a_server_with_2_4_6(void **state) {
    (void)state;
    for (int role = SMUX_CLIENT; role <= SMUX_SERVER; role++) {
        uint32_t first = role == SMUX_CLIENT ? 3 : 2;
        engine e;
        engine_begin(&e, role, 1);
        for (uint32_t i = 0; i < 5; i++)
            assert_int_equal(smux_stream_id(engine_opened(&e)), first + 2 * i);
        for (uint32_t i = 0; i < 5; i++)
            expect_frame(&e, CMD_SYN, first + 2 * i);
        engine_end(&e);
    }
}

static void data_is_cut_into_frames_of_at_most_max_frame_size(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 2, 7, 1000, 32768, 65535};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        engine e;
        engine_prepare(&e, SMUX_CLIENT, 1);
        e.config.max_frame_size = sizes[i];
        engine_start(&e);
        smux_stream *s = engine_opened(&e);
        size_t total = sizes[i] * 2 + 1, got = 0;
        assert_int_equal(send_pattern(s, 0, total), total);
        expect_frame(&e, CMD_SYN, 3);
        while (got < total) {
            frame f = expect_frame(&e, CMD_PSH, 3);
            assert_in_range(f.len, 1, sizes[i]);
            for (uint32_t k = 0; k < f.len; k++)
                assert_int_equal(f.payload[k], pattern(3, 1, got + k));
            got += f.len;
        }
        assert_int_equal(got, total);
        smux_stream_reset(s);
        expect_frame(&e, CMD_FIN, 3);
        engine_end(&e);
    }
}

static void bulk_data_is_sent_in_full_frames(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    /* many small writes make few frames */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(send_pattern(s, (uint64_t)i * 200, 200), 200);
    expect_frame(&e, CMD_SYN, 3);
    int frames = 0;
    for (size_t got = 0; got < 200000; frames++)
        got += expect_frame(&e, CMD_PSH, 3).len;
    assert_true(frames <= 8); /* 200000 / 32768, and one more for a cut at a block's end */
    engine_end(&e);
}

static void an_empty_send_sends_nothing(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    expect_frame(&e, CMD_SYN, 3);
    assert_int_equal(smux_stream_send(s, "", 0), 0);
    assert_int_equal(smux_stream_send(s, NULL, 0), 0);
    assert_int_equal(smux_stream_sendv(s, NULL, 0), 0);
    struct iovec empty[3] = {{NULL, 0}, {"", 0}, {NULL, 0}};
    assert_int_equal(smux_stream_sendv(s, empty, 3), 0);
    expect_silence(&e);
    expect_no_event(&e);
    engine_end(&e);
}

static void a_gathered_send_is_its_pieces_in_order(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    struct iovec iov[4] = {{"one", 3}, {NULL, 0}, {" two", 4}, {" three", 6}};
    assert_int_equal(smux_stream_sendv(s, iov, 4), 13);
    expect_frame(&e, CMD_SYN, 3);
    expect_psh(&e, 3, "one two three");
    engine_end(&e);
}

static void a_payload_of_65535_is_accepted_whatever_our_own_frame_size(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        engine_prepare(&e, SMUX_SERVER, version);
        e.config.max_frame_size = 100;
        engine_start(&e);
        smux_stream *s = engine_accepted(&e, 3);
        put_pattern(&e.said, version, 3, 0, 65535, 65535);
        hear(&e);
        expect_pattern(&e, s, 0, 65535);
        engine_end(&e);
    }
}

static void an_empty_psh_is_ignored(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "");
    hear(&e);
    expect_no_event(&e);
    assert_int_equal(info_of(&e).frames_ignored, 1);
    say_psh(&e, 3, "x");
    hear(&e);
    expect_data(&e, s, "x");
    engine_end(&e);
}

static void frames_for_unknown_streams_are_ignored(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    say_fin(&e, 99);
    say_psh(&e, 99, "for nobody");
    say_upd(&e, 99, 5, 65536);
    say_psh(&e, 4, "for a stream of ours that never was");
    hear(&e);
    expect_no_event(&e);
    assert_int_equal(info_of(&e).frames_ignored, 4);
    assert_int_equal(info_of(&e).streams, 0);
    assert_int_equal(info_of(&e).unread, 0);
    engine_accepted(&e, 3); /* the session goes on */
    engine_end(&e);
}

static void data_for_a_stream_that_is_gone_is_ignored(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        engine_begin(&e, SMUX_SERVER, version);
        smux_stream *s = engine_accepted(&e, 3);
        say_fin(&e, 3);
        hear(&e);
        expect_eof(&e, s);
        smux_stream_close(s);
        expect_frame(&e, CMD_FIN, 3);
        assert_int_equal(info_of(&e).streams, 0);
        say_pattern(&e, 3, 0, 100000);
        say_fin(&e, 3);
        hear(&e);
        expect_no_event(&e);
        assert_int_equal(info_of(&e).unread, 0);
        engine_end(&e);
    }
}

static void a_repeated_syn_is_ignored(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "before");
    say_syn(&e, 3);
    say_psh(&e, 3, "after");
    hear(&e);
    expect_data(&e, s, "beforeafter");
    expect_no_event(&e);
    assert_int_equal(info_of(&e).frames_ignored, 1);
    assert_int_equal(info_of(&e).accepted, 1);
    engine_end(&e);
}

static void a_nop_is_accepted_with_any_stream_id(void **state) {
    (void)state;
    static const uint32_t ids[] = {
        0,          1,          3,         7, FIN_HELLO, NOP_GOAWAY, NOP_PING + 3, NOP_PONG + 3,
        0x80000000, 0xFFFFFFFF, 0xFFFFFF77};
    engine e;
    engine_begin(&e, SMUX_SERVER, 1); /* extensions off */
    smux_stream *s = engine_accepted(&e, 3);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        say_nop(&e, ids[i]);
    hear(&e);
    expect_no_event(&e);
    expect_silence(&e);
    say_nop(&e, 3); /* no reset without extensions: an ordinary end */
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    engine_end(&e);
}

static void an_id_can_be_used_again_once_its_stream_is_gone(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    for (int round = 0; round < 3; round++) {
        smux_stream *s = engine_accepted(&e, 3);
        say_psh(&e, 3, "x");
        say_fin(&e, 3);
        hear(&e);
        expect_data(&e, s, "x");
        expect_eof(&e, s);
        smux_stream_close(s);
        expect_frame(&e, CMD_FIN, 3);
    }
    assert_int_equal(info_of(&e).accepted, 3);
    engine_end(&e);
}

static void a_server_adopts_the_version_of_the_first_frame(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        engine e;
        engine_prepare(&e, SMUX_SERVER, SMUX_VERSION_AUTO);
        engine_start(&e);
        assert_int_equal(info_of(&e).version, 0);
        e.version = version;
        smux_stream *s = engine_accepted(&e, 3);
        assert_int_equal(info_of(&e).version, version);
        send_text(s, "x");
        expect_psh(&e, 3, "x"); /* checks the version too */
        engine_end(&e);
    }
}

static void a_nop_may_be_the_first_frame(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, SMUX_VERSION_AUTO);
    engine_start(&e);
    e.version = 2;
    say_nop(&e, 0);
    hear(&e);
    assert_int_equal(info_of(&e).version, 2);
    engine_end(&e);
}

static void a_server_that_knows_no_version_yet_sends_nothing(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, SMUX_VERSION_AUTO);
    e.config.extensions = true;
    engine_start(&e);
    smux_stream *s = engine_opened(&e);
    assert_int_equal(send_text(s, "early"), 5);
    smux_session_ping(e.session);
    pass_time(&e, SECONDS(25));
    expect_silence(&e);
    e.version = 2;
    say_syn(&e, 3);
    hear(&e);
    expect_accept(&e, 3);
    frame f = next_frame(&e);
    while (f.cmd == CMD_NOP && f.version == 2)
        f = next_frame(&e);
    assert_int_equal(f.cmd, CMD_SYN);
    assert_int_equal(f.version, 2);
    assert_int_equal(f.sid, 2);
    expect_psh(&e, 2, "early");
    engine_end(&e);
}

static void a_server_that_has_adopted_a_version_rejects_the_other(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, SMUX_VERSION_AUTO);
    engine_start(&e);
    e.version = 2;
    say_nop(&e, 0);
    e.version = 1;
    say_nop(&e, 0);
    hear(&e);
    expect_failed(&e, SMUX_ERR_VERSION);
    engine_end(&e);
}

static void four_iovecs_are_enough_for_everything(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    for (int i = 0; i < 6; i++)
        send_pattern(engine_opened(&e), 0, 50000);
    struct iovec iov[4];
    int count;
    while ((count = smux_session_output(e.session, iov, 4, e.now_us)) > 0) {
        assert_true(count <= 4);
        for (int i = 0; i < count; i++)
            bytes_add(&e.out, iov[i].iov_base, iov[i].iov_len);
        smux_session_output_done(e.session, iov_total(iov, count));
    }
    size_t got[6] = {0};
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
        uint32_t i = (f.sid - 3) / 2;
        for (uint32_t k = 0; k < f.len; k++)
            assert_int_equal(f.payload[k], pattern(f.sid, 1, got[i] + k));
        got[i] += f.len;
    }
    for (int i = 0; i < 6; i++)
        assert_int_equal(got[i], 50000);
    engine_end(&e);
}

static void fewer_than_four_iovecs_are_an_error(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    engine_opened(&e);
    struct iovec iov[4];
    for (int max = -1; max < 4; max++) /* not 0, which would be a busy loop */
        assert_int_equal(smux_session_output(e.session, iov, max, e.now_us), SMUX_ERR_ARGUMENT);
    expect_frame(&e, CMD_SYN, 3);
    engine_end(&e);
}

static void a_second_output_without_sent_begins_again(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    send_text(s, "once");
    struct iovec iov[4];
    for (int i = 0; i < 3; i++)
        assert_true(smux_session_output(e.session, iov, 4, e.now_us) > 0);
    smux_session_output_done(e.session, 0);
    expect_frame(&e, CMD_SYN, 3);
    expect_psh(&e, 3, "once");
    engine_end(&e);
}

static void counters_count_frames_and_payload(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "12345");
    say_fin(&e, 3);
    e.now_us += 777;
    hear(&e);
    expect_data(&e, s, "12345");
    expect_eof(&e, s);
    send_text(s, "123");
    smux_stream *own = engine_opened(&e);
    drain(&e);
    e.out.len = 0;
    smux_session_info info = info_of(&e);
    assert_int_equal(info.frames_in, 3);
    assert_int_equal(info.frames_out, 2);
    assert_int_equal(info.bytes_in, 5);
    assert_int_equal(info.bytes_out, 3);
    assert_int_equal(info.unread, 5);
    assert_int_equal(info.queued, 0);
    assert_int_equal(info.opened, 1);
    assert_int_equal(info.accepted, 1);
    assert_int_equal(info.streams, 2);
    assert_int_equal(info.last_received_us, e.now_us);
    assert_int_equal(stream_info(s).bytes_in, 5);
    assert_int_equal(stream_info(s).bytes_out, 3);
    assert_int_equal(stream_info(s).unread, 5);
    assert_true(stream_info(s).read_closed);
    assert_false(stream_info(s).write_closed);
    assert_false(stream_info(s).local);
    assert_true(stream_info(own).local);
    assert_int_equal(stream_info(own).id, 2);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_frames_of_a_short_stream_are_these_bytes),
        cmocka_unit_test(lengths_and_ids_are_little_endian),
        cmocka_unit_test(a_nop_keepalive_is_these_bytes),
        cmocka_unit_test(an_upd_is_these_bytes),
        cmocka_unit_test(a_client_opens_with_the_ids_3_5_7_and_a_server_with_2_4_6),
        cmocka_unit_test(data_is_cut_into_frames_of_at_most_max_frame_size),
        cmocka_unit_test(bulk_data_is_sent_in_full_frames),
        cmocka_unit_test(an_empty_send_sends_nothing),
        cmocka_unit_test(a_gathered_send_is_its_pieces_in_order),
        cmocka_unit_test(a_payload_of_65535_is_accepted_whatever_our_own_frame_size),
        cmocka_unit_test(an_empty_psh_is_ignored),
        cmocka_unit_test(frames_for_unknown_streams_are_ignored),
        cmocka_unit_test(data_for_a_stream_that_is_gone_is_ignored),
        cmocka_unit_test(a_repeated_syn_is_ignored),
        cmocka_unit_test(a_nop_is_accepted_with_any_stream_id),
        cmocka_unit_test(an_id_can_be_used_again_once_its_stream_is_gone),
        cmocka_unit_test(a_server_adopts_the_version_of_the_first_frame),
        cmocka_unit_test(a_nop_may_be_the_first_frame),
        cmocka_unit_test(a_server_that_knows_no_version_yet_sends_nothing),
        cmocka_unit_test(a_server_that_has_adopted_a_version_rejects_the_other),
        cmocka_unit_test(four_iovecs_are_enough_for_everything),
        cmocka_unit_test(fewer_than_four_iovecs_are_an_error),
        cmocka_unit_test(a_second_output_without_sent_begins_again),
        cmocka_unit_test(counters_count_frames_and_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
