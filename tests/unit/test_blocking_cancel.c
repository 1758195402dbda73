/* SPDX-License-Identifier: MIT
 *
 * The blocking API: threads that are cancelled while they are inside a call.  Such a thread once
 * disappeared while it was the one that reads the carrier, and left pointers to its former stack in
 * lists.
 */
#include "support_blocking.h"

/* ---- Threads that are cancelled ------------------------------------------------------------- */

/* A thread that makes one call and stores its result; if it is cancelled, it ends. By then no frame
 * is left on its stack that AddressSanitizer would object to. */
struct victim {
    void *(*call)(void *);
    void *with;
    intptr_t result;
};

#define NO_RESULT INTPTR_MIN

static void *make_call(void *argument) {
    struct victim *v = argument;
    v->result = (intptr_t)v->call(v->with);
    pthread_testcancel();
    return NULL;
}

/* ---- Cancelled before ----------------------------------------------------------------------- */

/* Echoes one stream, and opens one that only ends. */
static void *serve(void *session) {
    static uint8_t data[100000];
    smuxb_stream *st, *other;
    ssize_t n;
    THREAD_ASSERT(!smuxb_stream_open(session, &other));
    smuxb_stream_close(other);
    THREAD_ASSERT(!smuxb_stream_accept(session, &st));
    while ((n = smuxb_stream_read(st, data, sizeof data)) > 0)
        THREAD_ASSERT(smuxb_stream_write(st, data, (size_t)n) == n);
    THREAD_ASSERT(n == 0);
    smuxb_stream_close(st);
    return NULL;
}

/* Reads it as fast as the other thread writes it. */
static void *read_a_million(void *stream) {
    read_pattern(stream, 1, 1000000, 30000);
    return NULL;
}

/* Everything that a session can do, with a cancellation pending throughout. */
static void *everything_cancelled(void *fd) {
    smuxb_session *s;
    smuxb_stream *st, *other, *ready;
    char byte;
    pthread_cancel(pthread_self());
    THREAD_ASSERT(!smuxb_session_client(&s, *(int *)fd, NULL));
    THREAD_ASSERT(smuxb_session_wait(s, smuxb_after_ms(2)) == SMUXB_ERR_TIMEOUT);
    THREAD_ASSERT(!smuxb_stream_accept(s, &other));
    smuxb_stream_close(other);
    THREAD_ASSERT(!smuxb_stream_open(s, &st));
    smuxb_stream_set_read_deadline(st, smuxb_after_ms(2));
    THREAD_ASSERT(smuxb_stream_read(st, &byte, 1) == SMUXB_ERR_TIMEOUT);
    smuxb_stream_set_read_deadline(st, 0);
    pthread_t reader = run(read_a_million, st);
    write_pattern(st, 1, 1000000, 70000);
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* pthread_join acts on it */
    result_of(reader);
    pthread_setcancelstate(cancel, NULL);
    smuxb_session_ping(s);
    smuxb_stream_watch(st);
    THREAD_ASSERT(!smuxb_stream_close_write(st));
    THREAD_ASSERT(!smuxb_session_ready(s, 0, &ready) && ready == st);
    THREAD_ASSERT(smuxb_stream_read(st, &byte, 1) == 0);
    smuxb_stream_close(st);
    smuxb_session_free(s);
    return NULL;
}

static void a_cancelled_thread_finishes_what_it_calls(void **state) {
    const struct variant *variant = *state;
    smuxb_session *server;
    smux_config config;
    int fds[2];
    variant->pair(fds);
    struct victim victim = {everything_cancelled, &fds[0], NO_RESULT};
    smux_config_init(&config);
    assert_int_equal(smuxb_session_server(&server, fds[1], &config), 0);
    pthread_t serves = run(serve, server), cancelled = run(make_call, &victim);
    assert_ptr_equal((void *)result_of(cancelled), PTHREAD_CANCELED);
    assert_int_equal(victim.result, 0);
    result_of(serves);
    smuxb_session_free(server);
}

/* ---- Cancelled while it waits --------------------------------------------------------------- */

/* Until there is no more, or the session has ended. */
static void *read_on(void *stream) {
    static uint8_t data[100000];
    while (smuxb_stream_read(stream, data, sizeof data) > 0)
        ;
    return NULL;
}

static void cancelled_threads_go_on_waiting_and_others_too(void **state) {
    struct duo *d = *state;
    struct ends a = open_ends(d), b = open_ends(d), full = open_ends(d);
    struct victim victims[] = {
        {read_one, a.far, NO_RESULT},       {read_one, a.far, NO_RESULT},
        {accept_one, d->server, NO_RESULT}, {wait_for_end, d->server, NO_RESULT},
        {write_on, full.near, NO_RESULT},
    };
    static const intptr_t results[] = {1, 1, 0, SMUX_ERR_CARRIER, SMUX_ERR_CLOSED};
    pthread_t threads[LENGTH(victims)];
    for (size_t i = 0; i < LENGTH(victims); i++)
        threads[i] = run(make_call, &victims[i]);
    settle();
    for (size_t i = 0; i < LENGTH(victims); i++)
        pthread_cancel(threads[i]);
    settle();
    say(b.far, "answer");
    expect_text(b.near, "answer");
    /* Make the path full with the data of `full`. */
    pthread_t drain = run(read_on, full.far);
    say(b.near, "question");
    expect_text(b.far, "question");
    say(a.near, "xx");
    smuxb_stream *opened;
    assert_int_equal(smuxb_stream_open(d->client, &opened), 0);
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal((void *)result_of(threads[i]), PTHREAD_CANCELED);
    smuxb_session_close(d->client);
    for (size_t i = 3; i < LENGTH(victims); i++)
        assert_ptr_equal((void *)result_of(threads[i]), PTHREAD_CANCELED);
    for (size_t i = 0; i < LENGTH(victims); i++)
        assert_int_equal(victims[i].result, results[i]);
    result_of(drain);
    smuxb_stream_close(opened);
    close_ends(&a);
    close_ends(&b);
    close_ends(&full);
}

int main(void) {
    int failed = 0;
    for (size_t i = 0; i < LENGTH(variants); i++) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(a_cancelled_thread_finishes_what_it_calls, &variants[i]),
            DUO_TEST(cancelled_threads_go_on_waiting_and_others_too)};
        failed += cmocka_run_group_tests_name(variants[i].name, tests, NULL, NULL);
    }
    return failed;
}
