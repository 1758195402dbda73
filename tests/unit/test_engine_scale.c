/* SPDX-License-Identifier: MIT
 *
 * Work per stream must not grow with the number of streams.  Each case does one thing to n streams.
 *
 *     test_engine_scale          every case, with enough streams to notice quadratic work
 *     test_engine_scale CASE N   one of them: tests/structure/scaling.bats counts the instructions
 */
#include "support_engine.h"

typedef struct crowd {
    engine e;
    uint32_t n;
    smux_stream **s;
    smux_sendbuf *lent;
} crowd;

static void crowd_begin(crowd *c, uint32_t n, int version) {
    memset(c, 0, sizeof(*c));
    c->n = n;
    c->s = calloc(n, sizeof(*c->s));
    c->lent = calloc(n, sizeof(*c->lent));
    engine_prepare(&c->e, SMUX_SERVER, version);
    c->e.config.accept_backlog = n;
}

static void discard(engine *e) {
    struct iovec iov[64];
    smux_event event;
    for (int count; (count = smux_session_output(e->session, iov, 64, e->now_us)) > 0;)
        smux_session_output_done(e->session, iov_total(iov, count));
    while (smux_session_next_event(e->session, &event))
        ;
}

static void crowd_start(crowd *c) {
    engine_start(&c->e);
    for (uint32_t i = 0; i < c->n; i++)
        c->s[i] = engine_opened(&c->e);
    discard(&c->e);
}

static void crowd_end(crowd *c) {
    engine_end_anyhow(&c->e);
    free(c->s);
    free(c->lent);
}

static void feed_quietly(engine *e) {
    assert_int_equal(smux_session_feed(e->session, e->said.data, e->said.len, e->now_us), 0);
    smux_event event;
    while (smux_session_next_event(e->session, &event))
        ;
    e->said.len = 0;
}

static void lend_to_all(crowd *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        c->lent[i] = (smux_sendbuf){.data = (const uint8_t *)"x", .len = 1};
        assert_int_equal(smux_stream_send_borrowed(c->s[i], &c->lent[i]), 0);
    }
}

static void streams_of_the_peer(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    engine_start(&c.e);
    for (uint32_t i = 0; i < n; i++)
        say_syn(&c.e, 3 + 2 * i);
    feed_quietly(&c.e);
    for (uint32_t i = 0; i < n; i++)
        say_psh(&c.e, 3 + 2 * i, "x");
    feed_quietly(&c.e);
    smux_stream *s = NULL;
    for (uint32_t i = 0; (s = smux_session_next_stream(c.e.session, s)); i++)
        c.s[i] = s;
    for (uint32_t i = 0; i < n; i++)
        smux_stream_close(c.s[i]);
    discard(&c.e);
    crowd_end(&c);
}

static void
ids_far_apart(uint32_t n) { /* a stride that is a power of two, as a peer might choose */
    crowd c;
    crowd_begin(&c, n, 1);
    engine_start(&c.e);
    uint32_t stride = 0x40000000u / n / 2 * 2;
    for (uint32_t i = 0; i < n; i++)
        say_syn(&c.e, 3 + stride * i);
    feed_quietly(&c.e);
    for (uint32_t i = 0; i < n; i++)
        say_fin(&c.e, 3 + stride * i);
    feed_quietly(&c.e);
    crowd_end(&c);
}

static void refusals(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    c.e.config.accept_backlog = 1;
    engine_start(&c.e);
    for (uint32_t i = 0; i < n; i++)
        say_syn(&c.e, 3 + 2 * i);
    feed_quietly(&c.e);
    discard(&c.e);
    crowd_end(&c);
}

static void failure_with_closed_streams_that_hold_lent_buffers(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    crowd_start(&c);
    lend_to_all(&c);
    for (uint32_t i = 0; i < n; i++)
        smux_stream_close(c.s[i]);
    smux_session_fail(c.e.session, SMUX_ERR_CARRIER);
    discard(&c.e);
    crowd_end(&c);
}

static void closing_streams_with_lent_buffers_after_a_failure(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    crowd_start(&c);
    lend_to_all(&c);
    smux_session_fail(c.e.session, SMUX_ERR_CARRIER);
    for (uint32_t i = 0; i < n; i++)
        smux_stream_close(c.s[i]);
    discard(&c.e);
    crowd_end(&c);
}

static void resetting_streams_with_lent_buffers(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    crowd_start(&c);
    lend_to_all(&c);
    for (uint32_t i = 0; i < n; i++)
        smux_stream_reset(c.s[i]);
    discard(&c.e);
    crowd_end(&c);
}

static void pings_past_blocked_streams(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 2);
    c.e.config.stream_send_buffer = 10;
    crowd_start(&c);
    for (uint32_t i = 0; i < n; i++) {
        say_upd(&c.e, 2 + 2 * i, 0, 0);
        feed_quietly(&c.e);
        send_pattern(c.s[i], 0, 20);
    }
    for (uint32_t i = 0; i < n; i++) {
        smux_session_ping(c.e.session);
        discard(&c.e);
    }
    crowd_end(&c);
}

