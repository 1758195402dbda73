/* SPDX-License-Identifier: MIT
 *
 * Sending: short writes, caps, fair turns by bytes, order of frames.
 */
#include "support_engine.h"

#include <inttypes.h>

#define FRAME 32768u
#define QUIET 4096u /* what a stream with nothing queued may queue beyond the session's cap */

/* Takes the frames of the output one by one and counts payload by stream. */
typedef struct tally {
    uint64_t bytes[64];
    int frames[64];
} tally;

static uint32_t slot(uint32_t sid) {
    assert_true(sid / 2 < 64);
    return sid / 2;
}

static void count_frames(engine *e, tally *t) {
    frame f;
    for (size_t size; (size = frame_parse(e->out.data, e->out.len, &f)); bytes_drop(&e->out, size))
        if (f.cmd == CMD_PSH) {
            t->bytes[slot(f.sid)] += f.len;
            t->frames[slot(f.sid)]++;
        }
}

static void every_short_write_gives_the_same_bytes(void **state) {
    (void)state;
    bytes whole = {0};
    for (size_t max = 0; max <= 40; max++) {
        engine e;
        engine_prepare(&e, SMUX_CLIENT, 2);
        e.config.max_frame_size = 50;
        engine_start(&e);
        smux_stream *a = engine_opened(&e), *b = engine_opened(&e);
        send_pattern(a, 0, 333);
        send_pattern(b, 0, 77);
        smux_sendbuf lent = {.data = (const uint8_t *)"lent to the engine", .len = 18};
        assert_int_equal(smux_stream_send_borrowed(a, &lent), 0);
        smux_stream_close_write(a);
        smux_stream_close_write(b);
        e.output_max = max;
        drain(&e);
        if (max == 0)
            bytes_add(&whole, e.out.data, e.out.len);
        assert_int_equal(e.out.len, whole.len);
        assert_memory_equal(e.out.data, whole.data, whole.len);
        e.out.len = 0;
        assert_ptr_equal(expect_event(&e, SMUX_EVENT_RETURNED)->event.buffer, &lent);
        engine_end(&e);
    }
    bytes_free(&whole);
}

static void every_cut_of_the_first_write_gives_the_same_bytes(void **state) {
    (void)state;
    size_t total = 1;
    bytes whole = {0};
    for (size_t cut = 0; cut <= total; cut++) {
        engine e;
        engine_begin(&e, SMUX_CLIENT, 1);
        smux_stream *a = engine_opened(&e);
        send_text(a, "hello");
        smux_stream_close(a);
        drain_some(&e, cut);
        drain(&e);
        if (cut == 0) {
            bytes_add(&whole, e.out.data, e.out.len);
            total = whole.len;
        }
        assert_int_equal(e.out.len, whole.len);
        assert_memory_equal(e.out.data, whole.data, whole.len);
        e.out.len = 0;
        engine_end_anyhow(&e);
    }
    bytes_free(&whole);
}

static void a_blocked_carrier_loses_nothing(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    send_pattern(s, 0, 100000);
    for (int i = 0; i < 50; i++)
        drain_some(&e, 0);
    assert_int_equal(e.out.len, 0);
    tally t = {0};
    drain(&e);
    count_frames(&e, &t);
    assert_int_equal(t.bytes[slot(3)], 100000);
    engine_end(&e);
}

static void one_output_is_at_most_output_max(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.stream_send_buffer = e.config.session_send_buffer = 8 << 20;
    engine_start(&e);
    for (int i = 0; i < 8; i++)
        send_pattern(engine_opened(&e), 0, 1 << 20);
    struct iovec iov[1024];
    int count = smux_session_output(e.session, iov, 1024, e.now_us);
    assert_in_range(iov_total(iov, count), SMUX_OUTPUT_MAX / 2, SMUX_OUTPUT_MAX);
    smux_session_output_done(e.session, 0);
    count = smux_session_output(e.session, iov, 1024, e.now_us);
    smux_session_output_done(e.session, iov_total(iov, count) - 1); /* stops inside a frame */
    count = smux_session_output(e.session, iov, 1024, e.now_us);
    assert_true(iov_total(iov, count) <= SMUX_OUTPUT_MAX + FRAME + FRAME_HEADER);
    smux_session_output_done(e.session, 0);
    engine_end_anyhow(&e);
}

