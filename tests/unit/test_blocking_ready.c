/* SPDX-License-Identifier: MIT
 *
 * The blocking API: few threads that serve many streams, by smuxb_stream_watch and
 * smuxb_session_ready.
 */
#include "support_tls.h"

enum { SOON_MS = 50 };

static int ready_soon(smuxb_session *s, smuxb_stream **st) {
    return smuxb_session_ready(s, smuxb_after_ms(SOON_MS), st);
}

static void expect_ready(smuxb_session *s, smuxb_stream *expected) {
    smuxb_stream *st = NULL;
    assert_int_equal(smuxb_session_ready(s, smuxb_after_ms(PATIENCE_MS), &st), 0);
    assert_ptr_equal(st, expected);
}

static void expect_none_ready(smuxb_session *s) {
    smuxb_stream *st;
    assert_int_equal(ready_soon(s, &st), SMUXB_ERR_TIMEOUT);
    assert_null(st);
}

static void a_watched_stream_is_told_of_once_for_what_has_come(void **state) {
    struct duo *d = *state;
    struct ends one = open_ends(d), other = open_ends(d);
    smuxb_stream_watch(one.far);
    expect_none_ready(d->server);
    say(other.near, "nobody watches this");
    say(one.near, "abc");
    expect_ready(d->server, one.far);
    expect_text(one.far, "a");
    expect_none_ready(d->server);
    smuxb_stream_watch(one.far); /* the rest is still there */
    smuxb_stream_watch(one.far); /* and this changes nothing */
    expect_ready(d->server, one.far);
    expect_none_ready(d->server);
    close_ends(&one);
    close_ends(&other);
}

static void the_end_and_a_reset_are_told_of(void **state) {
    struct duo *d = *state;
    struct ends ended = open_ends(d), reset = open_ends(d);
    char byte;
    await_extensions(d->client, &reset); /* without them a reset is told as an end */
    await_extensions(d->server, &reset);
    smuxb_stream_watch(ended.far);
    assert_int_equal(smuxb_stream_close_write(ended.near), 0);
    expect_ready(d->server, ended.far);
    expect_eof(ended.far);
    smuxb_stream_watch(ended.far); /* it stays at its end */
    expect_ready(d->server, ended.far);
    smuxb_stream_watch(reset.far);
    smuxb_stream_reset(reset.near);
    expect_ready(d->server, reset.far);
    assert_int_equal(smuxb_stream_read(reset.far, &byte, 1), SMUX_ERR_PEER_RESET);
    smuxb_stream_close(ended.near);
    smuxb_stream_close(ended.far);
    smuxb_stream_close(reset.far);
}

static void a_closed_stream_is_not_told_of(void **state) {
    struct duo *d = *state;
    struct ends watched = open_ends(d), ready = open_ends(d);
    smuxb_stream_watch(watched.far);
    smuxb_stream_watch(ready.far);
    say(ready.near, "x");
    say(watched.near, "y");
    expect_ready(d->server, ready.far); /* so that it has come */
    smuxb_stream_watch(ready.far);
    smuxb_stream_close(ready.far);
    smuxb_stream_reset(watched.far);
    expect_none_ready(d->server);
    smuxb_stream_close(ready.near);
    smuxb_stream_close(watched.near);
}

static void the_sessions_end_makes_all_ready_before_it_is_an_error(void **state) {
    struct duo *d = *state;
    struct ends e[3];
    smuxb_stream *st;
    char byte;
    for (size_t i = 0; i < LENGTH(e); i++) {
        e[i] = open_ends(d);
        smuxb_stream_watch(e[i].far);
    }
    smuxb_session_close(d->client);
    for (size_t i = 0; i < LENGTH(e); i++) {
        assert_int_equal(smuxb_session_ready(d->server, smuxb_after_ms(PATIENCE_MS), &st), 0);
        while (smuxb_stream_read(st, &byte, 1) > 0)
            continue;
    }
    assert_int_equal(smuxb_session_ready(d->server, 0, &st), smuxb_session_wait(d->server, 0));
    smuxb_stream_watch(e[0].far);
    expect_ready(d->server, e[0].far);
    for (size_t i = 0; i < LENGTH(e); i++)
        close_ends(&e[i]);
}

