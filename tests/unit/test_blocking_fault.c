/* SPDX-License-Identifier: MIT
 *
 * The blocking API when memory or threads are not available.  Its sources are compiled in here,
 * with calls that fail on demand; the library's own copies of them are then not linked.
 */
#include "support_blocking.h"

/* ---- Calls that fail ------------------------------------------------------------------------ */

static __thread int countdown = -1; /* of this thread's calls, the first to fail; -1: none */
static int all_fail;                /* in every thread */

static bool fails(void) {
    if (__atomic_load_n(&all_fail, __ATOMIC_RELAXED) || countdown == 0)
        return true;
    countdown -= countdown > 0;
    return false;
}

static void fail_from(int call) {
    countdown = call;
}

static void *fallible_malloc(size_t size) {
    if (!fails())
        return malloc(size);
    errno = ENOMEM;
    return NULL;
}

static int fallible_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                                   void *(*main)(void *), void *argument) {
    return fails() ? EAGAIN : pthread_create(thread, attr, main, argument);
}

#define malloc         fallible_malloc
#define pthread_create fallible_pthread_create
#include "core/blocking/blk_block.c"
#include "core/blocking/blk_direct.c"
#include "core/blocking/blk_events.c"
#include "core/blocking/blk_info.c"
#include "core/blocking/blk_input.c"
#include "core/blocking/blk_io.c"
#include "core/blocking/blk_keeper.c"
#include "core/blocking/blk_session.c"
#include "core/blocking/blk_stream.c"
#include "core/blocking/blk_wait.c"
#include "core/blocking/blk_write.c"
#undef malloc
#undef pthread_create

/* ---- Tests ---------------------------------------------------------------------------------- */

static int callbacks;

static ssize_t count_read(void *context, void *data, size_t len) {
    (void)context, (void)data, (void)len;
    __atomic_fetch_add(&callbacks, 1, __ATOMIC_RELAXED);
    return 0;
}

static ssize_t count_writev(void *context, const struct iovec *iov, int iovcnt) {
    (void)context, (void)iov, (void)iovcnt;
    __atomic_fetch_add(&callbacks, 1, __ATOMIC_RELAXED);
    return -1;
}

static void count_call(void *context) {
    (void)context;
    __atomic_fetch_add(&callbacks, 1, __ATOMIC_RELAXED);
}

/* Refuses each allocation and each thread in turn. */
static void a_start_that_fails_leaves_nothing_behind(void **state) {
    (void)state;
    smuxb_session *s;
    int fds[2], error = 0, last = 0;
    unix_pair(fds);
    for (int i = 0;; i++, last = error) {
        fail_from(i);
        error = smuxb_session_client(&s, fds[0], NULL);
        fail_from(-1);
        if (!error)
            break;
        assert_true(error == SMUXB_ERR_THREAD ||
                    (error == SMUX_ERR_NOMEM && last != SMUXB_ERR_THREAD));
        assert_null(s);
        assert_int_equal(send(fds[0], "x", 1, MSG_NOSIGNAL), 1); /* it is still the caller's */
    }
    assert_int_equal(last, SMUXB_ERR_THREAD);
    smuxb_session_free(s);
    close(fds[1]);
}

static void a_transport_is_not_touched_if_the_start_fails(void **state) {
    smuxb_transport t = {count_read, count_writev, count_call, count_call, NULL};
    (void)state;
    smuxb_session *s;
    int failures = 0;
    for (int error = SMUX_ERR_NOMEM; error; failures += error != 0) {
        assert_int_equal(callbacks, 0);
        fail_from(failures);
        error = smuxb_session_client_over(&s, &t, NULL);
        fail_from(-1);
        assert_true(!error == (s != NULL));
    }
    assert_true(failures >= 4); /* a structure and three threads */
    smuxb_session_free(s);
    assert_true(callbacks > 0);
}

static void a_failed_open_does_not_harm_the_session(void **state) {
    struct duo d;
    smuxb_stream *st;
    duo_prepare(&d, *state);
    duo_start(&d);
    fail_from(0);
    assert_int_equal(smuxb_stream_open(d.client, &st), SMUX_ERR_NOMEM);
    fail_from(-1);
    struct ends e;
    assert_int_equal(smuxb_stream_open(d.client, &e.near), 0);
    do /* the peer may have seen the one that came to nothing */
        assert_int_equal(smuxb_stream_accept(d.server, &e.far), 0);
    while (smuxb_stream_id(e.far) != smuxb_stream_id(e.near) && (smuxb_stream_close(e.far), true));
    say(e.near, "fine");
    expect_text(e.far, "fine");
    close_ends(&e);
    duo_end(&d);
}