static void streams_share_by_bytes_whatever_the_size_of_their_writes(void **state) {
    (void)state;
    static const size_t sizes[] = {10, 100, 999, 4096, 32768, 100000, 250000};
    enum { N = sizeof(sizes) / sizeof(sizes[0]) };
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.session_send_buffer = 64 << 20;
    engine_start(&e);
    smux_stream *s[N];
    uint64_t offset[N] = {0};
    for (int i = 0; i < N; i++)
        s[i] = engine_opened(&e);
    tally t = {0};
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < N; i++) /* keep every queue filled */
            for (ssize_t sent = 1; sent > 0 && stream_info(s[i]).queued < 200000;) {
                sent = send_pattern(s[i], offset[i], sizes[i]);
                offset[i] += (uint64_t)sent;
            }
        drain_some(&e, 50000);
        count_frames(&e, &t);
        collect(&e);
        engine_drop_events(&e);
    }
    uint64_t least = UINT64_MAX, most = 0, total = 0;
    for (int i = 0; i < N; i++) {
        uint64_t n = t.bytes[slot(smux_stream_id(s[i]))];
        least = n < least ? n : least;
        most = n > most ? n : most;
        total += n;
    }
    assert_true(total > 19000000);
    assert_true(most - least <= 2 * FRAME + most / 50); /* two per cent, and a frame at each end */
    engine_end_anyhow(&e);
}

static void a_huge_borrowed_buffer_takes_no_more_than_its_turn(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *giant = engine_opened(&e), *modest = engine_opened(&e);
    uint8_t *data = calloc(1, 8 << 20);
    smux_sendbuf lent = {.data = data, .len = 8 << 20};
    assert_int_equal(smux_stream_send_borrowed(giant, &lent), 0);
    tally t = {0};
    for (int i = 0; i < 60; i++) {
        send_pattern(modest, 0, smux_stream_send_room(modest));
        drain_some(&e, 100000);
        count_frames(&e, &t);
    }
    uint64_t a = t.bytes[slot(3)], b = t.bytes[slot(5)];
    assert_true(a + b > 5000000);
    assert_true((a > b ? a - b : b - a) < 2 * FRAME + a / 50);
    engine_end_anyhow(&e);
    free(data);
}

/* Checks how many frames of each other stream begin between a small write and its frame. */
static void expect_small_write_soon(size_t carrier_step, bool blocked_in_batch) {
    enum { BULK = 12 };
    for (int phase = 0; phase < 40; phase++) {
        engine e;
        engine_prepare(&e, SMUX_CLIENT, 1);
        e.config.session_send_buffer = 64 << 20;
        engine_start(&e);
        smux_stream *bulk[BULK], *shell = engine_opened(&e);
        for (int i = 0; i < BULK; i++) {
            bulk[i] = engine_opened(&e);
            send_pattern(bulk[i], 0, 256 * 1024);
        }
        for (int i = 0; i < phase; i++) /* some way into the turn */
            drain_some(&e, carrier_step);
        struct iovec iov[64];
        int planned = 0;
        if (blocked_in_batch)
            planned = smux_session_output(e.session, iov, 64, e.now_us);
        assert_int_equal(send_text(shell, "ls\n"), 3);
        if (planned)
            smux_session_output_done(e.session, 0); /* nothing of the batch went out */
        size_t before = e.out.len;
        drain(&e);
        int begun[64] = {0};
        bool found = false;
        size_t at = 0;
        frame f;
        for (size_t size; !found && (size = frame_parse(e.out.data + at, e.out.len - at, &f));
             at += size) {
            if (f.cmd == CMD_PSH && f.sid == 3)
                found = true;
            else if (f.cmd == CMD_PSH && at >= before)
                begun[slot(f.sid)]++;
        }
        assert_true(found);
        for (int i = 0; i < BULK; i++)
            assert_true(begun[slot(smux_stream_id(bulk[i]))] <= 1);
        engine_end_anyhow(&e);
    }
}

