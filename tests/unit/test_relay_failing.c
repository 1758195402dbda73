/* SPDX-License-Identifier: MIT */
/* The kernel refuses a write to a socket that still stands, for want of memory for instance: bytes
 * are lost, and the reader must see a reset, never an end of file. */
#include "support_relay.h"

#include <sys/syscall.h>

#define APP world.app[0]
#define FAR world.far[0]

/* In place of the C library's: fails for one descriptor. */
static int failing_fd = -1, failing_errno;

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags) {
    if (fd == failing_fd) {
        errno = failing_errno;
        return -1;
    }
    return syscall(SYS_sendmsg, fd, msg, flags);
}

static int setup_failing(void **state) {
    failing_fd = -1;
    return setup_world(state);
}

/* Reads what has arrived before the end, which must be a reset. */
static void expect_less_and_a_reset(int fd, size_t sent) {
    static char data[100000];
    size_t got = 0;
    ssize_t n;
    do {
        until((n = take(fd, data, sizeof data)) != -EAGAIN);
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    assert_int_equal(n, -ECONNRESET);
    assert_true(got < sent);
}

/* The writer is told that its socket takes bytes, and the write fails. */
static void fail_write(struct relay *writer, int error) {
    failing_fd = writer->watch.fd;
    failing_errno = error;
    writer->watch.fn(&writer->watch, EPOLLOUT);
    failing_fd = -1;
}

static void fail_before_the_end_of_file(int from, int to, struct relay *writer, int error) {
    size_t sent = send_until_kept(from, writer);
    shutdown(from, SHUT_WR);
    until(writer->out == RELAY_OUT_DRAINING);
    fail_write(writer, error);
    expect_less_and_a_reset(to, sent);
}

static void the_application_sees_no_end_of_file_behind_lost_bytes(void **state) {
    (void)state;
    open_pair(0);
    fail_before_the_end_of_file(FAR, APP, &world.near[0].relay, ENOBUFS);
    until(world.near[0].ended);
    assert_int_equal(world.near[0].reason, RELAY_SOCKET_RESET);
    assert_int_equal(world.near[0].error, -ENOBUFS);
}

static void the_target_sees_no_end_of_file_behind_lost_bytes(void **state) {
    (void)state;
    open_pair(0);
    fail_before_the_end_of_file(APP, FAR, &world.distant[0].relay, ENOBUFS);
    until(world.distant[0].ended);
    assert_int_equal(world.distant[0].reason, RELAY_SOCKET_RESET);
    assert_int_equal(world.distant[0].error, -ENOBUFS);
}

static void a_kernel_without_memory_for_a_write_resets_both_ends(void **state) {
    (void)state;
    open_pair(0);
    fail_before_the_end_of_file(FAR, APP, &world.near[0].relay, ENOMEM);
    until(world.near[0].ended && world.distant[0].ended);
    assert_int_equal(world.near[0].error, -ENOMEM);
}

/* Nothing is kept: the bytes would go straight to the socket. */
static void a_first_write_that_fails_resets_both_ends(void **state) {
    (void)state;
    open_pair(0);
    failing_fd = world.near[0].relay.watch.fd;
    failing_errno = EIO;
    say(FAR, "lost");
    expect_end(APP, -ECONNRESET);
    expect_end(FAR, -ECONNRESET);
    until(world.near[0].ended);
    assert_int_equal(world.near[0].error, -EIO);
}

/* Regression: after a short read the relay waited for the socket's next event, which never
 * came. */
static void what_was_said_before_a_failed_write_arrives(void **state) {
    (void)state;
    open_pair(0);
    send_until_kept(FAR, &world.near[0].relay);
    say(APP, "last words");
    fail_write(&world.near[0].relay, EIO);
    expect(FAR, "last words");
    expect_end(FAR, -ECONNRESET);
}

#define FAILING_TEST(f) cmocka_unit_test_setup_teardown(f, setup_failing, teardown_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        FAILING_TEST(the_application_sees_no_end_of_file_behind_lost_bytes),
        FAILING_TEST(the_target_sees_no_end_of_file_behind_lost_bytes),
        FAILING_TEST(a_kernel_without_memory_for_a_write_resets_both_ends),
        FAILING_TEST(a_first_write_that_fails_resets_both_ends),
        FAILING_TEST(what_was_said_before_a_failed_write_arrives),
    };
    return run_over_carriers(tests, 2);
}