static void a_gathered_write_without_memory_writes_nothing(void **state) {
    struct duo d;
    struct iovec iov[20];
    static uint8_t data[20 * 1000];
    duo_prepare(&d, *state);
    duo_start(&d);
    struct ends e = open_ends(&d);
    for (int i = 0; i < 20; i++)
        iov[i] = (struct iovec){data + i * 1000, 1000};
    fail_from(0);
    assert_int_equal(smuxb_stream_writev(e.near, iov, 20), SMUX_ERR_NOMEM);
    fail_from(-1);
    say(e.near, "fine");
    expect_text(e.far, "fine");
    close_ends(&e);
    duo_end(&d);
}

/* Data that cannot be stored ends its stream, with an error and not an end of file; the session and
 * the other streams continue. */
static void unread_data_without_memory_is_an_error_of_its_stream(void **state) {
    struct duo d;
    char byte;
    duo_prepare(&d, *state);
    duo_start(&d);
    struct ends e = open_ends(&d), other = open_ends(&d);
    __atomic_store_n(&all_fail, 1, __ATOMIC_RELAXED);
    say(e.near, "cannot be kept");
    assert_true(smuxb_stream_read(e.near, &byte, 1) <= 0); /* the other side has given up */
    __atomic_store_n(&all_fail, 0, __ATOMIC_RELAXED);
    assert_int_equal(smuxb_stream_read(e.far, &byte, 1), SMUX_ERR_NOMEM);
    say(other.near, "fine");
    expect_text(other.far, "fine");
    close_ends(&e);
    close_ends(&other);
    duo_end(&d);
}

/* Writes until the other side has dropped the stream. */
static void *write_until_refused(void *stream) {
    static uint8_t data[100000];
    ssize_t n = 1;
    for (uint64_t done = 0; n > 0; done += (uint64_t)n) {
        pattern_fill(data, sizeof data, 7, done);
        n = smuxb_stream_write(stream, data, sizeof data);
    }
    return NULL;
}

/* Loans that are never given back use up the available memory. */
static void borrowing_without_memory_is_an_error_and_never_a_gap(void **state) {
    struct duo d;
    smuxb_loan *loans = calloc(2000, sizeof *loans);
    int used = 0;
    uint64_t done = 0;
    duo_prepare(&d, *state);
    duo_start(&d);
    struct ends e = open_ends(&d), other = open_ends(&d);
    __atomic_store_n(&all_fail, 1, __ATOMIC_RELAXED);
    pthread_t writer = run(write_until_refused, e.near);
    ssize_t n;
    while (used < 2000 && (n = smuxb_stream_borrow(e.far, SIZE_MAX, &loans[used])) > 0)
        used++;
    assert_int_equal(n, SMUX_ERR_NOMEM);
    __atomic_store_n(&all_fail, 0, __ATOMIC_RELAXED);
    result_of(writer);
    for (int i = 0; i < used; i++) {
        assert_true(loan_ok(&loans[i], 7, done));
        done += loan_len(&loans[i]);
        smuxb_stream_return(&loans[i]);
    }
    say(other.near, "fine");
    expect_text(other.far, "fine");
    close_ends(&e);
    close_ends(&other);
    duo_end(&d);
    free(loans);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_that_fails_leaves_nothing_behind),
        cmocka_unit_test(a_transport_is_not_touched_if_the_start_fails),
        cmocka_unit_test_prestate(a_failed_open_does_not_harm_the_session, &variants[0]),
        cmocka_unit_test_prestate(a_gathered_write_without_memory_writes_nothing, &variants[1]),
        cmocka_unit_test_prestate(unread_data_without_memory_is_an_error_of_its_stream,
                                  &variants[0]),
        cmocka_unit_test_prestate(unread_data_without_memory_is_an_error_of_its_stream,
                                  &variants[1]),
        cmocka_unit_test_prestate(borrowing_without_memory_is_an_error_and_never_a_gap,
                                  &variants[0]),
        cmocka_unit_test_prestate(borrowing_without_memory_is_an_error_and_never_a_gap,
                                  &variants[3]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
