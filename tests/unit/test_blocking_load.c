/* SPDX-License-Identifier: MIT
 *
 * The blocking API: many streams, much data, tight deadlines.
 */
#include "support_blocking.h"

/* ---- Many streams --------------------------------------------------------------------------- */

static void *echo(void *stream) {
    uint8_t data[8192];
    ssize_t n;
    while ((n = smuxb_stream_read(stream, data, sizeof data)) > 0)
        THREAD_ASSERT(smuxb_stream_write(stream, data, (size_t)n) == n);
    THREAD_ASSERT(n == 0);
    smuxb_stream_close(stream);
    return NULL;
}

/* A thread for each stream, until the session ends. */
static void *serve_echo(void *session) {
    pthread_t threads[1000];
    intptr_t served = 0;
    for (smuxb_stream *st; !smuxb_stream_accept(session, &st); served++) {
        THREAD_ASSERT(served < (intptr_t)LENGTH(threads));
        threads[served] = run(echo, st);
    }
    for (intptr_t i = 0; i < served; i++)
        result_of(threads[i]);
    return (void *)served;
}

struct echo_client {
    smuxb_session *session;
    uint32_t seed;
};

/* Every seventh stream goes byte by byte, which with hundreds of threads is the most expensive case
 * under TSan. */
static size_t echo_step(uint32_t seed) {
    return 1 + 7001 * (seed % 7);
}

static size_t echo_length(uint32_t seed) {
    size_t len = 40000 + 1000 * (seed % 50);
    return echo_step(seed) == 1 ? len / SLOWNESS : len;
}

static void *write_seed(void *argument) {
    void **both = argument;
    struct echo_client *c = both[1];
    write_pattern(both[0], c->seed, echo_length(c->seed), echo_step(c->seed));
    smuxb_stream_close_write(both[0]);
    return NULL;
}

static void *use_echo(void *argument) {
    struct echo_client *c = argument;
    smuxb_stream *st;
    char byte;
    THREAD_ASSERT(!smuxb_stream_open(c->session, &st));
    void *both[] = {st, c};
    pthread_t writer = run(write_seed, both);
    read_pattern(st, c->seed, echo_length(c->seed), 5000);
    THREAD_ASSERT(smuxb_stream_read(st, &byte, 1) == 0);
    result_of(writer);
    smuxb_stream_close(st);
    return NULL;
}

static void two_hundred_streams_echo_at_once(void **state) {
    struct duo *d = *state;
    enum { STREAMS = 200 };
    static struct echo_client clients[STREAMS];
    pthread_t threads[STREAMS], server = run(serve_echo, d->server);
    for (uint32_t i = 0; i < STREAMS; i++) {
        clients[i] = (struct echo_client){d->client, i};
        threads[i] = run(use_echo, &clients[i]);
    }
    for (int i = 0; i < STREAMS; i++)
        result_of(threads[i]);
    smuxb_session_close(d->client);
    assert_int_equal(result_of(server), STREAMS);
}

static void *accept_and_close(void *session) {
    intptr_t count = 0;
    for (smuxb_stream *st; !smuxb_stream_accept(session, &st); count++)
        smuxb_stream_close(st);
    return (void *)count;
}

static void *open_and_close(void *session) {
    for (int i = 0; i < 3000; i++) {
        smuxb_stream *st;
        THREAD_ASSERT(!smuxb_stream_open(session, &st));
        if (i % 3 == 0)
            THREAD_ASSERT(smuxb_stream_write(st, "x", 1) == 1);
        if (i % 7 == 0)
            smuxb_stream_reset(st);
        else
            smuxb_stream_close(st);
    }
    return NULL;
}

/* None is lost or refused, although far more are opened at once than the backlog holds. */
static void thousands_of_streams_open_and_close(void **state) {
    struct duo *d = *state;
    pthread_t openers[3], acceptors[2];
    intptr_t accepted = 0;
    for (int i = 0; i < 2; i++)
        acceptors[i] = run(accept_and_close, d->server);
    for (int i = 0; i < 3; i++)
        openers[i] = run(open_and_close, d->client);
    for (int i = 0; i < 3; i++)
        result_of(openers[i]);
    smuxb_session_close(d->client);
    for (int i = 0; i < 2; i++)
        accepted += result_of(acceptors[i]);
    assert_int_equal(accepted, 9000);
}

/* Sizes that repeat for a while and then change, so that the receiver's prediction is often right
 * and often wrong. */
static size_t next_size(unsigned *random, size_t before) {
    static const size_t scales[] = {10, 300, 9000, 40000, 140000};
    if (rand_r(random) % 4)
        return before;
    return 1 + (size_t)rand_r(random) % scales[rand_r(random) % LENGTH(scales)];
}

#define MIXED (12000000u / SLOWNESS)

