/* SPDX-License-Identifier: MIT
 *
 * The blocking API: reading without a copy.  A loan stays unchanged until it is given back,
 * whatever else is received, read and closed meanwhile.
 */
#include "support_tls.h"

enum { STREAMS = 6, LOANS = 24 };
#define TOTAL (6000000u / SLOWNESS)

static void *write_bulk(void *stream) {
    write_pattern(stream, smuxb_stream_id(stream), TOTAL, 131072);
    return NULL;
}

/* Keeps the last LOANS loans, and checks each again before giving it back. */
struct keeper {
    smuxb_loan loans[LOANS];
    uint64_t at[LOANS];
    uint32_t seed;
};

static void keep(struct keeper *k, unsigned slot, const smuxb_loan *loan, uint64_t at) {
    THREAD_ASSERT(loan_ok(&k->loans[slot], k->seed, k->at[slot]));
    smuxb_stream_return(&k->loans[slot]);
    THREAD_ASSERT(loan_ok(loan, k->seed, at));
    k->loans[slot] = *loan;
    k->at[slot] = at;
}

/* Borrows and reads at random, sometimes with a deadline that is too short. */
static void *read_all_ways(void *stream) {
    struct keeper k = {.seed = smuxb_stream_id(stream)};
    unsigned random = k.seed;
    uint8_t *data = malloc(100000);
    THREAD_ASSERT(data);
    for (uint64_t done = 0; done < TOTAL;) {
        smuxb_loan loan = {.iovcnt = 0};
        size_t want = 1 + (size_t)rand_r(&random) % 100000;
        bool borrows = rand_r(&random) % 4;
        uint64_t hurry_us = (uint64_t)rand_r(&random) % 400;
        smuxb_stream_set_read_deadline(stream, smuxb_now_us() + hurry_us);
        ssize_t n = borrows ? smuxb_stream_borrow(stream, want, &loan)
                            : smuxb_stream_read(stream, data, want);
        if (n == SMUXB_ERR_TIMEOUT) {
            THREAD_ASSERT(!loan.iovcnt);
            continue;
        }
        THREAD_ASSERT(n > 0 && (size_t)n <= want);
        if (borrows) {
            THREAD_ASSERT(loan_len(&loan) == (size_t)n);
            keep(&k, (unsigned)rand_r(&random) % LOANS, &loan, done);
        } else {
            THREAD_ASSERT(pattern_ok(data, (size_t)n, k.seed, done));
        }
        done += (uint64_t)n;
    }
    for (unsigned i = 0; i < LOANS; i++)
        keep(&k, i, &(smuxb_loan){.iovcnt = 0}, 0);
    free(data);
    return NULL;
}

static void many_streams_are_borrowed_from_and_read(void **state) {
    carry_over(*state, STREAMS, write_bulk, read_all_ways);
}

static void no_more_is_borrowed_than_asked_for(void **state) {
    struct ends e = open_ends(*state);
    smuxb_loan loan;
    say(e.near, "abcdef");
    expect_text(e.far, "a");
    assert_int_equal(smuxb_stream_borrow(e.far, 2, &loan), 2);
    assert_int_equal(loan.iovcnt, 1);
    assert_memory_equal(loan.iov[0].iov_base, "bc", 2);
    smuxb_stream_return(&loan);
    expect_text(e.far, "def");
    close_ends(&e);
}

static void nothing_is_lent_at_the_end_nor_with_an_error(void **state) {
    struct ends e = open_ends(*state);
    smuxb_loan loan = {.iovcnt = 5};
    assert_int_equal(smuxb_stream_borrow(e.far, 0, &loan), 0);
    assert_int_equal(loan.iovcnt, 0);
    smuxb_stream_set_read_deadline(e.far, 1);
    loan.iovcnt = 5;
    assert_int_equal(smuxb_stream_borrow(e.far, 9, &loan), SMUXB_ERR_TIMEOUT);
    assert_int_equal(loan.iovcnt, 0);
    smuxb_stream_set_read_deadline(e.far, 0);
    assert_int_equal(smuxb_stream_close_write(e.near), 0);
    loan.iovcnt = 5;
    assert_int_equal(smuxb_stream_borrow(e.far, 9, &loan), 0);
    assert_int_equal(loan.iovcnt, 0);
    smuxb_stream_return(&loan); /* of nothing */
    close_ends(&e);
}

static void a_loan_outlives_stream_and_session(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    smuxb_loan loan;
    say(e.near, "still here");
    assert_int_equal(smuxb_stream_borrow(e.far, SIZE_MAX, &loan), 10);
    close_ends(&e);
    duo_end(d);
    assert_memory_equal(loan.iov[0].iov_base, "still here", 10);
    smuxb_stream_return(&loan);
    smuxb_stream_return(&loan);
    duo_start(d);
}

/* The borrower may, for example, write a header in place. */
static void what_is_lent_may_be_changed(void **state) {
    struct duo *d = *state;
    struct ends one = open_ends(d), other = open_ends(d);
    smuxb_loan loan, second;
    say(one.near, "first");
    say(other.near, "second");
    say(one.near, "third");
    assert_int_equal(smuxb_stream_borrow(one.far, 5, &loan), 5);
    memset(loan.iov[0].iov_base, '!', 5);
    assert_int_equal(smuxb_stream_borrow(other.far, 6, &second), 6);
    assert_memory_equal(second.iov[0].iov_base, "second", 6);
    memset(second.iov[0].iov_base, '!', 6);
    expect_text(one.far, "third");
    smuxb_stream_return(&second);
    smuxb_stream_return(&loan);
    close_ends(&one);
    close_ends(&other);
}

/* The peer may continue to send, because a loan counts as read. */
static void loans_do_not_hold_the_peer_back(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    enum { KEPT = 400 };
    smuxb_loan *loans = calloc(KEPT, sizeof *loans);
    pthread_t writer = run(write_bulk, e.near);
    uint64_t done = 0;
    int used = 0;
    for (; done < TOTAL; used++) {
        assert_true(used < KEPT);
        ssize_t n = smuxb_stream_borrow(e.far, SIZE_MAX, &loans[used]);
        assert_true(n > 0);
        done += (uint64_t)n;
    }
    done = 0;
    for (int i = 0; i < used; i++) {
        assert_true(loan_ok(&loans[i], smuxb_stream_id(e.far), done));
        done += loan_len(&loans[i]);
        smuxb_stream_return(&loans[i]);
    }
    assert_int_equal(done, TOTAL);
    result_of(writer);
    close_ends(&e);
    free(loans);
}

#define TESTS(X)                                                                                   \
    X(many_streams_are_borrowed_from_and_read)                                                     \
    X(no_more_is_borrowed_than_asked_for)                                                          \
    X(nothing_is_lent_at_the_end_nor_with_an_error)                                                \
    X(a_loan_outlives_stream_and_session)                                                          \
    X(what_is_lent_may_be_changed)                                                                 \
    X(loans_do_not_hold_the_peer_back)

DUO_MAIN(TESTS)
