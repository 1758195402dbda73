/* SPDX-License-Identifier: MIT
 *
 * The blocking API: what one thread on each side sees.
 */
#include "support_tls.h"

/* ---- Reading and writing -------------------------------------------------------------------- */

static void bytes_arrive_in_order_and_fin_is_an_end_of_file(void **state) {
    struct ends e = open_ends(*state);
    write_pattern(e.near, 1, 200000, 7777);
    smuxb_stream_close(e.near);
    read_pattern(e.far, 1, 200000, 10001);
    expect_eof(e.far);
    expect_eof(e.far);
    smuxb_stream_close(e.far);
}

static void each_direction_is_closed_by_itself(void **state) {
    struct ends e = open_ends(*state);
    say(e.near, "request");
    assert_int_equal(smuxb_stream_close_write(e.near), 0);
    assert_int_equal(smuxb_stream_close_write(e.near), 0);
    assert_int_equal(smuxb_stream_write(e.near, "x", 1), SMUX_ERR_SHUT);
    expect_text(e.far, "request");
    expect_eof(e.far);
    say(e.far, "answer, after the request's end");
    expect_text(e.near, "answer, after the request's end");
    assert_int_equal(smuxb_stream_close_write(e.far), 0);
    expect_eof(e.near);
    close_ends(&e);
}

static void the_side_that_speaks_first_may_be_the_server(void **state) {
    struct duo *d = *state;
    smuxb_stream *from_server, *at_client;
    assert_int_equal(smuxb_stream_open(d->server, &from_server), 0);
    say(from_server, "welcome");
    assert_int_equal(smuxb_stream_accept(d->client, &at_client), 0);
    expect_text(at_client, "welcome");
    smuxb_stream_close(at_client);
    smuxb_stream_close(from_server);
}

#define PIECES    300
#define PIECE_LEN 5000

struct gathered {
    smuxb_stream *stream;
    struct iovec iov[PIECES];
    int iovcnt;
};

static void *write_gathered(void *argument) {
    struct gathered *g = argument;
    return (void *)(intptr_t)smuxb_stream_writev(g->stream, g->iov, g->iovcnt);
}

static void a_gathered_write_keeps_the_order_of_its_pieces(void **state) {
    static const int counts[] = {1, 2, 8, 9, 70, PIECES};
    static const size_t lens[] = {3, PIECE_LEN};
    struct ends e = open_ends(*state);
    uint8_t *data = malloc(PIECES * PIECE_LEN);
    for (size_t i = 0; i < LENGTH(counts) * LENGTH(lens); i++) {
        struct gathered g = {.stream = e.near, .iovcnt = counts[i / LENGTH(lens)]};
        size_t total = 0, len = lens[i % LENGTH(lens)];
        for (int k = 0; k < g.iovcnt; total += g.iov[k].iov_len, k++)
            g.iov[k] = (struct iovec){data + total, k % 5 == 4 ? 0 : len};
        pattern_fill(data, total, (uint32_t)i, 0);
        pthread_t writer = run(write_gathered, &g);
        read_pattern(e.far, (uint32_t)i, total, 30000);
        assert_int_equal(result_of(writer), total);
    }
    free(data);
    close_ends(&e);
}

static void nothing_is_read_or_written_for_length_zero(void **state) {
    struct ends e = open_ends(*state);
    char byte;
    struct iovec none = {&byte, 0};
    assert_int_equal(smuxb_stream_read(e.far, &byte, 0), 0);
    assert_int_equal(smuxb_stream_write(e.near, "", 0), 0);
    assert_int_equal(smuxb_stream_writev(e.near, &none, 1), 0);
    assert_int_equal(smuxb_stream_writev(e.near, NULL, 0), 0);
    assert_int_equal(smuxb_stream_writev(e.near, NULL, -1), SMUX_ERR_ARGUMENT);
    say(e.near, "still whole");
    expect_text(e.far, "still whole");
    close_ends(&e);
}

