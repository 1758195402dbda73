/* SPDX-License-Identifier: MIT
 *
 * For tests of the blocking API: two connected sessions, threads, patterns.
 */
#ifndef TEST_SUPPORT_BLOCKING_H
#define TEST_SUPPORT_BLOCKING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/smux_blocking.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* The limit for calls that must return; nothing is expected to take that long. */
#define PATIENCE_MS 60000

/* Under TSan every byte of a pattern costs a hundred times as much. */
#ifdef __SANITIZE_THREAD__
#define SLOWNESS 10
#else
#define SLOWNESS 1
#endif

/* Assertions for other threads: cmocka's may only be used in the test's own. */
#define THREAD_ASSERT(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- Carriers ------------------------------------------------------------------------------- */

static inline void unix_pair(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static inline void tcp_pair(int fds[2]) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&a, len), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listener);
}

/* ---- Two sessions --------------------------------------------------------------------------- */

struct duo;

/* A test is repeated for each variant. */
struct variant {
    const char *name;
    void (*pair)(int fds[2]);
    int version;
    /* Starts the sessions, if not just over the descriptors. */
    void (*start)(struct duo *d, int fds[2]);
};

__attribute__((unused)) static struct variant variants[] = {{"unix, version 1", unix_pair, 1, NULL},
                                                            {"unix, version 2", unix_pair, 2, NULL},
                                                            {"TCP, version 1", tcp_pair, 1, NULL},
                                                            {"TCP, version 2", tcp_pair, 2, NULL},
#ifdef MORE_VARIANTS
                                                            MORE_VARIANTS
#endif
};

struct duo {
    const struct variant *variant;
    smux_config config;
    smuxb_session *client, *server;
};

static inline void duo_prepare(struct duo *d, const struct variant *variant) {
    *d = (struct duo){.variant = variant};
    smux_config_init(&d->config);
    d->config.version = variant->version;
}

static inline void duo_start(struct duo *d) {
    int fds[2];
    d->variant->pair(fds);
    if (d->variant->start) {
        d->variant->start(d, fds);
        return;
    }
    assert_int_equal(smuxb_session_client(&d->client, fds[0], &d->config), 0);
    assert_int_equal(smuxb_session_server(&d->server, fds[1], &d->config), 0);
}

static inline void duo_end(struct duo *d) {
    smuxb_session_free(d->client);
    smuxb_session_free(d->server);
}

/* For cmocka: the initial state is the variant. */
static inline int duo_setup(void **state) {
    struct duo *d = malloc(sizeof *d);
    duo_prepare(d, *state);
    duo_start(d);
    *state = d;
    return 0;
}

static inline int duo_teardown(void **state) {
    duo_end(*state);
    free(*state);
    return 0;
}

/* A main that runs TESTS, an X-macro, once for each variant, a duo for each test. */
#define DUO_TEST(test)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(test, duo_setup, duo_teardown, &variants[i]),
#define DUO_MAIN(TESTS)                                                                            \
    int main(void) {                                                                               \
        int failed = 0;                                                                            \
        for (size_t i = 0; i < LENGTH(variants); i++) {                                            \
            const struct CMUnitTest tests[] = {TESTS(DUO_TEST)};                                   \
            failed += cmocka_run_group_tests_name(variants[i].name, tests, NULL, NULL);            \
        }                                                                                          \
        return failed;                                                                             \
    }

/* A stream's two ends; the server has to see a byte first, for it to know of the stream. */
struct ends {
    smuxb_stream *near, *far;
};

static inline struct ends open_ends(struct duo *d) {
    struct ends e;
    assert_int_equal(smuxb_stream_open(d->client, &e.near), 0);
    assert_int_equal(smuxb_stream_accept(d->server, &e.far), 0);
    assert_int_equal(smuxb_stream_id(e.near), smuxb_stream_id(e.far));
    return e;
}

static inline void close_ends(struct ends *e) {
    smuxb_stream_close(e->near);
    smuxb_stream_close(e->far);
}

/* ---- Data ----------------------------------------------------------------------------------- */

/* Each byte depends on position and seed, so that lost, repeated or exchanged data is detected. The
 * sequence has a prime length, so that no loss or repetition of a buffer's size goes unnoticed.
 * Runs of it are copied and compared as a whole: byte by byte, this took most of a test's time
 * under TSan. */
#define PATTERN_PERIOD 65521
static uint8_t pattern_bytes[PATTERN_PERIOD];

__attribute__((constructor)) static void pattern_prepare(void) {
    for (uint64_t i = 0; i < PATTERN_PERIOD; i++)
        pattern_bytes[i] = (uint8_t)(i * 0x9E3779B97F4A7C15u >> 29);
}

/* The pattern at `position`, and how much of it (up to `len`) is contiguous. */
static inline const uint8_t *pattern_run(uint32_t seed, uint64_t position, size_t *len) {
    size_t at = (size_t)((position + seed * UINT64_C(7919)) % PATTERN_PERIOD);
    if (*len > PATTERN_PERIOD - at)
        *len = PATTERN_PERIOD - at;
    return pattern_bytes + at;
}

