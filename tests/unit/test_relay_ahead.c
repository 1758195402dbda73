/* SPDX-License-Identifier: MIT */
/* The application's data stays unread for a while at the relay's end, and is charged to the
 * application's send buffer: this must never block the application. */
#include "support_relay.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "core/common/helper_protocol.h"

#define APP  world.app[0]
#define FAR  world.far[0]
#define NEAR world.near[0].relay

#define SILENCE_MS 100 /* after which nothing but the residue may be left */

static int file, pipes[2];

static int setup_ahead(void **state) {
    static const char zeros[1 << 20];
    file = memfd_create("pages", 0);
    assert_int_equal(write(file, zeros, sizeof zeros), sizeof zeros);
    assert_int_equal(pipe(pipes), 0);
    return setup_world(state);
}

static int teardown_ahead(void **state) {
    close(file);
    close(pipes[0]);
    close(pipes[1]);
    return teardown_world(state);
}

/* As the helper leaves it. */
static void open_as_the_helper_does(void) {
    int size = HELPER_OPEN_SNDBUF;
    open_pair(0);
    setsockopt(APP, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* ---- Ways to write, which are charged differently ---- */

typedef ssize_t write_some(size_t len);

static ssize_t by_send(size_t len) {
    static const char zeros[1 << 20];
    return send(APP, zeros, len, MSG_NOSIGNAL);
}

static ssize_t by_sendfile(size_t len) {
    off_t at = 0;
    return sendfile(APP, file, &at, len);
}

static ssize_t by_splice(size_t len) {
    loff_t at = 0;
    int queued = 0;
    ioctl(pipes[0], FIONREAD, &queued);
    if (queued == 0)
        splice(file, &at, pipes[1], NULL, len, 0);
    return splice(pipes[0], NULL, APP, NULL, len, SPLICE_F_NONBLOCK);
}

static write_some *const ways[] = {by_send, by_sendfile, by_splice};
#define WAYS (sizeof ways / sizeof *ways)

/* ---- Writers that wait ---- */

static bool writable(void) {
    struct pollfd p = {.fd = APP, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

/* Takes and counts what arrives. */
static size_t arrived(void) {
    static char data[1 << 20];
    ssize_t n = take(FAR, data, sizeof data);
    return n > 0 ? (size_t)n : 0;
}

/* Writes pieces of `len` bytes; polls before each, or when the buffer is full, and then waits. The
 * relay gets a turn every `pace` pieces. */
static void write_many(write_some *some, size_t len, size_t count, bool polls, int pace) {
    size_t sent = 0, got = 0;
    for (size_t i = 0; sent < len * count; i++) {
        if (polls)
            until((got += arrived(), writable()));
        ssize_t n = some(len);
        if (n < 0)
            assert_int_equal(errno, EAGAIN);
        if (n < 0)
            until((got += arrived(), writable()));
        sent += n > 0 ? (size_t)n : 0;
        if (i % (unsigned)pace == 0)
            turns(1);
    }
    until((got += arrived(), got == sent));
}

static const size_t small_sizes[] = {1, 8, 12, 20, 64, 100, 700};

/* More than the send buffer is charged for: some 130 buffers of 768 bytes. Slow carriers wait a
 * millisecond in each turn. */
static void write_many_small(bool polls) {
    size_t count = carrier_kind->slow ? 300 : 500;
    open_as_the_helper_does();
    for (size_t i = 0; i < WAYS; i++)
        for (size_t j = 0; j < sizeof small_sizes / sizeof *small_sizes; j++)
            for (int pace = carrier_kind->slow ? 10 : 1; pace < 10000; pace *= 10)
                write_many(ways[i], small_sizes[j], count, polls, pace);
}

static void many_small_writes_go_on(void **state) {
    (void)state;
    write_many_small(false);
}

static void many_small_writes_that_poll_first_go_on(void **state) {
    (void)state;
    write_many_small(true);
}

static void large_writes_go_on(void **state) {
    static const size_t sizes[] = {4000, 16384, 70000, 300000, 1 << 20};
    (void)state;
    open_as_the_helper_does();
    for (size_t i = 0; i < WAYS; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            for (int polls = 0; polls < 2; polls++)
                write_many(ways[i], sizes[j], carrier_kind->slow ? 3 : 10, polls, 1);
}

/* Each burst follows an answer, as in a conversation, but consists of enough tiny writes to fill
 * the buffer. */
static void bursts_of_small_writes_between_answers_go_on(void **state) {
    (void)state;
    open_as_the_helper_does();
    for (int i = 0; i < (carrier_kind->slow ? 30 : 300); i++) {
        size_t got = 0, sent = 0;
        while (writable() && sent < 3000) {
            assert_int_equal(by_send(1 + (size_t)i % 20), 1 + i % 20);
            sent += 1 + (size_t)i % 20;
        }
        until((got += arrived(), got == sent));
        say(FAR, "answer");
        expect(APP, "answer");
        until(writable());
    }
}

/* ---- The bound ---- */

static int charged(void) {
    int bytes = 0;
    assert_int_equal(ioctl(APP, SIOCOUTQ, &bytes), 0);
    return bytes;
}

static int quarter(void) {
    int size = 0;
    socklen_t len = sizeof size;
    getsockopt(APP, SOL_SOCKET, SO_SNDBUF, &size, &len);
    return size / 4;
}

static int unread(void) {
    int bytes = 0;
    assert_int_equal(ioctl(NEAR.watch.fd, SIOCINQ, &bytes), 0);
    return bytes;
}

static void pass_ms(int ms) {
    uint64_t end_us = loop_clock_us() + (uint64_t)ms * 1000;
    while (loop_clock_us() < end_us) {
        loop_turn(world.reactor.loop, 1);
        arrived();
    }
}

/* Some messages in some rhythm, and then silence. */
static void converse(unsigned seed) {
    srand(seed);
    for (int i = rand() % 12; i >= 0; i--) {
        size_t size = rand() % 4 ? 1 + (size_t)rand() % 30 : 1 + (size_t)rand() % 100000;
        write_some *some = ways[(size_t)rand() % WAYS];
        for (int j = rand() % 3 ? 1 : rand() % 100; j > 0; j--)
            some(size);
        turns(1 + rand() % 3);
        arrived();
        if (rand() % 3)
            send(FAR, "answer", 6, MSG_NOSIGNAL);
        turns(rand() % 3);
        arrived();
    }
}

static void in_silence_nothing_but_the_residue_is_charged(void **state) {
    char answers[1000];
    (void)state;
    open_as_the_helper_does();
    unsigned seeds = carrier_kind->slow ? 5 : 20;
    for (unsigned seed = 1; seed <= seeds; seed++) {
        converse(seed);
        pass_ms(SILENCE_MS);
        while (take(APP, answers, sizeof answers) > 0)
            ;
        /* A slow carrier may have brought the last answer only now. */
        if (carrier_kind->slow)
            until((take(APP, answers, sizeof answers), unread() == 1));
        if (unread() != 1 || charged() > quarter() || !writable())
            fail_msg("seed %u: %d bytes unread, %d charged of %d", seed, unread(), charged(),
                     quarter());
    }
}

/* For each way to write, the last byte of its largest buffer stays unread. */
static void the_largest_residue_leaves_the_socket_writable(void **state) {
    (void)state;
    open_as_the_helper_does();
    for (size_t i = 0; i < WAYS; i++)
        for (size_t len = 1; len <= 1 << 20; len *= 2) {
            assert_true(ways[i](len) > 0);
            ways[i](len);
            pass_ms(2);
            until((arrived(), unread() == 1));
            assert_true(charged() <= quarter());
            assert_true(writable());
        }
}

static void on_silence(struct loop_timer *timer) {
    (void)timer;
    fail_msg("an hour has passed");
}

/* However long a carrier takes, this is no silence. */
static void hear_no_silence(void) {
    struct loop *loop = world.reactor.loop;
    loop_timer_set(loop, &NEAR.ahead_timer, loop_now_us(loop) + UINT64_C(3600000000), on_silence);
}

/* This saves one of two system calls for each message. */
static void a_conversation_leaves_its_messages_unread(void **state) {
    (void)state;
    open_as_the_helper_does();
    hear_no_silence();
    for (int i = 1; i < 50; i++) {
        say(APP, "request");
        expect(FAR, "request");
        assert_int_equal(NEAR.ahead, 1 + i % 8 * 7);
        say(FAR, "answer");
        expect(APP, "answer");
    }
}

static void a_reset_in_silence_is_one_for_the_application(void **state) {
    struct linger linger = {.l_onoff = 1};
    (void)state;
    open_as_the_helper_does();
    for (int i = 0; i < 100; i++)
        say(APP, "tiny");
    pass_ms(SILENCE_MS);
    setsockopt(FAR, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close_now(&FAR);
    expect_end(APP, -ECONNRESET);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup_ahead, teardown_ahead)

int main(void) {
    const struct CMUnitTest tests[] = {
        test(many_small_writes_go_on),
        test(many_small_writes_that_poll_first_go_on),
        test(large_writes_go_on),
        test(bursts_of_small_writes_between_answers_go_on),
        test(in_silence_nothing_but_the_residue_is_charged),
        test(the_largest_residue_leaves_the_socket_writable),
        test(a_conversation_leaves_its_messages_unread),
        test(a_reset_in_silence_is_one_for_the_application),
    };
    return run_over_carriers(tests, 2);
}