static void a_small_read_leaves_the_rest(void **state) {
    struct ends e = open_ends(*state);
    write_pattern(e.near, 5, 50000, 50000);
    read_pattern(e.far, 5, 50000, 3);
    close_ends(&e);
}

static void unread_data_of_another_stream_waits(void **state) {
    struct ends a = open_ends(*state), b = open_ends(*state);
    write_pattern(a.near, 1, 100000, 40000);
    say(b.near, "later");
    expect_text(b.far, "later");
    read_pattern(a.far, 1, 100000, 999);
    close_ends(&a);
    close_ends(&b);
}

/* ---- Deadlines ------------------------------------------------------------------------------ */

static void a_read_deadline_ends_the_wait_and_loses_nothing(void **state) {
    struct ends e = open_ends(*state);
    char byte;
    smuxb_stream_set_read_deadline(e.far, smuxb_after_ms(5));
    assert_int_equal(smuxb_stream_read(e.far, &byte, 1), SMUXB_ERR_TIMEOUT);
    assert_int_equal(smuxb_stream_read(e.far, &byte, 1), SMUXB_ERR_TIMEOUT);
    say(e.near, "ab");
    smuxb_stream_set_read_deadline(e.far, smuxb_after_ms(PATIENCE_MS));
    expect_text(e.far, "a");
    /* A deadline in the past does not prevent reading what has already arrived. */
    smuxb_stream_set_read_deadline(e.far, 1);
    expect_text(e.far, "b");
    assert_int_equal(smuxb_stream_read(e.far, &byte, 1), SMUXB_ERR_TIMEOUT);
    smuxb_stream_set_read_deadline(e.far, 0);
    smuxb_stream_close(e.near);
    expect_eof(e.far);
    smuxb_stream_close(e.far);
}

static void a_new_deadline_holds_for_a_read_that_waits(void **state) {
    struct ends e = open_ends(*state);
    pthread_t reader = run(read_one, e.far);
    settle();
    smuxb_stream_set_deadline(e.far, smuxb_after_ms(1));
    assert_int_equal(result_of(reader), SMUXB_ERR_TIMEOUT);
    close_ends(&e);
}

static void an_accept_deadline_ends_the_wait(void **state) {
    struct duo *d = *state;
    smuxb_stream *st;
    smuxb_session_set_accept_deadline(d->server, smuxb_after_ms(5));
    assert_int_equal(smuxb_stream_accept(d->server, &st), SMUXB_ERR_TIMEOUT);
    smuxb_session_set_accept_deadline(d->server, 0);
    pthread_t acceptor = run(accept_one, d->server);
    settle();
    smuxb_session_set_accept_deadline(d->server, 1);
    assert_int_equal(result_of(acceptor), SMUXB_ERR_TIMEOUT);
    smuxb_session_set_accept_deadline(d->server, 0);
    struct ends e = open_ends(d);
    close_ends(&e);
}

/* Exactly the bytes that a write reports arrive. */
static void a_write_deadline_tells_how_much_went_out(void **state) {
    struct ends e = open_ends(*state);
    enum { CHUNK = 1 << 20 };
    uint8_t *data = malloc(CHUNK);
    uint64_t sent = 0;
    for (;;) {
        pattern_fill(data, CHUNK, 3, sent);
        smuxb_stream_set_write_deadline(e.near, smuxb_after_ms(30));
        ssize_t n = smuxb_stream_write(e.near, data, CHUNK);
        if (n < 0) {
            assert_int_equal(n, SMUXB_ERR_TIMEOUT);
            break;
        }
        assert_true(n > 0 && n <= CHUNK);
        sent += (uint64_t)n;
    }
    free(data);
    assert_true(sent > 0);
    smuxb_stream_set_write_deadline(e.near, 0);
    pthread_t reader = run(read_one, e.near); /* so that the other side's updates are heard */
    read_pattern(e.far, 3, sent, 60000);
    say(e.near, "on");
    expect_text(e.far, "on");
    say(e.far, "x");
    assert_int_equal(result_of(reader), 1);
    close_ends(&e);
}