static void waking_streams_that_waited_for_the_session(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    c.e.config.session_send_buffer = 4096;
    crowd_start(&c);
    for (uint32_t i = 0; i < n; i++)
        send_pattern(c.s[i], 0, 5000);
    discard(&c.e);
    discard(&c.e);
    crowd_end(&c);
}

static void idle_timeouts(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    c.e.config.keepalive_disabled = true;
    c.e.config.stream_idle_timeout_us = SECONDS(10);
    crowd_start(&c);
    for (int i = 0; i < 4; i++) {
        c.e.now_us += SECONDS(6);
        smux_session_tick(c.e.session, c.e.now_us);
        discard(&c.e);
    }
    crowd_end(&c);
}

static void ticks_over_idle_streams(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    c.e.config.stream_idle_timeout_us = SECONDS(1000000);
    crowd_start(&c);
    for (uint32_t i = 0; i < n; i++) {
        c.e.now_us += SECONDS(1);
        smux_session_tick(c.e.session, c.e.now_us);
        (void)smux_session_deadline(c.e.session);
        discard(&c.e);
    }
    crowd_end(&c);
}

static void one_busy_stream_among_idle_ones(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 2);
    crowd_start(&c);
    for (uint32_t i = 0; i < n; i++) {
        send_text(c.s[n / 2], "x");
        say_psh(&c.e, smux_stream_id(c.s[n / 2]), "y");
        feed_quietly(&c.e);
        assert_int_equal(smux_stream_consume(c.s[n / 2], 1), 0);
        say_upd(&c.e, smux_stream_id(c.s[n / 2]), i, 262144);
        feed_quietly(&c.e);
        discard(&c.e);
    }
    crowd_end(&c);
}

static void turns_of_many_bulk_streams(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    crowd_start(&c);
    for (uint32_t i = 0; i < n; i++)
        send_pattern(c.s[i], 0, 300);
    struct iovec iov[64];
    for (int count; (count = smux_session_output(c.e.session, iov, 64, c.e.now_us)) > 0;) {
        size_t total = iov_total(iov, count); /* a carrier that takes little */
        smux_session_output_done(c.e.session, total < 1000 ? total : 1000);
    }
    crowd_end(&c);
}

static void overruns_one_after_the_other(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 1);
    c.e.config.on_full = SMUX_FULL_RESET;
    c.e.config.max_receive_buffer = 100 * n;
    c.e.config.max_stream_buffer = 1;
    crowd_start(&c);
    for (uint32_t i = 0; i < n; i++) {
        say_pattern(&c.e, smux_stream_id(c.s[i]), 0, 200);
        feed_quietly(&c.e);
    }
    discard(&c.e);
    crowd_end(&c);
}

static void consuming_under_pressure(uint32_t n) {
    crowd c;
    crowd_begin(&c, n, 2);
    crowd_start(&c);
    c.e.config.max_receive_buffer = 4 << 20;
    for (uint32_t i = 0; i < n; i++) {
        say_pattern(&c.e, smux_stream_id(c.s[i]), 0, (3u << 20) / n);
        feed_quietly(&c.e);
    }
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(smux_stream_consume(c.s[i], (3u << 20) / n), 0);
    discard(&c.e);
    crowd_end(&c);
}

#define CASES(X)                                                                                   \
    X(streams_of_the_peer)                                                                         \
    X(ids_far_apart)                                                                               \
    X(refusals)                                                                                    \
    X(failure_with_closed_streams_that_hold_lent_buffers)                                          \
    X(closing_streams_with_lent_buffers_after_a_failure)                                           \
    X(resetting_streams_with_lent_buffers)                                                         \
    X(pings_past_blocked_streams)                                                                  \
    X(waking_streams_that_waited_for_the_session)                                                  \
    X(idle_timeouts)                                                                               \
    X(ticks_over_idle_streams)                                                                     \
    X(one_busy_stream_among_idle_ones)                                                             \
    X(turns_of_many_bulk_streams)                                                                  \
    X(overruns_one_after_the_other)                                                                \
    X(consuming_under_pressure)

#define X(name)                                                                                    \
    static void name##_test(void **state) {                                                        \
        (void)state;                                                                               \
        name(20000);                                                                               \
    }
CASES(X)
#undef X

static int run_one(const char *name, uint32_t n) {
#define X(case_)                                                                                   \
    if (strcmp(name, #case_) == 0)                                                                 \
        return case_(n), 0;
    CASES(X)
#undef X
    fprintf(stderr, "no case '%s'\n", name);
    return 2;
}

int main(int argc, char **argv) {
    if (argc == 3)
        return run_one(argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
    if (argc == 2) { /* --list */
#define X(name) puts(#name);
        CASES(X)
#undef X
        return 0;
    }
    const struct CMUnitTest tests[] = {
#define X(name) {#name, name##_test, NULL, NULL, NULL},
        CASES(X)
#undef X
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