static void *write_mixed(void *stream) {
    unsigned random = smuxb_stream_id(stream);
    uint8_t *data = malloc(140001);
    for (size_t done = 0, n = 1; done < MIXED; done += n) {
        n = next_size(&random, n);
        n = n < MIXED - done ? n : MIXED - done;
        pattern_fill(data, n, smuxb_stream_id(stream), done);
        THREAD_ASSERT(smuxb_stream_write(stream, data, n) == (ssize_t)n);
    }
    free(data);
    return NULL;
}

static void *read_mixed(void *stream) {
    unsigned random = smuxb_stream_id(stream) + 1;
    uint8_t *data = malloc(140001);
    for (size_t done = 0, want = 1; done < MIXED;) {
        want = next_size(&random, want);
        want = want < MIXED - done ? want : MIXED - done;
        ssize_t n = smuxb_stream_read(stream, data, want);
        THREAD_ASSERT(n > 0 && (size_t)n <= want);
        THREAD_ASSERT(pattern_ok(data, (size_t)n, smuxb_stream_id(stream), done));
        done += (size_t)n;
    }
    free(data);
    return NULL;
}

static void frames_of_all_sizes_arrive_whole(void **state) {
    struct ends e[3];
    pthread_t writers[3], readers[3];
    for (int streams = 1; streams <= 3; streams += 2) {
        for (int i = 0; i < streams; i++) {
            e[i] = open_ends(*state);
            writers[i] = run(write_mixed, e[i].near);
            readers[i] = run(read_mixed, e[i].far);
        }
        for (int i = 0; i < streams; i++) {
            result_of(writers[i]);
            result_of(readers[i]);
            close_ends(&e[i]);
        }
    }
}

/* ---- Nobody stops the others ---------------------------------------------------------------- */

#define BULK (20000000u / SLOWNESS)

static void *read_bulk(void *stream) {
    read_pattern(stream, 9, BULK, 65536);
    return NULL;
}

static void *write_bulk(void *stream) {
    write_pattern(stream, 9, BULK, 131072);
    return NULL;
}

static void a_stream_nobody_reads_does_not_stop_the_others(void **state) {
    struct duo *d = *state;
    struct ends stuck = open_ends(d), e = open_ends(d);
    if (d->variant->version == 1) { /* as long as the budget lasts */
        write_pattern(stuck.near, 1, 1000000, 100000);
    } else {
        smuxb_stream_set_write_deadline(stuck.near, smuxb_after_ms(1));
        while (smuxb_stream_write(stuck.near, "fill it up", 10) > 0)
            smuxb_stream_set_write_deadline(stuck.near, smuxb_after_ms(1));
    }
    pthread_t writer = run(write_bulk, e.near);
    read_bulk(e.far);
    result_of(writer);
    close_ends(&e);
    close_ends(&stuck);
}

/* Far more than the carrier holds, and no thread that only reads. */
static void *fill_streams(void *argument) {
    smuxb_stream **streams = argument;
    for (int i = 0; i < 12; i++)
        write_pattern(streams[i], (uint32_t)i, 200000, 200000);
    return NULL;
}

static void both_sides_may_write_before_either_reads(void **state) {
    struct duo *d = *state;
    smuxb_stream *near[12], *far[12];
    for (int i = 0; i < 12; i++) {
        struct ends e = open_ends(d);
        near[i] = e.near;
        far[i] = e.far;
    }
    pthread_t other = run(fill_streams, far);
    fill_streams(near);
    result_of(other);
    for (int i = 0; i < 12; i++) {
        read_pattern(near[i], (uint32_t)i, 200000, 70000);
        read_pattern(far[i], (uint32_t)i, 200000, 70000);
        smuxb_stream_close(near[i]);
        smuxb_stream_close(far[i]);
    }
}

static void bulk_flows_both_ways_at_once(void **state) {
    struct ends e = open_ends(*state);
    pthread_t a = run(write_bulk, e.near), b = run(read_bulk, e.near), c = run(write_bulk, e.far);
    read_bulk(e.far);
    result_of(a);
    result_of(b);
    result_of(c);
    close_ends(&e);
}

/* A thread that waits for rare data must neither delay busy threads nor starve. */
static void *ping(void *stream) {
    char byte = 1;
    for (int i = 0; i < 2000; i++) {
        THREAD_ASSERT(smuxb_stream_write(stream, &byte, 1) == 1);
        THREAD_ASSERT(smuxb_stream_read(stream, &byte, 1) == 1);
    }
    THREAD_ASSERT(!smuxb_stream_close_write(stream));
    return NULL;
}