/* ---- Closing and resetting ------------------------------------------------------------------ */

static void a_closed_stream_says_so_to_other_handles(void **state) {
    struct ends e = open_ends(*state);
    smux_stream_info info;
    char byte;
    smuxb_stream *held = smuxb_stream_ref(e.near);
    assert_ptr_equal(held, e.near);
    smuxb_stream_close(e.near);
    assert_int_equal(smuxb_stream_read(held, &byte, 1), SMUXB_ERR_STREAM_CLOSED);
    assert_int_equal(smuxb_stream_write(held, "x", 1), SMUXB_ERR_STREAM_CLOSED);
    assert_int_equal(smuxb_stream_close_write(held), SMUXB_ERR_STREAM_CLOSED);
    assert_int_equal(smuxb_stream_get_info(held, &info), SMUXB_ERR_STREAM_CLOSED);
    assert_int_equal(smuxb_stream_id(held), 3);
    smuxb_stream_unref(held);
    smuxb_stream_unref(NULL);
    smuxb_stream_close(NULL);
    smuxb_stream_reset(NULL);
    expect_eof(e.far);
    smuxb_stream_close(e.far);
}

static void a_reset_is_an_error_for_the_peer(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    char byte;
    await_extensions(d->client, &e);
    await_extensions(d->server, &e);
    smuxb_stream_reset(e.near);
    assert_int_equal(smuxb_stream_read(e.far, &byte, 1), SMUX_ERR_PEER_RESET);
    assert_int_equal(smuxb_stream_write(e.far, "x", 1), SMUX_ERR_PEER_RESET);
    assert_int_equal(smuxb_stream_close_write(e.far), SMUX_ERR_PEER_RESET);
    smuxb_stream_close(e.far);
    assert_false(smuxb_session_is_closed(d->client));
}

static void what_a_reset_cut_off_never_looks_complete(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d), other = open_ends(d);
    char data[100];
    await_extensions(d->client, &e);
    await_extensions(d->server, &e);
    say(e.near, "lost");
    smuxb_stream_reset(e.near);
    say(other.near, "after");
    expect_text(other.far, "after"); /* by now the reset has arrived too */
    ssize_t n = smuxb_stream_read(e.far, data, sizeof data);
    assert_int_equal(n, SMUX_ERR_PEER_RESET);
    smuxb_stream_close(e.far);
    close_ends(&other);
}

static void a_session_may_be_freed_before_its_streams(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d), f = open_ends(d);
    char byte;
    smuxb_session_free(d->client);
    d->client = NULL;
    assert_int_equal(smuxb_stream_read(e.near, &byte, 1), SMUX_ERR_CLOSED);
    assert_int_equal(smuxb_stream_write(e.near, "x", 1), SMUX_ERR_CLOSED);
    assert_true(smuxb_session_is_closed(smuxb_stream_session(e.near)));
    assert_int_equal(smuxb_session_wait(d->server, smuxb_after_ms(PATIENCE_MS)), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(d->server), 0);
    close_ends(&e);
    smuxb_stream_reset(f.near);
    smuxb_stream_reset(f.far);
}

static void a_stream_nobody_accepted_goes_with_the_session(void **state) {
    struct duo *d = *state;
    smuxb_stream *st;
    struct ends e = open_ends(d);
    assert_int_equal(smuxb_stream_open(d->client, &st), 0);
    say(st, "unheard");
    say(e.near, "heard");
    expect_text(e.far, "heard");
    smuxb_stream_close(st);
    close_ends(&e);
}

/* ---- The session's end ---------------------------------------------------------------------- */

static void closing_the_session_sends_what_was_written(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    write_pattern(e.near, 8, 150000, 1000);
    smuxb_stream_close(e.near);
    assert_int_equal(smuxb_session_close(d->client), 0);
    assert_int_equal(smuxb_session_close(d->client), 0);
    assert_true(smuxb_session_is_closed(d->client));
    assert_int_equal(smuxb_session_wait(d->client, 0), SMUX_ERR_CLOSED);
    read_pattern(e.far, 8, 150000, 4096);
    expect_eof(e.far);
    smuxb_stream_close(e.far);
}

