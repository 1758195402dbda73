/* SPDX-License-Identifier: MIT */
/* The relay: bytes, half-closes, resets, the residue, slow readers. */
#include "support_relay.h"

#include <sys/ioctl.h>

#define APP world.app[0]
#define FAR world.far[0]

static void bytes_arrive_both_ways(void **state) {
    (void)state;
    open_pair(0);
    say(APP, "request");
    expect(FAR, "request");
    say(FAR, "answer");
    expect(APP, "answer");
}

/* The byte at a position, which depends on the position. */
static uint8_t pattern(size_t at) {
    return (uint8_t)(at * 2654435761u >> 24);
}

static void push(int fd, size_t *sent, size_t total, size_t chunk) {
    uint8_t data[200000];
    size_t n = chunk < total - *sent ? chunk : total - *sent;
    for (size_t i = 0; i < n; i++)
        data[i] = pattern(*sent + i);
    ssize_t done = n ? send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (done > 0)
        *sent += (size_t)done;
}

static void pull(int fd, size_t *got, size_t chunk) {
    uint8_t data[200000];
    ssize_t n = take(fd, data, chunk);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(data[i], pattern(*got + (size_t)i));
    if (n > 0)
        *got += (size_t)n;
}

static void megabytes_arrive_unchanged_in_pieces_of_any_size(void **state) {
    const size_t total = 16u << 20;
    size_t up_sent = 0, up_got = 0, down_sent = 0, down_got = 0;
    (void)state;
    srand(7);
    open_pair(0);
    while (up_got < total || down_got < total) {
        push(APP, &up_sent, total, 1 + (size_t)rand() % (rand() % 3 ? 200000 : 50));
        push(FAR, &down_sent, total, 1 + (size_t)rand() % (rand() % 3 ? 200000 : 50));
        turns(rand() % 3);
        pull(FAR, &up_got, 1 + (size_t)rand() % 200000);
        pull(APP, &down_got, 1 + (size_t)rand() % 200000);
        turns(1);
    }
}

/* Forwarded bytes stay unread for a while, but must never fill the application's send buffer. */
static void a_thousand_messages_one_after_the_other_never_block(void **state) {
    size_t sent = 0, got = 0;
    (void)state;
    open_pair(0);
    for (int i = 0; i < 1000; i++) {
        size_t before = sent;
        push(APP, &sent, 1u << 30, 1 + (size_t)i * 16);
        assert_int_equal(sent, before + 1 + (size_t)i * 16);
        until((pull(FAR, &got, 200000), got == sent));
        assert_true(world.near[0].relay.ahead <= 16384 + 16);
    }
}

static void urgent_data_between_small_messages_holds_up_nothing(void **state) {
    (void)state;
    open_pair(0);
    for (int i = 0; i < 20; i++) {
        say(APP, "before");
        if (send(APP, "!", 1, MSG_OOB) < 0)
            assert_int_equal(send(APP, "!", 1, 0), 1); /* a kernel without CONFIG_AF_UNIX_OOB */
        say(APP, "behind");
        expect(FAR, "before!behind");
        say(APP, "later");
        expect(FAR, "later");
    }
}

/* ---- Orderly ends ---- */

static void both_ended_in_order(void) {
    until(world.near[0].ended && world.distant[0].ended);
    assert_int_equal(world.near[0].reason, RELAY_DONE);
    assert_int_equal(world.distant[0].reason, RELAY_DONE);
}

static void the_application_half_closes_and_still_reads(void **state) {
    (void)state;
    open_pair(0);
    say(APP, "all");
    shutdown(APP, SHUT_WR);
    expect(FAR, "all");
    expect_end(FAR, 0);
    say(FAR, "late answer");
    expect(APP, "late answer");
    close_now(&FAR);
    expect_end(APP, 0);
    both_ended_in_order();
}

