/* SPDX-License-Identifier: MIT
 *
 * The blocking API over a caller's transport: here a socket pair behind callbacks, which may also
 * hang, fail or write very little at a time.
 */
#include "support_blocking.h"

#include <sys/uio.h>

struct carrier {
    int fd;
    bool little;           /* take and give a few bytes at a time */
    bool stuck;            /* writev does not return before shutdown */
    int fail;              /* errno for the next writev */
    int shutdowns, closed; /* how often these were called */
};

static ssize_t carrier_read(void *context, void *data, size_t len) {
    struct carrier *c = context;
    return read(c->fd, data, c->little && len > 7 ? 7 : len);
}

static ssize_t carrier_writev(void *context, const struct iovec *iov, int iovcnt) {
    struct carrier *c = context;
    if (__atomic_load_n(&c->fail, __ATOMIC_ACQUIRE)) {
        errno = c->fail;
        return -1;
    }
    while (__atomic_load_n(&c->stuck, __ATOMIC_ACQUIRE)) {
        if (__atomic_load_n(&c->shutdowns, __ATOMIC_ACQUIRE)) {
            errno = EPIPE;
            return -1;
        }
        usleep(100);
    }
    if (c->little)
        return send(c->fd, iov[0].iov_base, iov[0].iov_len < 5 ? iov[0].iov_len : 5, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)iovcnt};
    return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

static void carrier_shutdown(void *context) {
    struct carrier *c = context;
    __atomic_fetch_add(&c->shutdowns, 1, __ATOMIC_RELEASE);
    shutdown(c->fd, SHUT_RDWR);
}

static void carrier_close(void *context) {
    struct carrier *c = context;
    c->closed++;
    close(c->fd);
}

static smuxb_transport transport_of(struct carrier *c) {
    return (smuxb_transport){carrier_read, carrier_writev, carrier_shutdown, carrier_close, c};
}

/* Two sessions over such carriers; of the variant only the version matters. */
struct pair {
    struct duo duo;
    struct carrier near, far;
};

static void pair_start(struct pair *p, const struct variant *variant, bool little) {
    int fds[2];
    *p = (struct pair){.near.little = little, .far.little = little};
    duo_prepare(&p->duo, variant);
    variant->pair(fds);
    p->near.fd = fds[0];
    p->far.fd = fds[1];
    smuxb_transport near = transport_of(&p->near), far = transport_of(&p->far);
    assert_int_equal(smuxb_session_client_over(&p->duo.client, &near, &p->duo.config), 0);
    assert_int_equal(smuxb_session_server_over(&p->duo.server, &far, &p->duo.config), 0);
}

static void pair_end(struct pair *p) {
    duo_end(&p->duo);
    assert_int_equal(p->near.shutdowns, 1);
    assert_int_equal(p->near.closed, 1);
    assert_int_equal(p->far.shutdowns, 1);
    assert_int_equal(p->far.closed, 1);
}

/* ---- What works over a socket works over this ----------------------------------------------- */

static void *write_a_million(void *stream) {
    write_pattern(stream, 2, 1000000, 300000);
    smuxb_stream_close_write(stream);
    return NULL;
}

static void bytes_and_ends_pass_both_ways(void **state) {
    struct pair p;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    pthread_t a = run(write_a_million, e.near), b = run(write_a_million, e.far);
    read_pattern(e.near, 2, 1000000, 10000);
    read_pattern(e.far, 2, 1000000, 200000);
    expect_eof(e.near);
    expect_eof(e.far);
    result_of(a);
    result_of(b);
    close_ends(&e);
    pair_end(&p);
}

/* smuxb_stream_watch, smuxb_session_ready and smuxb_stream_borrow, which the session's reader
 * serves here. */
static void streams_are_told_of_and_lent_from(void **state) {
    struct pair p;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    pthread_t writer = run(write_a_million, e.near);
    smuxb_stream *st = NULL;
    smuxb_loan loan;
    uint64_t done = 0;
    for (ssize_t n = 1; n;) {
        smuxb_stream_watch(e.far);
        assert_int_equal(smuxb_session_ready(p.duo.server, smuxb_after_ms(PATIENCE_MS), &st), 0);
        assert_ptr_equal(st, e.far);
        n = smuxb_stream_borrow(st, 20000, &loan);
        assert_true(n >= 0);
        assert_true(loan_ok(&loan, 2, done));
        done += loan_len(&loan);
        smuxb_stream_return(&loan);
    }
    assert_int_equal(done, 1000000);
    result_of(writer);
    close_ends(&e);
    pair_end(&p);
}