static void *await_ready(void *session) {
    smuxb_stream *st;
    return (void *)(intptr_t)smuxb_session_ready(session, 0, &st);
}

static void closing_the_session_wakes_those_who_wait(void **state) {
    struct duo *d = *state;
    pthread_t threads[3];
    for (size_t i = 0; i < LENGTH(threads); i++)
        threads[i] = run(await_ready, d->server);
    settle();
    smuxb_session_close(d->server);
    for (size_t i = 0; i < LENGTH(threads); i++)
        assert_int_equal(result_of(threads[i]), SMUX_ERR_CLOSED);
}

/* ---- A pool of threads ---------------------------------------------------------------------- */

enum { STREAMS = 40, WORKERS = 4, PIECE = 30000 };
#define TOTAL (1000000u / SLOWNESS)

struct pool {
    smuxb_session *session;
    uint64_t done[STREAMS];
    bool busy[STREAMS];
    int ended;
};

/* The streams were opened in this order. */
static unsigned index_of(smuxb_stream *st) {
    return (smuxb_stream_id(st) - 1) / 2 % STREAMS;
}

/* Serves a stream, which no other thread uses meanwhile, once. False: the stream has ended. */
static bool serve(struct pool *p, smuxb_stream *st, unsigned *random) {
    unsigned i = index_of(st);
    uint8_t data[PIECE];
    THREAD_ASSERT(!__atomic_exchange_n(&p->busy[i], true, __ATOMIC_ACQ_REL));
    ssize_t n = smuxb_stream_read(st, data, 1 + (size_t)rand_r(random) % PIECE);
    THREAD_ASSERT(n >= 0 && pattern_ok(data, (size_t)n, smuxb_stream_id(st), p->done[i]));
    p->done[i] += (uint64_t)n;
    __atomic_store_n(&p->busy[i], false, __ATOMIC_RELEASE);
    return n > 0;
}

static void *work(void *pool) {
    struct pool *p = pool;
    unsigned random = (unsigned)(uintptr_t)&random;
    smuxb_stream *st;
    while (__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE) < STREAMS) {
        int error = ready_soon(p->session, &st);
        THREAD_ASSERT(!error || error == SMUXB_ERR_TIMEOUT);
        if (error)
            continue;
        if (serve(p, st, &random))
            smuxb_stream_watch(st);
        else
            __atomic_fetch_add(&p->ended, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *write_and_end(void *stream) {
    write_pattern(stream, smuxb_stream_id(stream), TOTAL, 70000);
    THREAD_ASSERT(!smuxb_stream_close_write(stream));
    return NULL;
}

static void few_threads_serve_many_streams(void **state) {
    struct duo *d = *state;
    static struct pool pool;
    struct ends ends[STREAMS];
    pthread_t workers[WORKERS], writers[STREAMS];
    pool = (struct pool){.session = d->server};
    for (int i = 0; i < STREAMS; i++) {
        ends[i] = open_ends(d);
        smuxb_stream_watch(ends[i].far);
    }
    for (int i = 0; i < WORKERS; i++)
        workers[i] = run(work, &pool);
    for (int i = 0; i < STREAMS; i++)
        writers[i] = run(write_and_end, ends[i].near);
    for (int i = 0; i < WORKERS; i++)
        result_of(workers[i]);
    for (int i = 0; i < STREAMS; i++) {
        result_of(writers[i]);
        assert_int_equal(pool.done[i], TOTAL);
        close_ends(&ends[i]);
    }
}

#define TESTS(X)                                                                                   \
    X(a_watched_stream_is_told_of_once_for_what_has_come)                                          \
    X(the_end_and_a_reset_are_told_of)                                                             \
    X(a_closed_stream_is_not_told_of)                                                              \
    X(the_sessions_end_makes_all_ready_before_it_is_an_error)                                      \
    X(closing_the_session_wakes_those_who_wait)                                                    \
    X(few_threads_serve_many_streams)

DUO_MAIN(TESTS)
