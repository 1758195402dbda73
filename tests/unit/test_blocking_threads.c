/* SPDX-License-Identifier: MIT
 *
 * The blocking API: threads that wait are woken, and share streams.
 */
#include "support_tls.h"

/* ---- Whoever waits is woken ----------------------------------------------------------------- */

/* Threads inside every call that can wait, several in each. */
enum { EACH = 3 };

struct waiting {
    pthread_t readers[EACH], writers[EACH], acceptors[EACH], enders[EACH];
    struct ends read, written[EACH];
};

static void start_waiting(struct waiting *w, struct duo *d) {
    w->read = open_ends(d);
    for (int i = 0; i < EACH; i++)
        w->written[i] = open_ends(d); /* later there will be no getting through */
    for (int i = 0; i < EACH; i++) {
        w->readers[i] = run(read_one, w->read.near);
        w->writers[i] = run(write_on, w->written[i].near);
        w->acceptors[i] = run(accept_one, d->client);
        w->enders[i] = run(wait_for_end, d->client);
    }
    settle();
}

static void expect_all(struct waiting *w, intptr_t error) {
    for (int i = 0; i < EACH; i++) {
        assert_int_equal(result_of(w->readers[i]), error);
        assert_int_equal(result_of(w->writers[i]), error);
        assert_int_equal(result_of(w->acceptors[i]), error);
        assert_int_equal(result_of(w->enders[i]), error);
        close_ends(&w->written[i]);
    }
    close_ends(&w->read);
}

static void closing_the_session_wakes_everyone(void **state) {
    struct duo *d = *state;
    struct waiting w;
    start_waiting(&w, d);
    smuxb_session_close(d->client);
    expect_all(&w, SMUX_ERR_CLOSED);
}

static void freeing_the_session_wakes_everyone(void **state) {
    struct duo *d = *state;
    struct waiting w;
    start_waiting(&w, d);
    smuxb_session_free(d->client);
    d->client = NULL;
    expect_all(&w, SMUX_ERR_CLOSED);
}

static void the_peers_end_wakes_everyone(void **state) {
    struct duo *d = *state;
    struct waiting w;
    start_waiting(&w, d);
    smuxb_session_close(d->server);
    expect_all(&w, SMUX_ERR_CARRIER);
}

static void closing_a_stream_wakes_its_threads_only(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d), other = open_ends(d);
    pthread_t readers[EACH], writers[EACH], bystander = run(read_one, other.near);
    for (int i = 0; i < EACH; i++) {
        readers[i] = run(read_one, smuxb_stream_ref(e.near));
        writers[i] = run(write_on, smuxb_stream_ref(e.near));
    }
    settle();
    smuxb_stream_close(e.near);
    for (int i = 0; i < EACH; i++) {
        assert_int_equal(result_of(readers[i]), SMUXB_ERR_STREAM_CLOSED);
        assert_int_equal(result_of(writers[i]), SMUXB_ERR_STREAM_CLOSED);
    }
    for (int i = 0; i < 2 * EACH; i++)
        smuxb_stream_unref(e.near);
    smuxb_stream_close(e.far);
    say(other.far, "x");
    assert_int_equal(result_of(bystander), 1);
    close_ends(&other);
}

static void resetting_a_stream_wakes_its_threads(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    pthread_t reader = run(read_one, smuxb_stream_ref(e.near));
    pthread_t writer = run(write_on, smuxb_stream_ref(e.near));
    settle();
    smuxb_stream_reset(e.near);
    assert_int_equal(result_of(reader), SMUXB_ERR_STREAM_CLOSED);
    assert_int_equal(result_of(writer), SMUXB_ERR_STREAM_CLOSED);
    smuxb_stream_unref(e.near);
    smuxb_stream_unref(e.near);
    smuxb_stream_reset(e.far);
}

static void an_end_of_file_wakes_every_reader(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    pthread_t readers[EACH];
    for (int i = 0; i < EACH; i++)
        readers[i] = run(read_one, e.far);
    settle();
    smuxb_stream_close(e.near);
    for (int i = 0; i < EACH; i++)
        assert_int_equal(result_of(readers[i]), 0);
    smuxb_stream_close(e.far);
}

/* ---- One stream, many threads --------------------------------------------------------------- */

#define RECORDS    300
#define RECORD_LEN 3000

struct record_writer {
    smuxb_stream *stream;
    uint8_t mark;
};

static void *write_records(void *argument) {
    struct record_writer *r = argument;
    uint8_t data[RECORD_LEN];
    memset(data, r->mark, sizeof data);
    for (int i = 0; i < RECORDS; i++)
        THREAD_ASSERT(smuxb_stream_write(r->stream, data, sizeof data) == sizeof data);
    return NULL;
}

static void *read_records(void *stream) {
    uint8_t data[RECORD_LEN];
    for (int i = 0; i < 4 * RECORDS; i++) {
        for (size_t done = 0; done < sizeof data;) {
            ssize_t n = smuxb_stream_read(stream, data + done, sizeof data - done);
            THREAD_ASSERT(n > 0);
            done += (size_t)n;
        }
        for (size_t k = 1; k < sizeof data; k++)
            THREAD_ASSERT(data[k] == data[0]);
    }
    return NULL;
}

static void the_bytes_of_each_write_stay_together(void **state) {
    struct ends e = open_ends(*state);
    struct record_writer writers[4];
    pthread_t threads[4], reader = run(read_records, e.far);
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct record_writer){e.near, (uint8_t)(i + 1)};
        threads[i] = run(write_records, &writers[i]);
    }
    for (int i = 0; i < 4; i++)
        result_of(threads[i]);
    result_of(reader);
    close_ends(&e);
}

static void *count_bytes(void *stream) {
    uint8_t data[999];
    intptr_t total = 0;
    for (ssize_t n; (n = smuxb_stream_read(stream, data, sizeof data)); total += n)
        THREAD_ASSERT(n > 0);
    return (void *)total;
}

static void readers_of_one_stream_share_what_comes(void **state) {
    struct ends e = open_ends(*state);
    pthread_t readers[4];
    intptr_t total = 0;
    for (int i = 0; i < 4; i++)
        readers[i] = run(count_bytes, e.far);
    write_pattern(e.near, 1, 3000000, 50000);
    smuxb_stream_close(e.near);
    for (int i = 0; i < 4; i++)
        total += result_of(readers[i]);
    assert_int_equal(total, 3000000);
    smuxb_stream_close(e.far);
}

#define TESTS(X)                                                                                   \
    X(closing_the_session_wakes_everyone)                                                          \
    X(freeing_the_session_wakes_everyone)                                                          \
    X(the_peers_end_wakes_everyone)                                                                \
    X(closing_a_stream_wakes_its_threads_only)                                                     \
    X(resetting_a_stream_wakes_its_threads)                                                        \
    X(an_end_of_file_wakes_every_reader)                                                           \
    X(the_bytes_of_each_write_stay_together)                                                       \
    X(readers_of_one_stream_share_what_comes)

DUO_MAIN(TESTS)
