/* SPDX-License-Identifier: MIT
 *
 * Limits: backlog, streams alive, stream ids, memory of idle streams, hundreds of thousands of
 * streams.
 */
#include "core/engine/engine.h" /* for next_id alone: two thousand million streams take too long */
#include "support_engine.h"

static void streams_beyond_the_backlog_are_refused_and_the_others_wait(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.accept_backlog = 3;
    engine_start(&e);
    smux_stream *waiting[3];
    for (uint32_t i = 0; i < 5; i++)
        say_syn(&e, 3 + 2 * i);
    say_psh(&e, 3 + 2 * 4, "for a refused stream");
    hear(&e);
    for (int i = 0; i < 3; i++)
        waiting[i] = expect_event(&e, SMUX_EVENT_ACCEPT)->event.stream;
    expect_no_event(&e);
    assert_int_equal(info_of(&e).backlog, 3);
    assert_int_equal(info_of(&e).refused, 2);
    assert_int_equal(info_of(&e).streams, 3);
    expect_frame(&e, CMD_FIN, 9);
    expect_frame(&e, CMD_FIN, 11);
    smux_stream_accept(waiting[1]); /* room for one again */
    say_syn(&e, 13);
    say_syn(&e, 15);
    hear(&e);
    assert_int_equal(expect_event(&e, SMUX_EVENT_ACCEPT)->sid, 13);
    expect_no_event(&e);
    expect_frame(&e, CMD_FIN, 15);
    engine_end(&e);
}

static void a_refused_stream_may_be_opened_again(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.accept_backlog = 1;
    engine_start(&e);
    say_syn(&e, 3);
    say_syn(&e, 5);
    hear(&e);
    smux_stream_accept(expect_event(&e, SMUX_EVENT_ACCEPT)->event.stream);
    expect_frame(&e, CMD_FIN, 5);
    engine_accepted(&e, 5);
    engine_end(&e);
}

static void the_streams_that_we_open_do_not_use_up_the_backlog(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.accept_backlog = 1;
    engine_start(&e);
    for (int i = 0; i < 10; i++)
        engine_opened(&e);
    assert_int_equal(info_of(&e).backlog, 0);
    drain(&e);
    e.out.len = 0;
    engine_accepted(&e, 2);
    engine_end(&e);
}

static void at_most_max_streams_exist_whoever_opens_them(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.max_streams = 4;
    engine_start(&e);
    smux_stream *a = engine_accepted(&e, 3), *b = engine_opened(&e);
    engine_accepted(&e, 5);
    engine_opened(&e);
    smux_stream *more = NULL;
    assert_int_equal(smux_stream_open(e.session, &more), SMUX_ERR_STREAM_LIMIT);
    assert_null(more);
    drain(&e);
    e.out.len = 0;
    say_syn(&e, 7);
    hear(&e);
    expect_no_event(&e);
    expect_frame(&e, CMD_FIN, 7);
    assert_int_equal(info_of(&e).refused, 1);
    smux_stream_reset(a);
    smux_stream_reset(b);
    drain(&e);
    e.out.len = 0;
    engine_accepted(&e, 9);
    engine_opened(&e);
    expect_frame(&e, CMD_SYN, 6); /* the id of the stream that was not opened is not lost */
    engine_end(&e);
}

static void when_all_ids_are_used_open_reports_it(void **state) {
    (void)state;
    for (int role = SMUX_CLIENT; role <= SMUX_SERVER; role++) {
        engine e;
        engine_begin(&e, role, 1);
        uint32_t last = role == SMUX_CLIENT ? STREAM_IDS_END - 1 : STREAM_IDS_END - 2;
        e.session->next_id = last - 2;
        assert_int_equal(smux_stream_id(engine_opened(&e)), last - 2);
        assert_int_equal(smux_stream_id(engine_opened(&e)), last);
        smux_stream *more = NULL;
        for (int i = 0; i < 300; i++)
            assert_int_equal(smux_stream_open(e.session, &more), SMUX_ERR_EXHAUSTED);
        assert_null(more);
        expect_frame(&e, CMD_SYN, last - 2);
        expect_frame(&e, CMD_SYN, last);
        assert_int_equal(smux_session_error(e.session), 0); /* what lives goes on */
        engine_end(&e);
    }
}