static void the_far_end_half_closes_and_still_reads(void **state) {
    (void)state;
    open_pair(0);
    say(FAR, "banner");
    shutdown(FAR, SHUT_WR);
    expect(APP, "banner");
    expect_end(APP, 0);
    say(APP, "more");
    say(APP, " and more");
    expect(FAR, "more and more");
    close_now(&APP);
    expect_end(FAR, 0);
    both_ended_in_order();
}

static void an_application_that_writes_and_closes_loses_nothing(void **state) {
    const size_t total = 150000;
    size_t sent = 0, got = 0;
    (void)state;
    open_pair(0);
    push(APP, &sent, total, total);
    assert_int_equal(sent, total);
    close_now(&APP);
    until((pull(FAR, &got, total), got == total));
    expect_end(FAR, 0);
    close_now(&FAR);
    both_ended_in_order();
}

static void what_the_application_said_before_it_half_closed_all_arrives(void **state) {
    (void)state;
    open_pair(0);
    shutdown(APP, SHUT_WR); /* nothing but the residue was ever sent */
    expect_end(FAR, 0);
}

static void an_application_that_shuts_down_one_way_after_the_other_sees_no_reset(void **state) {
    (void)state;
    open_pair(0);
    say(APP, "all");
    shutdown(APP, SHUT_WR);
    expect(FAR, "all");
    expect_end(FAR, 0);
    shutdown(APP, SHUT_RD);
    until(world.near[0].ended);
    expect_end(APP, 0);
}

/* ---- Resets ---- */