static void a_ping_pong_and_idle_waiters_get_along(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d), idle = open_ends(d);
    pthread_t acceptor = run(accept_one, d->server), reader = run(read_one, idle.far);
    pthread_t near = run(ping, e.near), far = run(echo, e.far);
    result_of(near);
    result_of(far);
    say(idle.near, "x");
    assert_int_equal(result_of(reader), 1);
    smuxb_stream *st;
    assert_int_equal(smuxb_stream_open(d->client, &st), 0);
    assert_int_equal(result_of(acceptor), 0);
    smuxb_stream_close(st);
    smuxb_stream_close(e.near);
    close_ends(&idle);
}

/* ---- Deadlines under load ------------------------------------------------------------------- */

struct pressed {
    smuxb_stream *stream;
    uint64_t written;
};

/* Nearly every write is cut short somewhere. */
static void *write_pressed(void *argument) {
    struct pressed *p = argument;
    static const size_t len = 300000;
    uint8_t *data = malloc(len);
    for (int i = 0; i < 200; i++) {
        pattern_fill(data, len, 4, p->written);
        smuxb_stream_set_write_deadline(p->stream, smuxb_now_us() + (uint64_t)(i % 10) * 50);
        ssize_t n = smuxb_stream_write(p->stream, data, len);
        THREAD_ASSERT(n > 0 || n == SMUXB_ERR_TIMEOUT);
        p->written += n > 0 ? (uint64_t)n : 0;
    }
    free(data);
    smuxb_stream_close_write(p->stream);
    return NULL;
}

static void a_write_cut_short_says_exactly_what_went_out(void **state) {
    struct ends e = open_ends(*state);
    struct pressed p = {.stream = e.near};
    pthread_t writer = run(write_pressed, &p);
    uint8_t data[50000];
    uint64_t got = 0;
    for (ssize_t n; (n = smuxb_stream_read(e.far, data, sizeof data)); got += (uint64_t)n) {
        assert_true(n > 0);
        assert_true(pattern_ok(data, (size_t)n, 4, got));
    }
    result_of(writer);
    assert_int_equal(got, p.written);
    close_ends(&e);
}

/* ---- Everything at once --------------------------------------------------------------------- */

static void *misbehave(void *argument) {
    struct echo_client *c = argument;
    unsigned random = c->seed * 2654435761u + 1;
    uint8_t data[5000];
    for (int i = 0; i < 150; i++) {
        smuxb_stream *st;
        if (smuxb_stream_open(c->session, &st))
            break;
        smuxb_stream_set_deadline(st, smuxb_now_us() + (uint64_t)(rand_r(&random) % 3000));
        (void)smuxb_stream_write(st, data, (size_t)rand_r(&random) % sizeof data);
        smuxb_stream *held = smuxb_stream_ref(st);
        pthread_t reader = run(read_one, held);
        if (rand_r(&random) % 2)
            (void)smuxb_stream_close_write(st);
        if (rand_r(&random) % 3)
            smuxb_stream_close(st);
        else
            smuxb_stream_reset(st);
        result_of(reader);
        smuxb_stream_unref(held);
    }
    return NULL;
}

static void *echo_carelessly(void *stream) {
    uint8_t data[3000];
    ssize_t n;
    while ((n = smuxb_stream_read(stream, data, sizeof data)) > 0)
        if (smuxb_stream_write(stream, data, (size_t)n) < 0)
            break;
    smuxb_stream_close(stream);
    return NULL;
}

static void *serve_carelessly(void *session) {
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    size_t count = 0;
    for (smuxb_stream *st; !smuxb_stream_accept(session, &st); count++) {
        if (count >= THREADS)
            result_of(threads[count % THREADS]);
        threads[count % THREADS] = run(echo_carelessly, st);
    }
    for (size_t i = 0; i < THREADS && i < count; i++)
        result_of(threads[i]);
    return NULL;
}

static void everything_at_once_and_then_the_end(void **state) {
    struct duo *d = *state;
    struct echo_client clients[6];
    pthread_t threads[6], server = run(serve_carelessly, d->server);
    pthread_t other = run(serve_carelessly, d->client);
    for (uint32_t i = 0; i < 6; i++) {
        clients[i] = (struct echo_client){i % 2 ? d->client : d->server, i};
        threads[i] = run(misbehave, &clients[i]);
    }
    for (int i = 0; i < 6; i++)
        result_of(threads[i]);
    smuxb_session_close(d->client);
    result_of(server);
    result_of(other);
}

#define TESTS(X)                                                                                   \
    X(frames_of_all_sizes_arrive_whole)                                                            \
    X(two_hundred_streams_echo_at_once)                                                            \
    X(thousands_of_streams_open_and_close)                                                         \
    X(a_stream_nobody_reads_does_not_stop_the_others)                                              \
    X(both_sides_may_write_before_either_reads)                                                    \
    X(bulk_flows_both_ways_at_once)                                                                \
    X(a_ping_pong_and_idle_waiters_get_along)                                                      \
    X(a_write_cut_short_says_exactly_what_went_out)                                                \
    X(everything_at_once_and_then_the_end)

DUO_MAIN(TESTS)