static void frames_are_large_for_one_stream_and_short_among_several(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.max_frame_size = 65535;
    engine_start(&e);
    smux_stream *a = engine_opened(&e);
    expect_frame(&e, CMD_SYN, 3);
    send_pattern(a, 0, 131070);
    uint32_t largest = 0;
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e))
        largest = f.len > largest ? f.len : largest;
    assert_true(largest > FRAME);
    smux_stream *b = engine_opened(&e);
    expect_frame(&e, CMD_SYN, 5);
    send_pattern(a, 0, 200000);
    send_pattern(b, 0, 200000);
    for (int i = 0; i < 8; i++)
        assert_in_range(next_frame(&e).len, 1, FRAME);
    engine_end_anyhow(&e);
}

#define BURST (4 * FRAME)

/* Two long streams and a short one, sent in bursts, in writes of which the carrier takes `max`. */
static void send_in_bursts(bytes *out, size_t max) {
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    engine_start(&e);
    smux_session_set_burst(e.session, BURST);
    smux_stream *a = engine_opened(&e), *b = engine_opened(&e), *c = engine_opened(&e);
    send_pattern(a, 0, 250000);
    send_pattern(b, 0, 200000);
    send_pattern(c, 0, 40000);
    e.output_max = max;
    drain(&e);
    bytes_add(out, e.out.data, e.out.len);
    e.out.len = 0;
    engine_end_anyhow(&e);
}

static void a_burst_is_so_long_and_then_the_next_stream_has_its_turn(void **state) {
    (void)state;
    bytes out = {0};
    uint32_t order[8] = {0}, run[8] = {0};
    size_t runs = 0, at = 0;
    frame f;
    send_in_bursts(&out, 0);
    for (size_t size; (size = frame_parse(out.data + at, out.len - at, &f)); at += size) {
        if (f.cmd != CMD_PSH)
            continue;
        if (runs == 0 || order[runs - 1] != f.sid) {
            assert_true(runs < 8);
            order[runs++] = f.sid;
        }
        run[runs - 1] += f.len;
    }
    static const uint32_t expected[] = {3, 5, 7, 3, 5};
    assert_int_equal(runs, 5);
    assert_memory_equal(order, expected, sizeof expected);
    assert_int_equal(run[0], BURST);
    assert_int_equal(run[1], BURST);
    assert_int_equal(run[2], 40000);
    bytes_free(&out);
}

static void bursts_are_the_same_however_little_the_carrier_takes(void **state) {
    (void)state;
    static const size_t steps[] = {7, 1000, 32775, 32776, 32777, 50000, 131104, 200000};
    bytes whole = {0};
    send_in_bursts(&whole, 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bytes out = {0};
        send_in_bursts(&out, steps[i]);
        assert_int_equal(out.len, whole.len);
        assert_memory_equal(out.data, whole.data, whole.len);
        bytes_free(&out);
    }
    bytes_free(&whole);
}

/* From a seed: streams with more to send than goes out, in bursts that change, over a carrier that
 * takes what it likes, beside others that say a little whenever they have nothing queued. */
static void share_with_talkers(unsigned seed) {
    enum { BULK = 4, TALKERS = 20 };
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.session_send_buffer = 64 << 20;
    engine_start(&e);
    smux_stream *bulk[BULK], *talker[TALKERS];
    tally t = {0};
    for (int i = 0; i < BULK; i++)
        bulk[i] = engine_opened(&e);
    for (int i = 0; i < TALKERS; i++)
        talker[i] = engine_opened(&e);
    srandom(seed);
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < BULK; i++)
            send_pattern(bulk[i], 0, smux_stream_send_room(bulk[i]));
        for (int i = 0; i < TALKERS; i++)
            if (stream_info(talker[i]).queued == 0)
                send_pattern(talker[i], 0, 1 + (size_t)random() % 4096);
        if (random() % 50 == 0)
            smux_session_set_burst(e.session, (uint32_t)random() % (8 * FRAME));
        drain_some(&e, (size_t)random() % 150000);
        count_frames(&e, &t);
        engine_drop_events(&e);
    }
    uint64_t least = UINT64_MAX, most = 0, talk = 0;
    for (int i = 0; i < BULK; i++) {
        uint64_t n = t.bytes[slot(smux_stream_id(bulk[i]))];
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    for (int i = 0; i < TALKERS; i++) {
        uint64_t n = t.bytes[slot(smux_stream_id(talker[i]))];
        talk += n;
        if (n > least) /* a turn each, but none gets more than those that wait for it */
            fail_msg("seed %u: a talker sent %" PRIu64 ", a long stream %" PRIu64, seed, n, least);
    }
    if (most - least > 10 * FRAME + most / 50 || talk == 0)
        fail_msg("seed %u: long streams sent %" PRIu64 " to %" PRIu64, seed, least, most);
    engine_end_anyhow(&e);
}