static void a_reset_by_the_far_end_is_one_for_the_application(void **state) {
    struct linger linger = {.l_onoff = 1};
    (void)state;
    open_pair(0);
    setsockopt(FAR, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close_now(&FAR);
    expect_end(APP, -ECONNRESET);
}

static void a_reset_behind_many_small_messages_is_one_for_the_application(void **state) {
    struct linger linger = {.l_onoff = 1};
    (void)state;
    open_pair(0);
    for (int i = 0; i < 5; i++) {
        say(APP, "message");
        expect(FAR, "message");
    }
    setsockopt(FAR, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close_now(&FAR);
    expect_end(APP, -ECONNRESET);
}

static void an_end_of_file_behind_many_small_messages_is_one_for_the_application(void **state) {
    (void)state;
    open_pair(0);
    for (int i = 0; i < 5; i++) {
        say(APP, "message");
        expect(FAR, "message");
    }
    shutdown(FAR, SHUT_WR);
    expect_end(APP, 0);
    say(APP, "more");
    expect(FAR, "more");
    close_now(&APP);
    expect_end(FAR, 0);
    close_now(&FAR);
    both_ended_in_order();
}

/* Turns until `count` bytes lie unread. */
static void expect_unread(int fd, size_t count) {
    int unread = 0;
    until(ioctl(fd, FIONREAD, &unread) == 0 && unread == (int)count);
}

/* Regression: a server answered 413 and closed with the request unread; the reset overtook the
 * answer. */
static void data_before_a_reset_is_still_read(void **state) {
    static const char request[] = "a request that is never read";
    (void)state;
    open_pair(0);
    say(APP, request);
    expect_unread(FAR, strlen(request));
    say(FAR, "413 too large");
    close_now(&FAR); /* with data unread: a reset */
    expect(APP, "413 too large");
    expect_end(APP, -ECONNRESET);
}

/* Regression: SMTP's QUIT, sent before a close that left the server's reply unread, never
 * arrived. */
static void what_was_written_before_a_close_with_data_unread_still_arrives(void **state) {
    (void)state;
    open_pair(0);
    say(FAR, "220 hello");
    expect_unread(APP, strlen("220 hello"));
    say(APP, "QUIT");
    close_now(&APP);
    expect(FAR, "QUIT");
    expect_end(FAR, -ECONNRESET);
}

static void what_was_written_before_a_lingering_close_still_arrives(void **state) {
    (void)state;
    open_pair(0);
    world.near[0].relay.linger_reset = true;
    say(APP, "farewell");
    close_now(&APP);
    expect(FAR, "farewell");
    expect_end(FAR, -ECONNRESET);
}

/* The relay may already be reading when the application closes. */
static void a_lingering_close_that_is_read_before_it_is_told_is_a_reset_all_the_same(void **state) {
    (void)state;
    open_pair(0);
    struct relay *relay = &world.near[0].relay;
    relay->linger_reset = true;
    turns(5);
    close_now(&APP);
    relay->readable = true;
    relay->task.fn(&relay->task);
    pump_flush(world.client);
    expect_end(FAR, -ECONNRESET);
}

/* Descriptors that a program passes only mark a byte as urgent and are closed; closing them must
 * not block the loop. */
static void descriptors_sent_along_are_closed(void **state) {
    int pipe_fd[2];
    char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    (void)state;
    open_pair(0);
    assert_int_equal(setsockopt(FAR, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    assert_int_equal(pipe(pipe_fd), 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pipe_fd[1], sizeof(int));
    assert_int_equal(sendmsg(APP, &msg, 0), 1);
    close(pipe_fd[1]);
    say(APP, "yz");
    expect(FAR, "xyz");
    assert_int_equal(read(pipe_fd[0], &byte, 1), 0); /* waits until the other end is closed */
    close(pipe_fd[0]);
}

static void an_application_that_closes_with_data_unread_resets(void **state) {
    (void)state;
    open_pair(0);
    say(FAR, "unread");
    until(world.near[0].relay.to_socket == strlen("unread"));
    close_now(&APP);
    expect_end(FAR, -ECONNRESET);
}

static void data_for_an_application_that_is_gone_is_answered_by_a_reset(void **state) {
    (void)state;
    open_pair(0);
    close_now(&APP);
    expect_end(FAR, 0);
    say(FAR, "too late");
    until((send(FAR, "x", 1, MSG_NOSIGNAL), world.distant[0].ended));
    until(send(FAR, "x", 1, MSG_NOSIGNAL) < 0);
    assert_true(errno == EPIPE || errno == ECONNRESET);
}

static void a_lingering_time_of_zero_makes_the_close_a_reset(void **state) {
    (void)state;
    open_pair(0);
    world.near[0].relay.linger_reset = true;
    close_now(&APP);
    expect_end(FAR, -ECONNRESET);
}

static void a_lost_carrier_is_a_reset_on_both_sides_after_what_had_arrived(void **state) {
    (void)state;
    open_pair(0);
    say(FAR, "half of it");
    until(world.near[0].relay.to_socket == strlen("half of it"));
    pump_end(world.client, SMUX_ERR_CARRIER, "cut");
    expect(APP, "half of it");
    expect_end(APP, -ECONNRESET);
    expect_end(FAR, -ECONNRESET);
    until(world.server_closed);
}

/* The residue: whatever has been forwarded, one byte stays unread until an orderly end. */
static void a_lost_carrier_is_never_an_end_of_file(void **state) {
    static const size_t sizes[] = {1, 2, 63, 4096, 65535, 65536, 65537, 150000};
    (void)state;
    for (int i = 0; i < STREAMS_MAX; i++) {
        uint8_t data[150000] = {0}, got[150000];
        size_t have = 0;
        open_pair(i);
        assert_int_equal(send(world.app[i], data, sizes[i], 0), sizes[i]);
        while (have < sizes[i]) {
            ssize_t n = -EAGAIN;
            until((n = take(world.far[i], got, sizeof got)) != -EAGAIN);
            assert_true(n > 0);
            have += (size_t)n;
        }
    }
    pump_end(world.client, SMUX_ERR_CARRIER, "cut");
    for (int i = 0; i < STREAMS_MAX; i++)
        expect_end(world.app[i], -ECONNRESET);
}

/* ---- Odd applications ---- */

static void an_application_that_shuts_down_reading_can_still_write(void **state) {
    (void)state;
    open_pair(0);
    shutdown(APP, SHUT_RD);
    say(FAR, "ignored");
    turns(20);
    say(APP, "still here");
    expect(FAR, "still here");
    say(FAR, "ignored");
    turns(20);
    say(APP, "and here");
    expect(FAR, "and here");
}

static void urgent_data_stays_in_its_place(void **state) {
    (void)state;
    open_pair(0);
    say(APP, "before");
    assert_int_equal(send(APP, "!", 1, MSG_OOB), 1);
    say(APP, "after");
    expect(FAR, "before!after");
    assert_int_equal(send(APP, "!", 1, MSG_OOB), 1);
    expect(FAR, "!");
}

/* ---- Slow readers ---- */

static void fill(int fd, size_t *sent) {
    for (int idle = 0; idle < 50; idle++) {
        size_t before = *sent;
        push(fd, sent, SIZE_MAX, 100000);
        turns(2);
        if (*sent > before)
            idle = 0;
    }
}

static void a_reader_that_stops_stops_its_own_stream_only(void **state) {
    size_t sent = 0, got = 0;
    (void)state;
    open_pair(0);
    open_pair(1);
    fill(FAR, &sent);
    assert_true(sent > 262144);
    assert_true(sent < 64u << 20); /* the window bounds what is kept */
    say(world.far[1], "unhindered");
    expect(world.app[1], "unhindered");
    say(world.app[1], "both ways");
    expect(world.far[1], "both ways");
    until((pull(APP, &got, 200000), got == sent));
}

static void a_target_that_stops_stops_its_own_stream_only(void **state) {
    size_t sent = 0, got = 0;
    (void)state;
    open_pair(0);
    open_pair(1);
    fill(APP, &sent);
    assert_true(sent > 262144);
    assert_true(sent < 64u << 20);
    say(world.app[1], "unhindered");
    expect(world.far[1], "unhindered");
    until((pull(FAR, &got, 200000), got == sent));
}

/* Sends more than the application's socket holds, but less than that and the first window; all of
 * it has crossed the carrier. */
static void keep_some(size_t *sent) {
    smux_session_info info;
    while (world.near[0].relay.kept.len == 0) {
        push(FAR, sent, 4u << 20, 100000);
        until((smux_session_get_info(world.client->session, &info), info.bytes_in == *sent));
    }
}

static void what_a_slow_reader_has_not_taken_survives_the_loss_of_the_carrier(void **state) {
    size_t sent = 0, got = 0;
    (void)state;
    open_pair(0);
    keep_some(&sent);
    pump_end(world.client, SMUX_ERR_CARRIER, "cut");
    until((pull(APP, &got, 200000), got == sent));
    expect_end(APP, -ECONNRESET);
    until(world.near[0].ended);
}

/* Sends more than the application's socket holds, and then resets the stream. */
static size_t keep_behind_a_reset(bool by_target) {
    struct linger linger = {.l_onoff = 1};
    size_t sent = 0;
    open_pair(0);
    keep_some(&sent);
    if (by_target) {
        setsockopt(FAR, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close_now(&FAR);
        until(world.near[0].relay.stream == NULL);
    } else {
        pump_end(world.client, SMUX_ERR_CARRIER, "cut");
    }
    assert_false(world.near[0].ended);
    return sent;
}

static void
an_application_that_closes_behind_a_reset_with_data_unread_ends_the_relay(void **state) {
    char some[10];
    (void)state;
    keep_behind_a_reset(true);
    assert_int_equal(recv(APP, some, sizeof some, 0), sizeof some);
    turns(5);
    close_now(&APP);
    until(world.near[0].ended);
}

static void an_application_that_closes_after_the_carrier_was_lost_ends_the_relay(void **state) {
    (void)state;
    keep_behind_a_reset(false);
    shutdown(APP, SHUT_RD);
    turns(5);
    close_now(&APP);
    until(world.near[0].ended);
}

static void an_application_that_goes_with_much_kept_for_it_resets(void **state) {
    size_t sent = 0;
    (void)state;
    open_pair(0);
    fill(FAR, &sent);
    close_now(&APP);
    until(world.distant[0].ended);
    assert_int_equal(world.near[0].reason, RELAY_SOCKET_RESET);
}

static uint64_t queued_of(const struct relay *relay) {
    smux_stream_info info;
    smux_stream_get_info(relay->stream, &info);
    return info.queued;
}

/* Regression: when the write to the application failed, the stream's end that was pending after the
 * kept bytes was processed as well, so the reset became an orderly end. */
static void an_application_that_goes_after_both_half_closes_resets_behind_its_data(void **state) {
    struct relay *near = &world.near[0].relay;
    size_t down = 0, up = 0, got = 0;
    (void)state;
    open_pair(0);
    keep_some(&down);
    shutdown(FAR, SHUT_WR);
    until(near->out == RELAY_OUT_DRAINING);
    push(APP, &up, 4000, 4000);
    shutdown(APP, SHUT_WR);
    for (int i = 0; i < 10; i++) /* all is read, and nothing is on the carrier yet */
        near->watch.fn(&near->watch, EPOLLIN | EPOLLRDHUP);
    assert_int_equal(near->in, RELAY_IN_SHUT);
    assert_true(queued_of(near) > 0 && near->kept.len > 0);
    close_now(&APP);
    near->watch.fn(&near->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    until((pull(FAR, &got, 200000), got == up));
    expect_end(FAR, -ECONNRESET);
    until(world.near[0].ended);
    assert_int_equal(world.near[0].reason, RELAY_SOCKET_RESET);
}

#define RELAY_TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, teardown_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        RELAY_TEST(bytes_arrive_both_ways),
        RELAY_TEST(megabytes_arrive_unchanged_in_pieces_of_any_size),
        RELAY_TEST(a_thousand_messages_one_after_the_other_never_block),
        RELAY_TEST(urgent_data_between_small_messages_holds_up_nothing),
        RELAY_TEST(the_application_half_closes_and_still_reads),
        RELAY_TEST(the_far_end_half_closes_and_still_reads),
        RELAY_TEST(an_application_that_writes_and_closes_loses_nothing),
        RELAY_TEST(what_the_application_said_before_it_half_closed_all_arrives),
        RELAY_TEST(an_application_that_shuts_down_one_way_after_the_other_sees_no_reset),
        RELAY_TEST(a_reset_by_the_far_end_is_one_for_the_application),
        RELAY_TEST(a_reset_behind_many_small_messages_is_one_for_the_application),
        RELAY_TEST(an_end_of_file_behind_many_small_messages_is_one_for_the_application),
        RELAY_TEST(data_before_a_reset_is_still_read),
        RELAY_TEST(what_was_written_before_a_close_with_data_unread_still_arrives),
        RELAY_TEST(what_was_written_before_a_lingering_close_still_arrives),
        RELAY_TEST(a_lingering_close_that_is_read_before_it_is_told_is_a_reset_all_the_same),
        RELAY_TEST(descriptors_sent_along_are_closed),
        RELAY_TEST(an_application_that_closes_with_data_unread_resets),
        RELAY_TEST(data_for_an_application_that_is_gone_is_answered_by_a_reset),
        RELAY_TEST(a_lingering_time_of_zero_makes_the_close_a_reset),
        RELAY_TEST(a_lost_carrier_is_a_reset_on_both_sides_after_what_had_arrived),
        RELAY_TEST(a_lost_carrier_is_never_an_end_of_file),
        RELAY_TEST(an_application_that_shuts_down_reading_can_still_write),
        RELAY_TEST(urgent_data_stays_in_its_place),
        RELAY_TEST(a_reader_that_stops_stops_its_own_stream_only),
        RELAY_TEST(a_target_that_stops_stops_its_own_stream_only),
        RELAY_TEST(what_a_slow_reader_has_not_taken_survives_the_loss_of_the_carrier),
        RELAY_TEST(an_application_that_closes_behind_a_reset_with_data_unread_ends_the_relay),
        RELAY_TEST(an_application_that_closes_after_the_carrier_was_lost_ends_the_relay),
        RELAY_TEST(an_application_that_goes_with_much_kept_for_it_resets),
        RELAY_TEST(an_application_that_goes_after_both_half_closes_resets_behind_its_data),
    };
    return run_over_carriers(tests, 1);
}