static void the_peers_last_id_is_accepted(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    engine_accepted(&e, STREAM_IDS_END - 1);
    engine_end(&e);
    engine_begin(&e, SMUX_CLIENT, 1);
    engine_accepted(&e, STREAM_IDS_END - 2);
    engine_end(&e);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static size_t bytes_per_idle_stream(enum smux_role role, int version, bool used) {
    enum { N = 10000 };
    engine e;
    engine_prepare(&e, role, version);
    e.config.accept_backlog = N;
    engine_start(&e);
    size_t before = e.alloc.live_bytes;
    for (uint32_t i = 0; i < N; i++) {
        smux_stream *s = role == SMUX_CLIENT ? engine_opened(&e) : engine_accepted(&e, 3 + 2 * i);
        if (used) { /* data has flowed in both directions, and all is done with */
            uint32_t id = smux_stream_id(s);
            send_text(s, "question");
            say_psh(&e, id, "an answer");
            hear(&e);
            assert_int_equal(smux_stream_consume(s, 9), 0);
            engine_drop_events(&e);
        }
        if (i % 64 == 63) {
            drain(&e);
            e.out.len = 0;
            engine_drop_events(&e);
        }
    }
    drain(&e);
    e.out.len = 0;
    engine_drop_events(&e);
    size_t blocks = e.alloc.live_blocks, bytes = e.alloc.live_bytes - before;
    engine_end(&e);
    return (bytes + 8 * blocks) / N; /* 8: what malloc adds to a block */
}

static void an_idle_stream_costs_at_most_256_bytes(void **state) {
    (void)state;
    for (int role = SMUX_CLIENT; role <= SMUX_SERVER; role++)
        for (int version = 1; version <= 2; version++)
            for (int used = 0; used < 2; used++) {
                size_t cost = bytes_per_idle_stream(role, version, used);
                if (cost > 256)
                    fail_msg("%zu bytes (role %d, version %d, used %d)", cost, role, version, used);
            }
}

static void memory_goes_down_when_streams_go(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    enum { N = 20000 };
    smux_stream **s = calloc(N, sizeof(*s));
    for (int i = 0; i < N; i++)
        s[i] = engine_opened(&e);
    size_t peak = e.alloc.live_bytes;
    drain(&e);
    for (int i = 0; i < N; i++)
        smux_stream_close(s[i]);
    drain(&e);
    e.out.len = 0;
    assert_int_equal(info_of(&e).streams, 0);
    assert_true(e.alloc.live_bytes < peak / 3);
    free(s);
    engine_end(&e);
}

/* ---- Many ----------------------------------------------------------------------------------- */

static void two_hundred_thousand_streams_open_work_and_close(void **state) {
    (void)state;
    enum { N = 200000 };
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.accept_backlog = N;
    engine_start(&e);
    for (uint32_t i = 0; i < N; i++)
        say_syn(&e, 3 + 2 * i);
    hear(&e);
    assert_int_equal(e.event_count, N);
    smux_stream **s = calloc(N, sizeof(*s));
    for (uint32_t i = 0; i < N; i++)
        s[i] = expect_accept(&e, 3 + 2 * i);
    engine_drop_events(&e);
    assert_int_equal(info_of(&e).streams, N);
    for (uint32_t i = 0; i < N; i++) { /* in an order far from that of opening */
        uint32_t k = (uint32_t)((uint64_t)i * 100003 % N);
        say_psh(&e, 3 + 2 * k, "x");
        if (i % 2)
            say_fin(&e, 3 + 2 * k);
    }
    hear(&e);
    assert_int_equal(e.event_count, N + N / 2);
    engine_drop_events(&e);
    for (uint32_t i = 0; i < N; i++)
        smux_stream_close(s[(uint64_t)i * 70001 % N]);
    drain(&e);
    assert_int_equal(e.out.len >= N * FRAME_HEADER, 1);
    e.out.len = 0;
    assert_int_equal(info_of(&e).streams, 0);
    free(s);
    engine_end(&e);
}

static void a_million_streams_one_after_the_other_leave_nothing(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    size_t memory = 0;
    uint8_t fin[FRAME_HEADER] = {1, CMD_FIN};
    for (uint32_t i = 0; i < 1000000; i++) {
        smux_stream *s = engine_opened(&e);
        smux_stream_close(s);
        struct iovec iov[4];
        int count = smux_session_output(e.session, iov, 4, e.now_us);
        smux_session_output_done(e.session, iov_total(iov, count));
        uint32_t id = 3 + 2 * i;
        for (int k = 0; k < 4; k++)
            fin[4 + k] = (uint8_t)(id >> (8 * k));
        assert_int_equal(smux_session_feed(e.session, fin, sizeof(fin), e.now_us), 0);
        smux_event event;
        assert_false(smux_session_next_event(e.session, &event));
        if (i == 1000)
            memory = e.alloc.live_bytes;
    }
    assert_int_equal(e.alloc.live_bytes, memory);
    assert_int_equal(info_of(&e).opened, 1000000);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_beyond_the_backlog_are_refused_and_the_others_wait),
        cmocka_unit_test(a_refused_stream_may_be_opened_again),
        cmocka_unit_test(the_streams_that_we_open_do_not_use_up_the_backlog),
        cmocka_unit_test(at_most_max_streams_exist_whoever_opens_them),
        cmocka_unit_test(when_all_ids_are_used_open_reports_it),
        cmocka_unit_test(the_peers_last_id_is_accepted),
        cmocka_unit_test(an_idle_stream_costs_at_most_256_bytes),
        cmocka_unit_test(memory_goes_down_when_streams_go),
        cmocka_unit_test(two_hundred_thousand_streams_open_work_and_close),
        cmocka_unit_test(a_million_streams_one_after_the_other_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
