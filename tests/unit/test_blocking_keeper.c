/* SPDX-License-Identifier: MIT
 *
 * The blocking API: the carrier is read and written even if no user thread waits, if one sends
 * small frames all the time, and if the carrier is full.
 */
#include "support_bare.h"

#include <dirent.h>

/* ---- A bare socket as the peer -------------------------------------------------------------- */

static void bare_start_quiet(struct bare *b) {
    smux_config config;
    smux_config_init(&config);
    config.version = 1;
    config.keepalive_disabled = true; /* no clock is to come to the rescue */
    bare_start(b, unix_pair, &config);
}

static uint64_t frames_in(const struct bare *b) {
    smux_session_info info;
    smuxb_session_get_info(b->session, &info);
    return info.frames_in;
}

static void await_frames(const struct bare *b, uint64_t count) {
    uint64_t end_us = smuxb_after_ms(PATIENCE_MS);
    while (frames_in(b) < count && smuxb_now_us() < end_us)
        usleep(1000);
    assert_true(frames_in(b) >= count);
}

/* A writer has timed out, no thread is in a call, and the peer still reads nothing. */
static void input_is_read_while_the_carrier_is_full(void **state) {
    static uint8_t much[4000000];
    struct bare b;
    (void)state;
    bare_start_quiet(&b);
    peer_sends(&b, WIRE_SYN, 3, 0);
    smuxb_stream *st = accepted(&b);
    smuxb_stream_set_write_deadline(st, smuxb_after_ms(30));
    assert_true(smuxb_stream_write(st, much, sizeof much) < (ssize_t)sizeof much);
    for (uint32_t id = 5; id < 25; id += 2) {
        peer_sends(&b, WIRE_SYN, id, 0);
        await_frames(&b, (id - 1) / 2);
        usleep(3000);
    }
    smuxb_stream_reset(st);
    close(b.peer); /* or closing would wait for it to take the rest */
    b.peer = -1;
    bare_end(&b);
}

enum { PACE_US = 80, NAP_US = 2000, ROUNDS = 100 };

/* The session's thread has polled and now pauses, because the program is active; the program then
 * closes a stream at a moment when it has to read the received data itself. */
static void an_answer_is_read_though_a_close_finds_the_peer_gone(void **state) {
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        smuxb_stream *opened;
        struct bare b;
        bare_start_quiet(&b);
        peer_sends(&b, WIRE_SYN, 3, 0);
        smuxb_stream *st = accepted(&b);
        usleep(NAP_US);
        assert_int_equal(smuxb_stream_open(b.session, &opened), 0);
        usleep(PACE_US);
        peer_sends(&b, WIRE_PSH, 3, 6);
        peer_says(&b, "answer", 6);
        peer_sends(&b, WIRE_FIN, 3, 0);
        close(b.peer);
        b.peer = -1;
        smuxb_stream_close(opened);
        expect_text(st, "answer");
        expect_eof(st);
        smuxb_stream_close(st);
        bare_end(&b);
    }
}

static void input_is_read_though_nobody_accepts_and_one_opens_and_closes(void **state) {
    struct bare b;
    smuxb_stream *st;
    uint64_t end_us = smuxb_after_ms(PATIENCE_MS);
    (void)state;
    bare_start_quiet(&b);
    peer_sends(&b, WIRE_SYN, 3, 0);
    await_frames(&b, 1);
    for (int i = 0; frames_in(&b) < 2 && smuxb_now_us() < end_us; i++) {
        if (i == 20)
            peer_sends(&b, WIRE_SYN, 5, 0);
        usleep(PACE_US);
        assert_int_equal(smuxb_stream_open(b.session, &st), 0);
        smuxb_stream_close(st);
    }
    assert_int_equal(frames_in(&b), 2);
    bare_end(&b);
}

/* How often threads of this process have gone to sleep. */
static long sleeps(void) {
    char path[64], line[128];
    long sum = 0, n;
    struct dirent *task;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        snprintf(path, sizeof path, "/proc/self/task/%.16s/status", task->d_name);
        FILE *status = fopen(path, "r");
        while (status && fgets(line, sizeof line, status))
            if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
                sum += n;
        if (status)
            fclose(status);
    }
    closedir(tasks);
    return sum;
}

/* Writes until it blocks, because the peer reads nothing. */
static void fill(smuxb_stream *st) {
    static uint8_t some[1000];
    for (ssize_t n = 1; n > 0;) {
        smuxb_stream_set_write_deadline(st, smuxb_after_ms(10));
        n = smuxb_stream_write(st, some, sizeof some);
    }
}

/* Data written to one stream has filled the carrier; the only other thread reads the other
 * stream. */
struct full {
    smuxb_stream *read, *written;
    pthread_t reader;
};