static void bursts_and_small_writes_share_the_carrier(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 10; seed++)
        share_with_talkers(seed);
}

static void a_small_write_goes_before_the_bursts_of_all_others(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.session_send_buffer = 64 << 20;
    engine_start(&e);
    smux_session_set_burst(e.session, BURST);
    smux_stream *bulk[12], *shell = engine_opened(&e);
    for (int i = 0; i < 12; i++) {
        bulk[i] = engine_opened(&e);
        send_pattern(bulk[i], 0, 256 * 1024);
    }
    drain_some(&e, 70000); /* into the first burst */
    frame f;
    for (size_t size; (size = frame_parse(e.out.data, e.out.len, &f)); bytes_drop(&e.out, size))
        ;
    send_text(shell, "ls\n");
    expect_frame(&e, CMD_PSH, 5); /* the one begun */
    expect_frame(&e, CMD_PSH, 3);
    expect_frame(&e, CMD_PSH, 5); /* the burst goes on */
    expect_frame(&e, CMD_PSH, 7);
    engine_end_anyhow(&e);
}

static void a_small_write_waits_for_one_bulk_frame_per_stream_at_most(void **state) {
    (void)state;
    expect_small_write_soon(10000, false);
    expect_small_write_soon(40000, false);
    expect_small_write_soon(SMUX_OUTPUT_MAX, false);
}

static void a_small_write_overtakes_a_batch_that_the_carrier_did_not_take(void **state) {
    (void)state;
    expect_small_write_soon(10000, true);
    expect_small_write_soon(33333, true);
}

static void control_frames_overtake_waiting_data(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3), *other = engine_accepted(&e, 5);
    assert_int_equal(send_pattern(s, 0, 200000), 200000);
    drain_some(&e, 1000); /* a frame is begun */
    smux_stream_close(other);
    pass_time(&e, SECONDS(10));
    smux_stream *own = engine_opened(&e);
    assert_int_equal(smux_stream_id(own), 2);
    expect_frame(&e, CMD_PSH, 3); /* the one begun */
    bool fin = false, nop = false, syn = false;
    for (int i = 0; i < 3; i++) {
        frame f = next_frame(&e);
        fin = fin || (f.cmd == CMD_FIN && f.sid == 5);
        nop = nop || (f.cmd == CMD_NOP && f.sid == 0);
        syn = syn || (f.cmd == CMD_SYN && f.sid == 2);
    }
    assert_true(fin && nop && syn);
    expect_frame(&e, CMD_PSH, 3);
    engine_end_anyhow(&e);
}

static void fin_does_not_overtake_the_data_of_its_own_stream(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    assert_int_equal(send_pattern(s, 0, 100000), 100000);
    drain_some(&e, 1000);
    smux_stream_close(s);
    tally t = {0};
    frame f;
    for (f = next_frame(&e); f.cmd == CMD_PSH; f = next_frame(&e))
        t.bytes[1] += f.len;
    assert_int_equal(f.cmd, CMD_FIN);
    assert_int_equal(t.bytes[1], 100000);
    say_fin(&e, 3);
    hear(&e);
    engine_end(&e);
}

static void syn_goes_out_before_the_data_of_its_stream(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *old = engine_opened(&e);
    send_pattern(old, 0, 200000);
    drain_some(&e, 40000);
    for (int i = 0; i < 20; i++)
        send_text(engine_opened(&e), "x");
    bool known[64] = {false};
    for (frame f = next_frame(&e); f.cmd != -1; f = next_frame(&e)) {
        if (f.cmd == CMD_SYN)
            known[slot(f.sid)] = true;
        assert_true(known[slot(f.sid)]);
    }
    engine_end(&e);
}

/* ---- Caps ----------------------------------------------------------------------------------- */

