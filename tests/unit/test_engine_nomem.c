/* SPDX-License-Identifier: MIT
 *
 * One scenario that uses everything, run again and again with the first, second, third ...
 * allocation failing: each call either works or returns SMUX_ERR_NOMEM, nothing is lost, leaked or
 * broken, and the session can be used afterwards.
 */
#include "support_engine.h"

/* Sends until everything has been accepted, whatever fails meanwhile. */
static void send_all(engine *e, smux_stream *s, uint64_t offset, size_t len) {
    for (int patience = 0; len; patience++) {
        assert_true(patience < 1000);
        ssize_t n = send_pattern(s, offset, len);
        if (n < 0)
            assert_int_equal(n, SMUX_ERR_NOMEM);
        else
            offset += (uint64_t)n, len -= (size_t)n;
        drain(e);
    }
}

/* Opens a stream, repeatedly if memory is lacking. */
static smux_stream *open_at_last(engine *e) {
    smux_stream *s = NULL;
    int error;
    while ((error = smux_stream_open(e->session, &s))) {
        assert_int_equal(error, SMUX_ERR_NOMEM);
        assert_null(s);
    }
    return s;
}

/* The engine has sent the stream's pattern of that length, and FIN. */
static void expect_sent_pattern(engine *e, uint32_t sid, size_t len, bool fin) {
    size_t got = 0;
    bool ended = false;
    bytes out = e->out;
    frame f;
    for (size_t at = 0, size; (size = frame_parse(out.data + at, out.len - at, &f)); at += size) {
        if (f.sid != sid)
            continue;
        assert_true(!ended || f.cmd == CMD_NOP); /* CLOSED */
        ended = ended || f.cmd == CMD_FIN;
        if (f.cmd != CMD_PSH)
            continue;
        assert_int_equal(pattern_differs(f.payload, f.len, sid, 1, got), f.len);
        got += f.len;
    }
    assert_int_equal(got, len);
    assert_int_equal(ended, fin);
}

static void open_and_send(engine *e) {
    smux_stream *s = open_at_last(e), *t = open_at_last(e);
    uint32_t id = smux_stream_id(s), other = smux_stream_id(t);
    send_all(e, s, 0, 10000);
    uint8_t *data = malloc(5000);
    pattern_fill(data, 5000, id, 1, 10000);
    smux_sendbuf lent = {.data = data, .len = 5000};
    assert_int_equal(smux_stream_send_borrowed(s, &lent), 0); /* needs no memory */
    drain_some(e, 3000);
    size_t left;
    int error = smux_session_send_cancel(e->session, &lent, &left);
    if (error) {
        assert_int_equal(error, SMUX_ERR_NOMEM);
        left = 0;
        drain(e);
        assert_ptr_equal(expect_event(e, SMUX_EVENT_RETURNED)->event.buffer, &lent);
    }
    size_t sent = 15000 - left;
    free(data);
    send_all(e, s, sent, 100);
    send_all(e, t, 0, 1000);
    smux_stream_close(s);
    smux_stream_reset(t);
    drain(e);
    expect_sent_pattern(e, id, sent + 100, true);
    expect_sent_pattern(e, other, 1000, true);
    e->out.len = 0;
}

/* The peer opens ten streams; those for which there was no memory are refused, the others work. */
static void accept_and_receive(engine *e) {
    uint64_t refused = info_of(e).refused;
    for (uint32_t i = 0; i < 10; i++) {
        say_syn(e, 3 + 2 * i);
        say_psh(e, 3 + 2 * i, "hello");
        say_fin(e, 3 + 2 * i);
    }
    hear(e);
    uint64_t accepted = 0;
    smux_stream *s = NULL;
    for (seen *v; (v = peek_event(e)); e->event_next++)
        if (v->event.type == SMUX_EVENT_ACCEPT) {
            s = v->event.stream;
            smux_stream_accept(s);
            accepted++;
        } else if (v->event.type == SMUX_EVENT_DATA) {
            assert_ptr_equal(v->event.stream, s);
            assert_int_equal(v->data.len, 5);
            assert_int_equal(smux_stream_consume(s, 5), 0);
        } else {
            assert_int_equal(v->event.type, SMUX_EVENT_EOF);
            smux_stream_close(s);
        }
    engine_drop_events(e);
    assert_int_equal(accepted + info_of(e).refused - refused, 10);
    drain(e);
    e->out.len = 0;
    assert_int_equal(info_of(e).streams, 0);
}