static void a_closed_session_refuses_everything(void **state) {
    struct duo *d = *state;
    smuxb_stream *st;
    smux_session_info info;
    assert_false(smuxb_session_is_closed(d->client));
    assert_string_equal(smuxb_session_error_text(d->client), "no error");
    assert_int_equal(smuxb_session_wait(d->client, smuxb_after_ms(1)), SMUXB_ERR_TIMEOUT);
    smuxb_session_close(d->client);
    assert_int_equal(smuxb_stream_open(d->client, &st), SMUX_ERR_CLOSED);
    assert_int_equal(smuxb_stream_accept(d->client, &st), SMUX_ERR_CLOSED);
    assert_string_equal(smuxb_session_error_text(d->client), "session closed");
    smuxb_session_get_info(d->client, &info);
    assert_int_equal(info.error, SMUX_ERR_CLOSED);
    smuxb_session_goaway(d->client);
    smuxb_session_ping(d->client);
    assert_int_equal(smuxb_session_wait(d->server, smuxb_after_ms(PATIENCE_MS)), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_stream_accept(d->server, &st), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_stream_open(d->server, &st), SMUX_ERR_CARRIER);
    assert_string_equal(smuxb_session_error_text(d->server), "peer closed the carrier");
    assert_int_equal(smuxb_session_close(d->server), SMUX_ERR_CARRIER);
}

static void streams_that_came_before_the_end_can_still_be_accepted(void **state) {
    struct duo *d = *state;
    smuxb_stream *near, *far;
    assert_int_equal(smuxb_stream_open(d->client, &near), 0);
    say(near, "parting words");
    smuxb_stream_close(near);
    smuxb_session_close(d->client);
    assert_int_equal(smuxb_session_wait(d->server, smuxb_after_ms(PATIENCE_MS)), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_stream_accept(d->server, &far), 0);
    expect_text(far, "parting words");
    expect_eof(far);
    smuxb_stream_close(far);
    assert_int_equal(smuxb_stream_accept(d->server, &far), SMUX_ERR_CARRIER);
}

static void goaway_ends_new_streams_only(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    smuxb_stream *st;
    smux_session_info info;
    await_extensions(d->client, &e);
    await_extensions(d->server, &e);
    smuxb_session_goaway(d->server);
    do {
        say(e.far, ".");
        expect_text(e.near, ".");
        smuxb_session_get_info(d->client, &info);
    } while (!info.peer_goaway);
    assert_int_equal(smuxb_stream_open(d->client, &st), SMUX_ERR_GOAWAY);
    assert_int_equal(smuxb_stream_open(d->server, &st), SMUX_ERR_GOAWAY);
    say(e.near, "goes on");
    expect_text(e.far, "goes on");
    close_ends(&e);
}

/* ---- Questions ------------------------------------------------------------------------------ */

static void streams_are_counted_and_numbered(void **state) {
    struct duo *d = *state;
    struct ends e[3];
    smux_stream_info info;
    for (size_t i = 0; i < LENGTH(e); i++) {
        e[i] = open_ends(d);
        assert_int_equal(smuxb_stream_id(e[i].near), 3 + 2 * i);
        assert_ptr_equal(smuxb_stream_session(e[i].far), d->server);
    }
    assert_int_equal(smuxb_session_num_streams(d->client), 3);
    assert_int_equal(smuxb_session_num_streams(d->server), 3);
    say(e[1].near, "12345");
    expect_text(e[1].far, "12345");
    assert_int_equal(smuxb_stream_get_info(e[1].far, &info), 0);
    assert_int_equal(info.bytes_in, 5);
    assert_false(info.local);
    for (size_t i = 0; i < LENGTH(e); i++) {
        smuxb_stream_close(e[i].near);
        expect_eof(e[i].far);
        smuxb_stream_close(e[i].far);
    }
    while (smuxb_session_num_streams(d->server) || smuxb_session_num_streams(d->client))
        usleep(100); /* until the last FIN has gone out */
}