static void a_carrier_that_takes_little_at_a_time_is_enough(void **state) {
    struct pair p;
    pair_start(&p, *state, true);
    struct ends e = open_ends(&p.duo);
    write_pattern(e.near, 1, 3000, 1000);
    smuxb_stream_close(e.near);
    read_pattern(e.far, 1, 3000, 500);
    expect_eof(e.far);
    smuxb_stream_close(e.far);
    pair_end(&p);
}

/* How much arrives of 200,000 bytes that were written just before the session was closed, and their
 * end (1 byte more). */
static size_t arrives_after_close(const struct variant *variant) {
    struct pair p;
    uint8_t data[3000];
    size_t got = 0;
    ssize_t n;
    pair_start(&p, variant, false);
    struct ends e = open_ends(&p.duo);
    write_pattern(e.near, 1, 200000, 200000);
    smuxb_stream_close(e.near);
    smuxb_session_close(p.duo.client);
    for (; (n = smuxb_stream_read(e.far, data, sizeof data)) > 0; got += (size_t)n)
        assert_true(pattern_ok(data, (size_t)n, 1, got));
    smuxb_stream_close(e.far);
    pair_end(&p);
    return got + (n == 0);
}

/* Closing gives up when nothing has been sent for SMUXB_LINGER_MS, which may happen on a very busy
 * machine; so several attempts are allowed. */
static void closing_sends_what_was_written(void **state) {
    size_t arrived = 0;
    for (int attempts = 0; attempts < 10 && arrived != 200001; attempts++)
        arrived = arrives_after_close(*state);
    assert_int_equal(arrived, 200001);
}

static void close_write_comes_after_writes_that_wait(void **state) {
    struct pair p;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    pthread_t writer = run(write_a_million, e.near); /* more than one call's worth of room */
    settle();
    read_pattern(e.far, 2, 1000000, 10000);
    result_of(writer);
    expect_eof(e.far);
    assert_int_equal(smuxb_stream_write(e.near, "x", 1), SMUX_ERR_SHUT);
    close_ends(&e);
    pair_end(&p);
}

static void *write_once(void *stream) {
    static const uint8_t data[3000000];
    return (void *)(intptr_t)smuxb_stream_write(stream, data, sizeof data);
}

static void *count_all(void *stream) {
    static uint8_t data[100000];
    intptr_t total = 0;
    for (ssize_t n; (n = smuxb_stream_read(stream, data, sizeof data)); total += n)
        THREAD_ASSERT(n > 0);
    return (void *)total;
}

static void close_write_during_a_write_lets_it_finish(void **state) {
    struct pair p;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    pthread_t writer = run(write_once, e.near);
    settle();
    assert_int_equal(smuxb_stream_close_write(e.near), 0);
    pthread_t reader = run(count_all, e.far);
    /* If the write had not begun, it finds the stream shut, and nothing of it arrives. */
    intptr_t written = result_of(writer);
    assert_true(written == 3000000 || written == SMUX_ERR_SHUT);
    assert_int_equal(result_of(reader), written < 0 ? 0 : written);
    close_ends(&e);
    pair_end(&p);
}

static void there_are_no_addresses(void **state) {
    struct pair p;
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    pair_start(&p, *state, false);
    assert_int_equal(smuxb_session_local_addr(p.duo.client, (struct sockaddr *)&a, &len),
                     SMUXB_ERR_DESCRIPTOR);
    assert_int_equal(smuxb_session_remote_addr(p.duo.client, (struct sockaddr *)&a, &len),
                     SMUXB_ERR_DESCRIPTOR);
    pair_end(&p);
}

/* ---- A carrier that hangs or fails ---------------------------------------------------------- */

static void deadlines_hold_though_the_carrier_hangs(void **state) {
    struct pair p;
    char byte;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    __atomic_store_n(&p.near.stuck, true, __ATOMIC_RELEASE);
    smuxb_stream_set_deadline(e.near, smuxb_after_ms(20));
    static const uint8_t data[1000000];
    ssize_t n = smuxb_stream_write(e.near, data, sizeof data);
    assert_true(n > 0 && n < (ssize_t)sizeof data);
    assert_int_equal(smuxb_stream_write(e.near, data, sizeof data), SMUXB_ERR_TIMEOUT);
    assert_int_equal(smuxb_stream_read(e.near, &byte, 1), SMUXB_ERR_TIMEOUT);
    close_ends(&e);
    pair_end(&p); /* which must not hang either */
}

