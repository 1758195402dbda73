/* SPDX-License-Identifier: MIT
 *
 * Buffers lent to the engine: sent in order without a copy, returned exactly once, cancelled
 * early.
 */
#include "support_engine.h"

/* A lent buffer whose bytes end where readable memory ends (heap; sanitizers watch the edges). */
typedef struct loan {
    smux_sendbuf buffer;
    uint8_t *data;
} loan;

static void lend(loan *l, smux_stream *s, uint64_t offset, size_t len) {
    l->data = malloc(len);
    pattern_fill(l->data, len, smux_stream_id(s), 1, offset);
    l->buffer = (smux_sendbuf){.data = l->data, .len = len};
    assert_int_equal(smux_stream_send_borrowed(s, &l->buffer), 0);
}

static void expect_back(engine *e, loan *l, smux_stream *s, int error) {
    seen *v = expect_event(e, SMUX_EVENT_RETURNED);
    assert_ptr_equal(v->event.buffer, &l->buffer);
    assert_ptr_equal(v->event.stream, s);
    assert_string_equal(smux_error_name(v->event.error), smux_error_name(error));
    memset(l->data, 0xDD, l->buffer.len);
    free(l->data);
    memset(&l->buffer, 0xDD, sizeof(l->buffer));
}

static void expect_payload(engine *e, uint32_t sid, uint64_t offset, size_t len) {
    while (len) {
        frame f = expect_frame(e, CMD_PSH, sid);
        assert_true(f.len <= len);
        for (uint32_t k = 0; k < f.len; k++)
            assert_int_equal(f.payload[k], pattern(sid, 1, offset + k));
        offset += f.len;
        len -= f.len;
    }
}

/* The event once looked up its stream by the id, which the peer had meanwhile reused. */
static void a_buffer_of_a_closed_stream_is_not_reported_for_a_new_stream(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.extensions = true;
    engine_start(&e);
    say_fin(&e, FIN_HELLO);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, INITIAL_WINDOW + 1);
    drain(&e);
    smux_stream_close(s);
    say_nop(&e, 3);
    say_fin(&e, 3); /* a reset */
    say_syn(&e, 3);
    hear(&e);
    expect_back(&e, &l, NULL, SMUX_ERR_PEER_RESET);
    expect_accept(&e, 3);
    e.out.len = 0;
    engine_end_anyhow(&e);
}

static void a_lent_buffer_is_returned_when_all_of_it_has_been_sent(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, 100000);
    assert_int_equal(stream_info(s).queued, 100000);
    size_t total = 100000 + 4 * FRAME_HEADER;
    for (size_t done = 0; done < total;) {
        expect_no_event(&e);
        size_t step = drain_some(&e, total - done > 999 ? 999 : total - done);
        assert_true(step > 0);
        done += step;
    }
    expect_back(&e, &l, s, 0);
    expect_payload(&e, 3, 0, 100000);
    engine_end(&e);
}

static void lent_bytes_are_not_copied(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    size_t before = e.alloc.peak_bytes;
    lend(&l, s, 0, 1 << 20);
    size_t in_place = 0;
    struct iovec iov[64];
    int count;
    while ((count = smux_session_output(e.session, iov, 64, e.now_us)) > 0) {
        for (int i = 0; i < count; i++) {
            const uint8_t *base = iov[i].iov_base;
            if (base >= l.data && base < l.data + (1 << 20))
                in_place += iov[i].iov_len;
        }
        smux_session_output_done(e.session, iov_total(iov, count));
    }
    assert_int_equal(in_place, 1 << 20);
    assert_true(e.alloc.peak_bytes - before < 20000);
    expect_back(&e, &l, s, 0);
    engine_end(&e);
}

static void lent_and_copied_data_keep_their_order(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l[3];
    uint64_t at = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_pattern(s, at, 1000), 1000);
        lend(&l[i], s, at + 1000, 5000);
        at += 6000;
    }
    assert_int_equal(send_pattern(s, at, 77), 77);
    smux_stream_close_write(s);
    e.output_max = 4321;
    expect_payload(&e, 3, 0, at + 77);
    expect_frame(&e, CMD_FIN, 3);
    for (int i = 0; i < 3; i++)
        expect_back(&e, &l[i], s, 0);
    engine_end(&e);
}