static void a_stream_accepts_up_to_its_cap_and_then_reports_when_there_is_room(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.stream_send_buffer = 10000;
    engine_start(&e);
    smux_stream *s = engine_opened(&e);
    assert_int_equal(smux_stream_send_room(s), 10000);
    assert_int_equal(send_pattern(s, 0, 6000), 6000);
    assert_int_equal(smux_stream_send_room(s), 4000);
    assert_int_equal(send_pattern(s, 6000, 4000), 4000);
    expect_no_event(&e); /* all was taken: nothing to say */
    assert_int_equal(send_pattern(s, 10000, 1), 0);
    assert_int_equal(stream_info(s).queued, 10000);
    expect_no_event(&e);
    drain(&e);
    e.out.len = 0;
    expect_writable(&e, s);
    expect_no_event(&e);
    assert_int_equal(smux_stream_send_room(s), 10000);
    assert_int_equal(send_pattern(s, 10000, 15000), 10000);
    drain(&e);
    e.out.len = 0;
    expect_writable(&e, s);
    engine_end(&e);
}

static void no_writable_event_without_a_short_send(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.stream_send_buffer = 100;
    engine_start(&e);
    smux_stream *s = engine_opened(&e);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send_pattern(s, 0, 100), 100);
        drain(&e);
        e.out.len = 0;
        expect_no_event(&e);
    }
    engine_end(&e);
}

static void a_gathered_send_falls_short_in_the_middle_of_a_piece(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.stream_send_buffer = 10;
    engine_start(&e);
    smux_stream *s = engine_opened(&e);
    struct iovec iov[3] = {{"abcd", 4}, {"efgh", 4}, {"ijkl", 4}};
    assert_int_equal(smux_stream_sendv(s, iov, 3), 10);
    expect_frame(&e, CMD_SYN, 3);
    expect_psh(&e, 3, "abcdefghij");
    expect_writable(&e, s);
    engine_end(&e);
}

static void the_sessions_cap_is_over_all_streams_but_leaves_each_a_little(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 2); /* in version 1 all wait for the same carrier */
    e.config.session_send_buffer = 300000;
    engine_start(&e);
    smux_stream *a = engine_opened(&e), *b = engine_opened(&e), *c = engine_opened(&e);
    assert_int_equal(send_pattern(a, 0, 200000), 200000);
    assert_int_equal(smux_stream_send_room(b), 100000);
    assert_int_equal(send_pattern(b, 0, 200000), 100000);
    assert_int_equal(smux_stream_send_room(a), 0);
    assert_int_equal(send_pattern(a, 0, 1), 0);
    assert_int_equal(smux_stream_send_room(c), QUIET); /* nothing queued: not shut out */
    assert_int_equal(send_pattern(c, 0, 10000), QUIET);
    assert_int_equal(send_pattern(c, 0, 1), 0);
    assert_int_equal(info_of(&e).queued, 300000 + QUIET);
    drain(&e);
    e.out.len = 0;
    int writable = 0;
    for (seen *s; (s = peek_event(&e)); e.event_next++, writable++)
        assert_int_equal(s->event.type, SMUX_EVENT_WRITABLE);
    assert_int_equal(writable, 3);
    assert_int_equal(info_of(&e).queued, 0);
    engine_end(&e);
}

static void every_stream_that_waits_for_the_sessions_cap_gets_its_turn(void **state) {
    (void)state;
    enum { N = 20 };
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.session_send_buffer = 50000;
    e.config.max_frame_size = 1000;
    engine_start(&e);
    smux_stream *s[N];
    uint64_t accepted[N] = {0};
    bool ready[N];
    for (int i = 0; i < N; i++) {
        s[i] = engine_opened(&e);
        ready[i] = true;
    }
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < N; i++)
            if (ready[i]) {
                ssize_t n = send_pattern(s[i], 0, 30000);
                assert_true(n >= 0);
                accepted[i] += (uint64_t)n;
                ready[i] = n == 30000;
            }
        drain_some(&e, 3000);
        e.out.len = 0;
        for (seen *v; (v = peek_event(&e)); e.event_next++)
            for (int i = 0; i < N; i++)
                if (s[i] == v->event.stream)
                    ready[i] = true;
        engine_drop_events(&e);
    }
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < N; i++) {
        least = accepted[i] < least ? accepted[i] : least;
        most = accepted[i] > most ? accepted[i] : most;
    }
    assert_true(least > 0);
    assert_true(most < 2 * least + 60000);
    engine_end_anyhow(&e);
}