static void full_start(struct bare *b, struct full *f) {
    bare_start_quiet(b);
    peer_sends(b, WIRE_SYN, 3, 0);
    peer_sends(b, WIRE_SYN, 5, 0);
    f->read = accepted(b);
    f->written = accepted(b);
    f->reader = run(read_one, f->read);
    settle();
    fill(f->written);
    settle();
}

static void full_read(struct bare *b, const struct full *f) {
    peer_sends(b, WIRE_PSH, 3, 1);
    peer_says(b, "x", 1);
    assert_int_equal(result_of(f->reader), 1);
}

static void no_thread_wakes_while_the_carrier_is_full_and_a_reader_waits(void **state) {
    struct bare b;
    struct full f;
    (void)state;
    full_start(&b, &f);
    long before = sleeps();
    usleep(100000);
    assert_in_range(sleeps() - before, 0, 20);
    full_read(&b, &f);
    smuxb_stream_reset(f.written);
    close(b.peer); /* or closing would wait for it to take the rest */
    b.peer = -1;
    smuxb_stream_close(f.read);
    bare_end(&b);
}

/* A write whose deadline has expired is taken back, so there is nothing to send while the carrier
 * is full. The next write is copied, to be sent by the thread that finds room; the only other
 * thread reads. */
static void a_small_write_after_a_full_carrier_is_sent(void **state) {
    static uint8_t drained[65536];
    struct bare b;
    struct full f;
    (void)state;
    full_start(&b, &f);
    smuxb_stream_set_write_deadline(f.written, smuxb_after_ms(PATIENCE_MS));
    assert_int_equal(smuxb_stream_write(f.written, "last", 4), 4);
    struct timeval patience = {.tv_sec = PATIENCE_MS / 2000};
    setsockopt(b.peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (ssize_t n = 0; n < 4 || memcmp(drained + n - 4, "last", 4) != 0;) {
        n = recv(b.peer, drained, sizeof drained, 0);
        assert_true(n > 0);
    }
    full_read(&b, &f);
    smuxb_stream_close(f.read);
    smuxb_stream_close(f.written);
    bare_end(&b);
}

/* ---- Two sessions --------------------------------------------------------------------------- */

static bool ended;

static void *open_and_close(void *session) {
    unsigned random = 1;
    smuxb_stream *st;
    while (!__atomic_load_n(&ended, __ATOMIC_RELAXED)) {
        THREAD_ASSERT(!smuxb_stream_open(session, &st));
        smuxb_stream_close(st);
        if (rand_r(&random) % 4 == 0)
            usleep((useconds_t)rand_r(&random) % 100);
    }
    return NULL;
}

static void *echo(void *stream) {
    char byte;
    while (smuxb_stream_read(stream, &byte, 1) == 1)
        THREAD_ASSERT(smuxb_stream_write(stream, &byte, 1) == 1);
    return NULL;
}

static void *accept_and_close(void *session) {
    smuxb_stream *st;
    while (!smuxb_stream_accept(session, &st))
        smuxb_stream_close(st);
    return NULL;
}

static void a_conversation_continues_beside_threads_that_open_and_close(void **state) {
    struct duo d;
    char byte = 'x';
    duo_prepare(&d, *state);
    d.config.keepalive_disabled = true;
    duo_start(&d);
    struct ends e = open_ends(&d);
    __atomic_store_n(&ended, false, __ATOMIC_RELAXED);
    pthread_t others[] = {run(open_and_close, d.client), run(accept_and_close, d.server),
                          run(echo, e.far)};
    for (int i = 0; i < 5000 / SLOWNESS; i++) {
        smuxb_stream_set_read_deadline(e.near, smuxb_after_ms(PATIENCE_MS / 2));
        assert_int_equal(smuxb_stream_write(e.near, &byte, 1), 1);
        assert_int_equal(smuxb_stream_read(e.near, &byte, 1), 1);
    }
    smuxb_stream_close(e.near);
    __atomic_store_n(&ended, true, __ATOMIC_RELAXED);
    result_of(others[0]);
    result_of(others[2]);
    smuxb_stream_close(e.far);
    smuxb_session_close(d.client);
    result_of(others[1]);
    duo_end(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_is_read_while_the_carrier_is_full),
        cmocka_unit_test(an_answer_is_read_though_a_close_finds_the_peer_gone),
        cmocka_unit_test(input_is_read_though_nobody_accepts_and_one_opens_and_closes),
        cmocka_unit_test(no_thread_wakes_while_the_carrier_is_full_and_a_reader_waits),
        cmocka_unit_test(a_small_write_after_a_full_carrier_is_sent),
        cmocka_unit_test_prestate(a_conversation_continues_beside_threads_that_open_and_close,
                                  &variants[0]),
        cmocka_unit_test_prestate(a_conversation_continues_beside_threads_that_open_and_close,
                                  &variants[3]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