static void the_caps_do_not_apply_to_lent_buffers(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 1);
    e.config.stream_send_buffer = 10;
    e.config.session_send_buffer = 10;
    engine_start(&e);
    smux_stream *s = engine_accepted(&e, 3);
    assert_int_equal(send_pattern(s, 0, 10), 10);
    loan l;
    lend(&l, s, 10, 100000);
    assert_int_equal(info_of(&e).queued, 100010);
    expect_payload(&e, 3, 0, 100010);
    expect_back(&e, &l, s, 0);
    engine_end(&e);
}

static void empty_or_missing_data_is_refused(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    smux_sendbuf b = {.data = (const uint8_t *)"x", .len = 0};
    assert_int_equal(smux_stream_send_borrowed(s, &b), SMUX_ERR_ARGUMENT);
    b = (smux_sendbuf){.data = NULL, .len = 5};
    assert_int_equal(smux_stream_send_borrowed(s, &b), SMUX_ERR_ARGUMENT);
    expect_silence(&e);
    engine_end(&e);
}

static void a_buffer_that_is_already_lent_is_refused(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3), *other = engine_accepted(&e, 5);
    smux_sendbuf b = {.data = (const uint8_t *)"once", .len = 4};
    assert_int_equal(smux_stream_send_borrowed(s, &b), 0);
    assert_int_equal(smux_stream_send_borrowed(s, &b),
                     SMUX_ERR_ARGUMENT); /* once, the list was a ring */
    assert_int_equal(smux_stream_send_borrowed(other, &b), SMUX_ERR_ARGUMENT);
    drain(&e);
    assert_int_equal(smux_stream_send_borrowed(s, &b),
                     SMUX_ERR_ARGUMENT); /* its event is to come */
    expect_psh(&e, 3, "once");
    expect_event(&e, SMUX_EVENT_RETURNED);
    assert_int_equal(smux_stream_send_borrowed(other, &b), 0);
    expect_psh(&e, 5, "once");
    expect_event(&e, SMUX_EVENT_RETURNED);
    engine_end(&e);
}

static void the_buffers_of_a_reset_stream_are_returned_with_the_reason(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l[2];
    lend(&l[0], s, 0, 1000);
    lend(&l[1], s, 1000, 1000);
    smux_stream_reset(s);
    expect_back(&e, &l[0], NULL, SMUX_ERR_LOCAL_RESET);
    expect_back(&e, &l[1], NULL, SMUX_ERR_LOCAL_RESET);
    expect_frame(&e, CMD_FIN, 3);
    engine_end(&e);
}

static void the_buffers_of_a_closed_stream_are_sent_and_returned(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, 50000);
    smux_stream_close(s);
    expect_no_event(&e);
    expect_payload(&e, 3, 0, 50000);
    expect_frame(&e, CMD_FIN, 3);
    expect_back(&e, &l, NULL, 0);
    engine_end(&e);
}

static void buffers_are_returned_before_the_failure_of_the_session_is_reported(void **state) {
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *s = engine_accepted(&e, 3);
        loan l;
        lend(&l, s, 0, 1000);
        if (closed)
            smux_stream_close(s);
        smux_session_fail(e.session, SMUX_ERR_CARRIER);
        expect_back(&e, &l, closed ? NULL : s, SMUX_ERR_CARRIER);
        expect_failed(&e, SMUX_ERR_CARRIER);
        engine_end(&e);
    }
}

static void buffers_are_returned_when_the_peer_violates_the_protocol(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, 1000);
    drain_some(&e, 100);
    e.out.len = 0;
    put_header(&e.said, 1, 9, 0, 3);
    hear(&e);
    expect_back(&e, &l, s, SMUX_ERR_COMMAND);
    expect_failed(&e, SMUX_ERR_COMMAND);
    engine_end(&e);
}

/* After a reset in the middle of a frame, the rest of that frame must still be sent, from the lent
 * memory (which is then returned later) or from a copy. */
static void a_reset_in_the_middle_of_a_lent_frame_completes_the_frame(void **state) {
    (void)state;
    for (size_t cut = 1; cut < FRAME_HEADER + 3000; cut += 101) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *s = engine_accepted(&e, 3);
        loan l;
        lend(&l, s, 0, 3000);
        assert_int_equal(drain_some(&e, cut), cut);
        smux_stream_reset(s);
        bool back = peek_event(&e) != NULL; /* early? then the engine may not look at it again */
        if (back) {
            seen *v = expect_event(&e, SMUX_EVENT_RETURNED);
            assert_ptr_equal(v->event.buffer, &l.buffer);
            free(l.data);
        }
        expect_payload(&e, 3, 0, 3000);
        expect_frame(&e, CMD_FIN, 3);
        if (!back) {
            assert_ptr_equal(expect_event(&e, SMUX_EVENT_RETURNED)->event.buffer, &l.buffer);
            free(l.data);
        }
        engine_end(&e);
    }
}