static void a_ping_measures_the_round_trip(void **state) {
    struct duo *d = *state;
    struct ends e = open_ends(d);
    smux_session_info info;
    await_extensions(d->client, &e);
    do {
        smuxb_session_ping(d->client);
        say(e.near, ".");
        expect_text(e.far, ".");
        say(e.far, ".");
        expect_text(e.near, ".");
        smuxb_session_get_info(d->client, &info);
    } while (!info.rtt_us);
    close_ends(&e);
}

static void the_clock_and_deadlines_are_monotonic_microseconds(void **state) {
    (void)state;
    uint64_t before = smuxb_now_us(), later = smuxb_after_ms(2000);
    assert_true(later >= before + 2000000 && later <= smuxb_now_us() + 2000000);
    assert_true(smuxb_after_ms(UINT64_MAX) == UINT64_MAX);
    assert_true(smuxb_now_us() >= before);
}

static void errors_of_both_kinds_have_names_and_texts(void **state) {
    (void)state;
    assert_string_equal(smuxb_strerror(SMUXB_ERR_TIMEOUT), "deadline passed");
    assert_string_equal(smuxb_error_name(SMUXB_ERR_TIMEOUT), "SMUXB_ERR_TIMEOUT");
    assert_string_equal(smuxb_strerror(SMUX_ERR_SHUT), smux_strerror(SMUX_ERR_SHUT));
    assert_string_equal(smuxb_error_name(SMUX_ERR_SHUT), "SMUX_ERR_SHUT");
    assert_non_null(smuxb_strerror(-9999));
    assert_int_equal(smuxb_error_tier(SMUXB_ERR_TIMEOUT), SMUX_TIER_CALL);
    assert_int_equal(smuxb_error_tier(SMUXB_ERR_STREAM_CLOSED), SMUX_TIER_STREAM);
    assert_int_equal(smuxb_error_tier(SMUX_ERR_CARRIER), SMUX_TIER_SESSION);
    assert_int_equal(smuxb_error_tier(0), SMUX_TIER_NONE);
}

/* Each test for each variant. */
#define TESTS(X)                                                                                   \
    X(bytes_arrive_in_order_and_fin_is_an_end_of_file)                                             \
    X(each_direction_is_closed_by_itself)                                                          \
    X(the_side_that_speaks_first_may_be_the_server)                                                \
    X(a_gathered_write_keeps_the_order_of_its_pieces)                                              \
    X(nothing_is_read_or_written_for_length_zero)                                                  \
    X(a_small_read_leaves_the_rest)                                                                \
    X(unread_data_of_another_stream_waits)                                                         \
    X(a_read_deadline_ends_the_wait_and_loses_nothing)                                             \
    X(a_new_deadline_holds_for_a_read_that_waits)                                                  \
    X(an_accept_deadline_ends_the_wait)                                                            \
    X(a_write_deadline_tells_how_much_went_out)                                                    \
    X(a_closed_stream_says_so_to_other_handles)                                                    \
    X(a_reset_is_an_error_for_the_peer)                                                            \
    X(what_a_reset_cut_off_never_looks_complete)                                                   \
    X(a_session_may_be_freed_before_its_streams)                                                   \
    X(a_stream_nobody_accepted_goes_with_the_session)                                              \
    X(closing_the_session_sends_what_was_written)                                                  \
    X(a_closed_session_refuses_everything)                                                         \
    X(streams_that_came_before_the_end_can_still_be_accepted)                                      \
    X(goaway_ends_new_streams_only)                                                                \
    X(streams_are_counted_and_numbered)                                                            \
    X(a_ping_measures_the_round_trip)                                                              \
    X(the_clock_and_deadlines_are_monotonic_microseconds)                                          \
    X(errors_of_both_kinds_have_names_and_texts)

DUO_MAIN(TESTS)