static void reset_and_close_free_the_room(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_SERVER, 2);
    e.config.session_send_buffer = 100000;
    engine_start(&e);
    smux_stream *a = engine_accepted(&e, 3), *b = engine_accepted(&e, 5);
    assert_int_equal(send_pattern(a, 0, 100000), 100000);
    assert_int_equal(send_pattern(b, 0, 50000), QUIET);
    smux_stream_reset(a);
    expect_writable(&e, b);
    assert_int_equal(smux_stream_send_room(b), 100000 - QUIET);
    assert_int_equal(info_of(&e).queued, QUIET);
    drain(&e);
    e.out.len = 0;
    engine_end_anyhow(&e);
}

static void tiny_writes_do_not_cost_more_memory_than_the_cap_allows(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *s = engine_opened(&e);
    size_t before = e.alloc.live_bytes, taken = 0;
    for (ssize_t n; (n = smux_stream_send(s, "x", 1)) > 0;)
        taken += (size_t)n;
    assert_int_equal(taken, 256 * 1024);
    assert_true(e.alloc.live_bytes - before < 2 * 256 * 1024);
    drain(&e);
    e.out.len = 0;
    expect_writable(&e, s);
    assert_true(e.alloc.live_bytes - before < 128 * 1024); /* a drained queue holds little */
    engine_end(&e);
}

static void want_write_says_whether_output_has_data(void **state) {
    (void)state;
    engine e; /* drain_some compares the two at every step */
    engine_begin(&e, SMUX_CLIENT, 2);
    assert_false(smux_session_want_write(e.session));
    smux_stream *s = engine_opened(&e);
    assert_true(smux_session_want_write(e.session));
    drain(&e);
    send_pattern(s, 0, 256 * 1024);
    e.output_max = 7777;
    drain(&e);
    assert_false(smux_session_want_write(e.session));
    e.out.len = 0;
    send_pattern(s, 0, 1000); /* the initial window of version 2 is used up */
    assert_false(smux_session_want_write(e.session));
    say_upd(&e, 3, 256 * 1024, 256 * 1024);
    hear(&e);
    assert_true(smux_session_want_write(e.session));
    assert_int_equal(expect_frame(&e, CMD_PSH, 3).len, 1000);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_short_write_gives_the_same_bytes),
        cmocka_unit_test(every_cut_of_the_first_write_gives_the_same_bytes),
        cmocka_unit_test(a_blocked_carrier_loses_nothing),
        cmocka_unit_test(one_output_is_at_most_output_max),
        cmocka_unit_test(streams_share_by_bytes_whatever_the_size_of_their_writes),
        cmocka_unit_test(a_huge_borrowed_buffer_takes_no_more_than_its_turn),
        cmocka_unit_test(frames_are_large_for_one_stream_and_short_among_several),
        cmocka_unit_test(a_burst_is_so_long_and_then_the_next_stream_has_its_turn),
        cmocka_unit_test(bursts_are_the_same_however_little_the_carrier_takes),
        cmocka_unit_test(bursts_and_small_writes_share_the_carrier),
        cmocka_unit_test(a_small_write_goes_before_the_bursts_of_all_others),
        cmocka_unit_test(a_small_write_waits_for_one_bulk_frame_per_stream_at_most),
        cmocka_unit_test(a_small_write_overtakes_a_batch_that_the_carrier_did_not_take),
        cmocka_unit_test(control_frames_overtake_waiting_data),
        cmocka_unit_test(fin_does_not_overtake_the_data_of_its_own_stream),
        cmocka_unit_test(syn_goes_out_before_the_data_of_its_stream),
        cmocka_unit_test(a_stream_accepts_up_to_its_cap_and_then_reports_when_there_is_room),
        cmocka_unit_test(no_writable_event_without_a_short_send),
        cmocka_unit_test(a_gathered_send_falls_short_in_the_middle_of_a_piece),
        cmocka_unit_test(the_sessions_cap_is_over_all_streams_but_leaves_each_a_little),
        cmocka_unit_test(every_stream_that_waits_for_the_sessions_cap_gets_its_turn),
        cmocka_unit_test(reset_and_close_free_the_room),
        cmocka_unit_test(tiny_writes_do_not_cost_more_memory_than_the_cap_allows),
        cmocka_unit_test(want_write_says_whether_output_has_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