static void a_buffer_is_not_returned_while_output_points_at_it(void **state) {
    (void)state;
    for (int how = 0; how < 3; how++) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *s = engine_accepted(&e, 3);
        loan l;
        lend(&l, s, 0, 3000);
        struct iovec iov[16];
        int count = smux_session_output(e.session, iov, 16, e.now_us);
        if (how == 0)
            smux_stream_reset(s);
        else if (how == 1)
            smux_stream_close(s);
        else
            smux_session_fail(e.session, SMUX_ERR_CLOSED);
        smux_event event;
        bool back = false;
        while (smux_session_next_event(e.session, &event))
            back = back || event.type == SMUX_EVENT_RETURNED;
        assert_false(back);
        for (int i = 0; i < count; i++)
            bytes_add(&e.out, iov[i].iov_base, iov[i].iov_len);
        smux_session_output_done(e.session, iov_total(iov, count));
        seen *v = expect_event(&e, SMUX_EVENT_RETURNED);
        assert_ptr_equal(v->event.buffer, &l.buffer);
        free(l.data);
        engine_drop_events(&e);
        if (how < 2) {
            frame f = expect_frame(&e, CMD_PSH, 3);
            assert_int_equal(f.len, 3000);
            expect_frame(&e, CMD_FIN, 3);
        }
        engine_end_anyhow(&e);
    }
}

/* ---- Taking back ---------------------------------------------------------------------------- */

static void cancel_returns_an_untouched_buffer_whole(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    send_text(s, "before ");
    smux_sendbuf b = {.data = (const uint8_t *)"cancelled", .len = 9};
    assert_int_equal(smux_stream_send_borrowed(s, &b), 0);
    send_text(s, "after");
    size_t left = 0;
    assert_int_equal(smux_session_send_cancel(e.session, &b, &left), 0);
    assert_int_equal(left, 9);
    memset(&b, 0xDD, sizeof(b));
    assert_int_equal(stream_info(s).queued, 12);
    frame f = expect_frame(&e, CMD_PSH, 3);
    if (f.len == 7)
        expect_psh(&e, 3, "after");
    else
        assert_memory_equal(f.payload, "before after", f.len);
    expect_no_event(&e);
    engine_end(&e);
}

static void cancel_at_every_cut_reports_the_rest_and_keeps_the_stream_intact(void **state) {
    (void)state;
    enum { LEN = 250, FRAME_MAX = 100 };
    for (size_t cut = 0; cut < LEN + 3 * FRAME_HEADER; cut++) {
        engine e;
        engine_prepare(&e, SMUX_SERVER, 1);
        e.config.max_frame_size = FRAME_MAX;
        engine_start(&e);
        smux_stream *s = engine_accepted(&e, 3);
        loan l;
        lend(&l, s, 0, LEN);
        if (cut)
            drain_some(&e, cut);
        size_t left = 12345;
        assert_int_equal(smux_session_send_cancel(e.session, &l.buffer, &left), 0);
        memset(l.data, 0xDD, LEN);
        free(l.data);
        size_t begun = (cut + FRAME_MAX + FRAME_HEADER - 1) / (FRAME_MAX + FRAME_HEADER);
        size_t gone = begun * FRAME_MAX < LEN ? begun * FRAME_MAX : LEN;
        assert_int_equal(left, LEN - gone);
        expect_payload(&e, 3, 0, gone);
        send_text(s, "and on");
        expect_psh(&e, 3, "and on");
        expect_no_event(&e);
        assert_int_equal(info_of(&e).queued, 0);
        assert_int_equal(stream_info(s).bytes_out, gone + 6);
        engine_end(&e);
    }
}

static void cancel_between_output_and_sent_is_refused(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, 100);
    struct iovec iov[4];
    int count = smux_session_output(e.session, iov, 4, e.now_us);
    size_t left;
    assert_int_equal(smux_session_send_cancel(e.session, &l.buffer, &left), SMUX_ERR_BUSY);
    smux_session_output_done(e.session, iov_total(iov, count));
    expect_back(&e, &l, s, 0);
    engine_end(&e);
}