static void the_keepalive_ends_a_session_whose_carrier_hangs(void **state) {
    struct pair p;
    int fds[2];
    p = (struct pair){0};
    duo_prepare(&p.duo, *state);
    p.duo.config.keepalive_interval_us = 10000;
    p.duo.config.keepalive_timeout_us = 50000;
    unix_pair(fds);
    p.near.fd = fds[0];
    smuxb_transport near = transport_of(&p.near);
    assert_int_equal(smuxb_session_client_over(&p.duo.client, &near, &p.duo.config), 0);
    static const uint8_t nop[] = {1, 3, 0, 0, 0, 0, 0, 0}, nop2[] = {2, 3, 0, 0, 0, 0, 0, 0};
    const uint8_t *header = p.duo.config.version == 1 ? nop : nop2;
    assert_int_equal(send(fds[1], header, sizeof nop, 0), sizeof nop);
    __atomic_store_n(&p.near.stuck, true, __ATOMIC_RELEASE);
    assert_int_equal(smuxb_session_wait(p.duo.client, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_KEEPALIVE);
    smuxb_session_free(p.duo.client);
    assert_int_equal(p.near.closed, 1);
    close(fds[1]);
}

static void a_failing_write_ends_the_session_with_its_errno(void **state) {
    struct pair p;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    __atomic_store_n(&p.near.fail, ENOSPC, __ATOMIC_RELEASE);
    assert_int_equal((intptr_t)write_on(e.near), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_wait(p.duo.client, 0), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(p.duo.client), ENOSPC);
    assert_int_equal(smuxb_session_wait(p.duo.server, 0), SMUX_ERR_CARRIER);
    close_ends(&e);
    pair_end(&p);
}

static void closing_wakes_everyone(void **state) {
    struct pair p;
    pair_start(&p, *state, false);
    struct ends e = open_ends(&p.duo);
    pthread_t threads[] = {run(read_one, e.near), run(write_on, e.near),
                           run(accept_one, p.duo.client), run(wait_for_end, p.duo.client)};
    settle();
    smuxb_session_close(p.duo.client);
    for (size_t i = 0; i < LENGTH(threads); i++)
        assert_int_equal(result_of(threads[i]), SMUX_ERR_CLOSED);
    close_ends(&e);
    pair_end(&p);
}

static void callbacks_that_are_missing_are_refused(void **state) {
    struct carrier c = {.fd = -1};
    smuxb_session *s;
    smuxb_transport t = transport_of(&c);
    (void)state;
    assert_int_equal(smuxb_session_client_over(&s, NULL, NULL), SMUX_ERR_ARGUMENT);
    t.read = NULL;
    assert_int_equal(smuxb_session_client_over(&s, &t, NULL), SMUX_ERR_ARGUMENT);
    t = transport_of(&c);
    t.writev = NULL;
    assert_int_equal(smuxb_session_server_over(&s, &t, NULL), SMUX_ERR_ARGUMENT);
    t = transport_of(&c);
    t.shutdown = NULL;
    assert_int_equal(smuxb_session_server_over(&s, &t, NULL), SMUX_ERR_ARGUMENT);
    assert_int_equal(c.closed + c.shutdowns, 0);
}

#define TESTS(X)                                                                                   \
    X(bytes_and_ends_pass_both_ways)                                                               \
    X(streams_are_told_of_and_lent_from)                                                           \
    X(a_carrier_that_takes_little_at_a_time_is_enough)                                             \
    X(closing_sends_what_was_written)                                                              \
    X(close_write_comes_after_writes_that_wait)                                                    \
    X(close_write_during_a_write_lets_it_finish)                                                   \
    X(there_are_no_addresses)                                                                      \
    X(deadlines_hold_though_the_carrier_hangs)                                                     \
    X(the_keepalive_ends_a_session_whose_carrier_hangs)                                            \
    X(a_failing_write_ends_the_session_with_its_errno)                                             \
    X(closing_wakes_everyone)                                                                      \
    X(callbacks_that_are_missing_are_refused)

int main(void) {
    int failed = 0;
    for (size_t i = 0; i < 2; i++) {
#define X(test) cmocka_unit_test_prestate(test, &variants[i]),
        const struct CMUnitTest tests[] = {TESTS(X)};
#undef X
        failed += cmocka_run_group_tests_name(variants[i].name, tests, NULL, NULL);
    }
    return failed;
}