static void grow_and_shrink_the_table(engine *e) {
    smux_stream *s[200];
    for (int i = 0; i < 200; i++)
        s[i] = open_at_last(e);
    drain(e);
    for (int i = 0; i < 200; i++)
        smux_stream_close(s[i]);
    drain(e);
    e->out.len = 0;
}

static void scenario(engine *e) {
    open_and_send(e);
    accept_and_receive(e);
    grow_and_shrink_the_table(e);
    smux_session_ping(e->session);
    pass_time(e, SECONDS(25));
    open_and_send(e);
    drain(e);
    e->out.len = 0;
    assert_int_equal(info_of(e).streams, 0);
    assert_int_equal(info_of(e).queued, 0);
    assert_int_equal(info_of(e).unread, 0);
    assert_int_equal(smux_session_error(e->session), 0);
}

/* Returns whether an allocation failed. */
static bool run_failing(int version, bool extensions, size_t at, size_t count) {
    engine e;
    engine_prepare(&e, SMUX_SERVER, version);
    e.config.extensions = extensions;
    e.alloc.fail_at = at;
    e.alloc.fail_count = count;
    int error = smux_session_new(&e.session, e.role, &e.config, &e.allocator, e.now_us);
    if (error) {
        assert_int_equal(error, SMUX_ERR_NOMEM);
        assert_null(e.session);
        assert_int_equal(e.alloc.live_blocks, 0);
        return true;
    }
    if (extensions) {
        say_fin(&e, FIN_HELLO);
        hear(&e);
        expect_event(&e, SMUX_EVENT_HELLO);
    }
    scenario(&e);
    bool failed = e.alloc.failures > 0;
    engine_end_anyhow(&e);
    return failed;
}

static void every_single_allocation_may_fail(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        size_t at = 1;
        while (run_failing(version, version == 2, at, 1))
            at++;
        assert_true(at > 10); /* the scenario does allocate */
    }
}

static void several_allocations_in_a_row_may_fail(void **state) {
    (void)state;
    for (size_t count = 2; count <= 7; count++)
        for (size_t at = 1; run_failing(2, true, at, count);)
            at++;
}

static void without_memory_calls_that_need_none_still_work(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3), *t = engine_accepted(&e, 5);
    drain(&e);
    e.out.len = 0;
    e.alloc.fail_at = e.alloc.calls + 1;
    e.alloc.fail_count = SIZE_MAX / 2;
    smux_stream *more = NULL;
    assert_int_equal(smux_stream_open(e.session, &more), SMUX_ERR_NOMEM);
    say_syn(&e, 7); /* refused; the peer may not even be told */
    hear(&e);
    assert_int_equal(info_of(&e).refused, 1);
    assert_int_equal(send_text(s, "x"), SMUX_ERR_NOMEM);
    smux_sendbuf lent = {.data = (const uint8_t *)"lent", .len = 4};
    assert_int_equal(smux_stream_send_borrowed(s, &lent), 0);
    expect_psh(&e, 3, "lent");
    expect_event(&e, SMUX_EVENT_RETURNED);
    say_pattern(&e, 3, 0, 200000);
    hear(&e);
    expect_pattern(&e, s, 0, 200000);
    assert_int_equal(smux_stream_consume(s, 200000), 0);
    expect_frame(&e, CMD_UPD, 3);
    pass_time(&e, SECONDS(10));
    expect_frame(&e, CMD_NOP, 0);
    assert_int_equal(smux_stream_close_write(s), 0);
    expect_frame(&e, CMD_FIN, 3);
    smux_stream_reset(t);
    expect_frame(&e, CMD_FIN, 5);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    smux_stream_close(s);
    assert_int_equal(info_of(&e).streams, 0);
    e.alloc.fail_at = 0;
    drain(&e);
    e.out.len = 0;
    engine_accepted(&e, 9); /* and with memory it is as before */
    send_text(engine_opened(&e), "y");
    expect_frame(&e, CMD_SYN, 2);
    expect_psh(&e, 2, "y");
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_single_allocation_may_fail),
        cmocka_unit_test(several_allocations_in_a_row_may_fail),
        cmocka_unit_test(without_memory_calls_that_need_none_still_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