static void cancel_of_a_buffer_that_has_gone_out_is_refused(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, 100);
    drain(&e);
    assert_int_equal(smux_session_send_cancel(e.session, &l.buffer, NULL), SMUX_ERR_ARGUMENT);
    expect_payload(&e, 3, 0, 100);
    expect_event(&e, SMUX_EVENT_RETURNED);
    assert_int_equal(smux_session_send_cancel(e.session, &l.buffer, NULL), SMUX_ERR_ARGUMENT);
    free(l.data);
    engine_end(&e);
}

static void cancel_of_a_buffer_that_was_never_lent_is_refused(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    engine_accepted(&e, 3);
    smux_sendbuf b = {.data = (const uint8_t *)"x", .len = 1};
    assert_int_equal(smux_session_send_cancel(e.session, &b, NULL), SMUX_ERR_ARGUMENT);
    engine_end(&e);
}

static void cancel_after_close_lets_the_stream_finish(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_fin(&e, 3);
    hear(&e);
    expect_eof(&e, s);
    loan l;
    lend(&l, s, 0, 5000);
    smux_stream_close(s);
    size_t left = 0;
    assert_int_equal(smux_session_send_cancel(e.session, &l.buffer, &left), 0);
    assert_int_equal(left, 5000);
    free(l.data);
    expect_frame(&e, CMD_FIN, 3);
    assert_int_equal(info_of(&e).streams, 0);
    engine_end(&e);
}

static void a_cancelled_buffer_can_be_lent_again(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    smux_sendbuf b = {.data = (const uint8_t *)"again", .len = 5};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(smux_stream_send_borrowed(s, &b), 0);
        assert_int_equal(smux_session_send_cancel(e.session, &b, NULL), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(smux_stream_send_borrowed(s, &b), 0);
        expect_psh(&e, 3, "again");
        assert_ptr_equal(expect_event(&e, SMUX_EVENT_RETURNED)->event.buffer, &b);
    }
    engine_end(&e);
}

static void cancel_without_memory_leaves_the_buffer_lent(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    loan l;
    lend(&l, s, 0, 5000);
    drain_some(&e, 1000);
    e.alloc.fail_at = e.alloc.calls + 1;
    e.alloc.fail_count = 1000;
    int error = smux_session_send_cancel(e.session, &l.buffer, NULL);
    e.alloc.fail_at = 0;
    if (error == 0) { /* needed no memory */
        free(l.data);
        expect_payload(&e, 3, 0, 5000);
    } else {
        assert_int_equal(error, SMUX_ERR_NOMEM);
        expect_payload(&e, 3, 0, 5000);
        expect_back(&e, &l, s, 0);
    }
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_of_a_closed_stream_is_not_reported_for_a_new_stream),
        cmocka_unit_test(a_lent_buffer_is_returned_when_all_of_it_has_been_sent),
        cmocka_unit_test(lent_bytes_are_not_copied),
        cmocka_unit_test(lent_and_copied_data_keep_their_order),
        cmocka_unit_test(the_caps_do_not_apply_to_lent_buffers),
        cmocka_unit_test(empty_or_missing_data_is_refused),
        cmocka_unit_test(a_buffer_that_is_already_lent_is_refused),
        cmocka_unit_test(the_buffers_of_a_reset_stream_are_returned_with_the_reason),
        cmocka_unit_test(the_buffers_of_a_closed_stream_are_sent_and_returned),
        cmocka_unit_test(buffers_are_returned_before_the_failure_of_the_session_is_reported),
        cmocka_unit_test(buffers_are_returned_when_the_peer_violates_the_protocol),
        cmocka_unit_test(a_reset_in_the_middle_of_a_lent_frame_completes_the_frame),
        cmocka_unit_test(a_buffer_is_not_returned_while_output_points_at_it),
        cmocka_unit_test(cancel_returns_an_untouched_buffer_whole),
        cmocka_unit_test(cancel_at_every_cut_reports_the_rest_and_keeps_the_stream_intact),
        cmocka_unit_test(cancel_between_output_and_sent_is_refused),
        cmocka_unit_test(cancel_of_a_buffer_that_has_gone_out_is_refused),
        cmocka_unit_test(cancel_of_a_buffer_that_was_never_lent_is_refused),
        cmocka_unit_test(cancel_after_close_lets_the_stream_finish),
        cmocka_unit_test(a_cancelled_buffer_can_be_lent_again),
        cmocka_unit_test(cancel_without_memory_leaves_the_buffer_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
