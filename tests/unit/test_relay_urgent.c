/* SPDX-License-Identifier: MIT */
/* Urgent data through the relays: from the application's mark to the target's MSG_OOB, and back. */
#include "support_relay.h"

#include <poll.h>
#include <sys/ioctl.h>

#define APP world.app[0]
#define FAR world.far[0]

/* What the shim does for send(MSG_OOB): the urgent byte comes with a descriptor. */
static void say_urgent(int fd, const char *text) {
    size_t ordinary = strlen(text) - 1;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {.cmsg_len = CMSG_LEN(sizeof(int)),
                           .cmsg_level = SOL_SOCKET,
                           .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)(uintptr_t)(text + ordinary), 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    int mark = dup(0);
    memcpy(CMSG_DATA(&control.align), &mark, sizeof mark);
    if (ordinary)
        assert_int_equal(send(fd, text, ordinary, MSG_NOSIGNAL), ordinary);
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), 1);
    close(mark);
}

static bool at_mark(int fd) {
    int mark = 0;
    assert_int_equal(ioctl(fd, SIOCATMARK, &mark), 0);
    return mark;
}

/* Runs the loop until the mark is reached after exactly `text`, and receives the urgent byte. */
static void expect_urgent(int fd, const char *text, char urgent) {
    char byte = 0;
    expect(fd, text);
    until(at_mark(fd));
    until(recv(fd, &byte, 1, MSG_OOB | MSG_DONTWAIT) == 1);
    assert_int_equal(byte, urgent);
}

static void the_target_gets_the_byte_that_the_application_marked(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    say_urgent(APP, "abc!");
    say(APP, "de");
    expect_urgent(FAR, "abc", '!');
    expect(FAR, "de");
    say_urgent(APP, "?"); /* alone: right behind a residue */
    expect_urgent(FAR, "", '?');
    say_urgent(APP, "x"); /* behind a residue that was urgent itself */
    expect_urgent(FAR, "", 'x');
    say(APP, "end");
    expect(FAR, "end");
}

static void the_application_gets_the_byte_that_the_target_marked(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    assert_int_equal(send(FAR, "abc!", 4, MSG_OOB), 4);
    turns(20);
    say(FAR, "de");
    expect_urgent(APP, "abc", '!');
    expect(APP, "de");
    assert_int_equal(send(FAR, "?", 1, MSG_OOB), 1);
    expect_urgent(APP, "", '?');
    say(FAR, "end");
    expect(APP, "end");
}

/* If the target never reads with MSG_OOB, the kernel skips the urgent byte, and nothing else is
 * lost. */
static void the_stream_goes_on_around_urgent_data(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    assert_int_equal(setsockopt(FAR, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    assert_int_equal(setsockopt(APP, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    for (int i = 0; i < 50; i++) {
        say_urgent(APP, "12");
        say(APP, "3");
        send(FAR, "45", 2, MSG_OOB);
        say(FAR, "6");
        if (i % 3 == 0)
            turns(3);
    }
    for (int i = 0; i < 50; i++) {
        expect(FAR, "123");
        expect(APP, "456");
    }
}

/* While the target does not read, the urgent byte waits in sequence. */
static void a_mark_keeps_its_place_among_what_is_kept(void **state) {
    static char bulk[65536];
    size_t sent = 0, got = 0;
    (void)state;
    open_pair(0);
    greet_both();
    struct pollfd room = {.fd = APP, .events = POLLOUT};
    for (int idle = 0; idle < 50;) {
        ssize_t n = send(APP, bulk, sizeof bulk, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        turns(1);
    }
    while (!(poll(&room, 1, 0) && room.revents & POLLOUT)) {
        ssize_t n = recv(FAR, bulk, sizeof bulk, 0);
        got += n > 0 ? (size_t)n : 0;
        turns(1);
    }
    say_urgent(APP, "!");
    say(APP, "behind");
    turns(50);
    while (!at_mark(FAR)) {
        ssize_t n = recv(FAR, bulk, sizeof bulk, 0);
        got += n > 0 ? (size_t)n : 0;
        turns(1);
        assert_true(got <= sent);
    }
    assert_int_equal(got, sent);
    expect_urgent(FAR, "", '!');
    expect(FAR, "behind");
}

static void an_end_behind_the_urgent_byte_is_passed_on(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    say_urgent(APP, "ab");
    shutdown(APP, SHUT_WR);
    expect_urgent(FAR, "a", 'b');
    expect_end(FAR, 0);
    assert_int_equal(send(FAR, "cd", 2, MSG_OOB), 2);
    shutdown(FAR, SHUT_WR);
    expect_urgent(APP, "c", 'd');
    expect_end(APP, 0);
}

static void a_close_behind_the_urgent_byte_loses_nothing(void **state) {
    (void)state;
    open_pair(0);
    greet_both();
    assert_int_equal(setsockopt(FAR, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    say_urgent(APP, "ab");
    close_now(&APP);
    expect(FAR, "ab");
    expect_end(FAR, 0);
}

/* A peer sends a flood of urgent bytes that the target does not read: one mark is kept. */
static void a_flood_of_urgent_bytes_is_a_flood_of_bytes(void **state) {
    smux_stream *stream;
    char got[4096];
    size_t total = 0, sent = 0;
    (void)state;
    open_pair(0);
    greet_both();
    stream = world.near[0].relay.stream;
    assert_int_equal(setsockopt(FAR, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    for (int i = 0; i < 20000; i++) {
        if (smux_stream_send(stream, "!", 1) == 1) {
            assert_int_equal(smux_stream_mark_urgent(stream, 0), 0);
            sent++;
        }
        pump_kick(world.client);
        if (i % 4 == 0)
            turns(1);
    }
    until(({
        ssize_t n = recv(FAR, got, sizeof got, MSG_DONTWAIT);
        total += n > 0 ? (size_t)n : 0;
        total == sent;
    }));
    say(APP, "alive");
    expect(FAR, "alive");
}

#define RELAY_TEST(test) cmocka_unit_test_setup_teardown(test, setup_world, teardown_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        RELAY_TEST(the_target_gets_the_byte_that_the_application_marked),
        RELAY_TEST(the_application_gets_the_byte_that_the_target_marked),
        RELAY_TEST(the_stream_goes_on_around_urgent_data),
        RELAY_TEST(a_mark_keeps_its_place_among_what_is_kept),
        RELAY_TEST(an_end_behind_the_urgent_byte_is_passed_on),
        RELAY_TEST(a_close_behind_the_urgent_byte_loses_nothing),
        RELAY_TEST(a_flood_of_urgent_bytes_is_a_flood_of_bytes),
    };
    return run_over_carriers(tests, 5);
}