static inline void pattern_fill(uint8_t *to, size_t len, uint32_t seed, uint64_t position) {
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done;
        const uint8_t *run = pattern_run(seed, position + done, &n);
        memcpy(to + done, run, n);
    }
}

static inline bool pattern_ok(const uint8_t *data, size_t len, uint32_t seed, uint64_t position) {
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done;
        const uint8_t *run = pattern_run(seed, position + done, &n);
        if (memcmp(data + done, run, n) != 0)
            return false;
    }
    return true;
}

/* Writes or reads that many bytes of the pattern, in pieces of `step`. */
static inline void write_pattern(smuxb_stream *st, uint32_t seed, size_t total, size_t step) {
    uint8_t *data = malloc(step);
    THREAD_ASSERT(data);
    for (size_t done = 0; done < total;) {
        size_t n = step < total - done ? step : total - done;
        pattern_fill(data, n, seed, done);
        THREAD_ASSERT(smuxb_stream_write(st, data, n) == (ssize_t)n);
        done += n;
    }
    free(data);
}

static inline void read_pattern(smuxb_stream *st, uint32_t seed, size_t total, size_t step) {
    uint8_t *data = malloc(step);
    THREAD_ASSERT(data);
    for (size_t done = 0; done < total;) {
        size_t want = step < total - done ? step : total - done;
        ssize_t n = smuxb_stream_read(st, data, want);
        THREAD_ASSERT(n > 0 && (size_t)n <= want);
        THREAD_ASSERT(pattern_ok(data, (size_t)n, seed, done));
        done += (size_t)n;
    }
    free(data);
}

/* The length of a loan, and whether its bytes are the pattern from `position` on. */
static inline size_t loan_len(const smuxb_loan *loan) {
    size_t len = 0;
    for (int i = 0; i < loan->iovcnt; i++)
        len += loan->iov[i].iov_len;
    return len;
}

static inline bool loan_ok(const smuxb_loan *loan, uint32_t seed, uint64_t position) {
    for (int i = 0; i < loan->iovcnt; i++) {
        if (!pattern_ok(loan->iov[i].iov_base, loan->iov[i].iov_len, seed, position))
            return false;
        position += loan->iov[i].iov_len;
    }
    return true;
}

static inline void expect_text(smuxb_stream *st, const char *text) {
    char got[256];
    size_t len = strlen(text), done = 0;
    assert_true(len < sizeof got);
    while (done < len) {
        ssize_t n = smuxb_stream_read(st, got + done, len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    assert_memory_equal(got, text, len);
}

static inline void expect_eof(smuxb_stream *st) {
    char byte;
    assert_int_equal(smuxb_stream_read(st, &byte, 1), 0);
}

static inline void say(smuxb_stream *st, const char *text) {
    assert_int_equal(smuxb_stream_write(st, text, strlen(text)), strlen(text));
}

static inline void await_extensions(smuxb_session *s, struct ends *e) {
    smux_session_info info;
    do {
        say(e->near, ".");
        expect_text(e->far, ".");
        say(e->far, ".");
        expect_text(e->near, ".");
        smuxb_session_get_info(s, &info);
    } while (!info.peer_extensions);
}

/* ---- Threads -------------------------------------------------------------------------------- */

static inline pthread_t run(void *(*what)(void *), void *with) {
    pthread_t thread;
    THREAD_ASSERT(!pthread_create(&thread, NULL, what, with));
    return thread;
}

static inline intptr_t result_of(pthread_t thread) {
    void *result;
    THREAD_ASSERT(!pthread_join(thread, &result));
    return (intptr_t)result;
}

/* Uses that many streams (at most 16) at once, each written by one thread and read by another. */
static inline void carry_over(struct duo *d, int streams, void *(*writes)(void *),
                              void *(*reads)(void *)) {
    struct ends ends[16];
    pthread_t readers[16], writers[16];
    assert_in_range(streams, 1, 16);
    for (int i = 0; i < streams; i++)
        ends[i] = open_ends(d);
    for (int i = 0; i < streams; i++) {
        readers[i] = run(reads, ends[i].far);
        writers[i] = run(writes, ends[i].near);
    }
    for (int i = 0; i < streams; i++) {
        result_of(readers[i]);
        result_of(writers[i]);
        close_ends(&ends[i]);
    }
}

/* Makes one call in a separate thread, whose result is that of the call. */
static inline void *read_one(void *stream) {
    char byte;
    return (void *)(intptr_t)smuxb_stream_read(stream, &byte, 1);
}

static inline void *accept_one(void *session) {
    smuxb_stream *st;
    int error = smuxb_stream_accept(session, &st);
    if (!error)
        smuxb_stream_close(st);
    return (void *)(intptr_t)error;
}

static inline void *wait_for_end(void *session) {
    return (void *)(intptr_t)smuxb_session_wait(session, smuxb_after_ms(PATIENCE_MS));
}

/* Writes until that fails. */
static inline void *write_on(void *stream) {
    static const uint8_t data[100000];
    for (;;) {
        ssize_t n = smuxb_stream_write(stream, data, sizeof data);
        if (n < 0)
            return (void *)(intptr_t)n;
    }
}

/* Gives threads time to enter their calls. A test must be correct without it, too. */
static inline void settle(void) {
    usleep(20000);
}

#endif
