/* SPDX-License-Identifier: MIT */
/* Bytes are lost, and the reader must see a reset, never an end of file: the kernel refuses a write
 * to a socket that still stands, for want of memory for instance, or a peer of the carrier ends in
 * the middle of a frame. */
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

/* ---- A peer that ends in good order, as the carrier sees it, and in the middle of a frame ---- */

static bool stranger_is_over;

static void on_stranger(struct carrier *carrier) {
    (void)carrier;
}

static void on_stranger_failed(struct carrier *carrier, const char *why) {
    (void)carrier;
    fail_msg("%s", why);
}

static void on_stranger_events(struct carrier *carrier, uint8_t events) {
    (void)carrier;
    (void)events;
}

static void on_stranger_over(struct carrier *carrier) {
    (void)carrier;
    stranger_is_over = true;
}

static const struct carrier_user stranger = {.ready = on_stranger,
                                             .failed = on_stranger_failed,
                                             .events = on_stranger_events,
                                             .ended = on_stranger_over};

static void write_through(struct carrier *carrier, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = -1;
        until((n = carrier_writev(carrier, &(struct iovec){(void *)bytes, len}, 1)) > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

static void read_something(struct carrier *carrier) {
    char bytes[100];
    until(carrier_read(carrier, bytes, sizeof bytes) > 0);
}

/* In place of a world's: no session is at the other end. */
static int setup_with_stranger(void **state) {
    static struct carrier *pair[2];
    memset(&world, 0, sizeof world);
    memset(world.app, -1, sizeof world.app);
    memset(world.far, -1, sizeof world.far);
    assert_int_equal(reactor_init(&world.reactor), 0);
    assert_int_equal(carrier_kind->new_pair(world.reactor.loop, pair), 0);
    world.client = make_pump(pair[0], SMUX_CLIENT);
    world.server_closed = true;
    stranger_is_over = false;
    assert_int_equal(carrier_start(pair[1], &stranger, NULL, 5000000), 0);
    until(carrier_is_ready(pair[1]));
    *state = pair[1];
    return 0;
}

static void open_near(void) {
    struct relay *relay = &world.near[0].relay;
    int app[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, app), 0);
    APP = app[0];
    attach_near(relay, app);
}

static void a_peer_that_ends_within_a_frame_has_sent_no_end_of_file(void **state) {
    struct carrier *peer = *state;
    const uint8_t header[] = {2, 2, 1000 & 255, 1000 >> 8,
                              3, 0, 0,          0}; /* 1000 bytes for stream 3 */
    uint8_t bytes[400];
    memset(bytes, 'x', sizeof bytes);
    open_near();
    read_something(peer);
    write_through(peer, header, sizeof header);
    write_through(peer, bytes, sizeof bytes);
    if (!carrier_shutdown(peer, 5000000))
        until(stranger_is_over);
    carrier_close(peer);
    expect_less_and_a_reset(APP, 1000);
    until(world.client_closed && world.near[0].ended);
    assert_int_equal(world.near[0].reason, RELAY_STREAM_RESET);
}

#define FAILING_TEST(f) cmocka_unit_test_setup_teardown(f, setup_failing, teardown_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        FAILING_TEST(the_application_sees_no_end_of_file_behind_lost_bytes),
        FAILING_TEST(the_target_sees_no_end_of_file_behind_lost_bytes),
        FAILING_TEST(a_kernel_without_memory_for_a_write_resets_both_ends),
        FAILING_TEST(a_first_write_that_fails_resets_both_ends),
        FAILING_TEST(what_was_said_before_a_failed_write_arrives),
        cmocka_unit_test_setup_teardown(a_peer_that_ends_within_a_frame_has_sent_no_end_of_file,
                                        setup_with_stranger, teardown_world),
    };
    return run_over_carriers(tests, 2);
}
