/* SPDX-License-Identifier: MIT
 *
 * The loop that smux.h shows: nothing waits longer than the carrier requires.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "support_engine.h"

enum { TOTAL = 4 << 20 };

static uint64_t clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

typedef struct sender {
    smux_stream *stream;
    size_t left;
} sender;

static void send_more(sender *s) {
    static const uint8_t zeros[65536];
    while (s->left) {
        ssize_t n =
            smux_stream_send(s->stream, zeros, s->left < sizeof zeros ? s->left : sizeof zeros);
        assert_true(n >= 0);
        if (n == 0)
            return;
        s->left -= (size_t)n;
    }
}

static void *swallow(void *fd) {
    static uint8_t waste[1 << 20];
    while (read(*(int *)fd, waste, sizeof waste) > 0)
        ;
    return NULL;
}

/* The last smux_session_output_done had made room; the loop polled with nothing to write, and slept
 * until the next keepalive. */
static void a_sender_that_waits_for_room_continues_at_once(void **state) {
    (void)state;
    int fds[2];
    pthread_t reader;
    smux_session *session;
    smux_config config;
    sender s = {.left = TOTAL};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&reader, NULL, swallow, &fds[1]), 0);
    smux_config_init(&config);
    config.keepalive_disabled = true; /* a lost wake-up would last for ever: for poll, a minute */
    assert_int_equal(smux_session_new(&session, SMUX_CLIENT, &config, NULL, clock_us()), 0);
    assert_int_equal(smux_stream_open(session, &s.stream), 0);
    send_more(&s);
    while (s.left || smux_session_want_write(session)) {
        struct pollfd p = {.fd = fds[0]};
        struct iovec iov[64];
        smux_event event;
        int count;
        uint64_t due = smux_session_deadline(session), now = clock_us();
        if (smux_session_want_read(session))
            p.events |= POLLIN;
        if (smux_session_want_write(session))
            p.events |= POLLOUT;
        int wait_ms = due <= now ? 0 : due == SMUX_NEVER ? 60000 : (int)((due - now) / 1000 + 1);
        if (poll(&p, 1, wait_ms) == 0 && wait_ms)
            fail_msg("nothing happened for %d ms, with %zu bytes to be sent", wait_ms, s.left);
        now = clock_us();
        smux_session_tick(session, now);
        while (smux_session_next_event(session, &event))
            if (event.type == SMUX_EVENT_WRITABLE)
                send_more(&s);
        while ((count = smux_session_output(session, iov, 64, now)) > 0) {
            ssize_t n = writev(fds[0], iov, count);
            assert_true(n > 0 || errno == EAGAIN);
            smux_session_output_done(session, n > 0 ? (size_t)n : 0);
            if (n < 0)
                break;
        }
    }
    smux_session_free(session);
    close(fds[0]);
    pthread_join(reader, NULL);
    close(fds[1]);
}

static void events_that_wait_are_due_at_once(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    uint64_t later = smux_session_deadline(e.session);
    assert_true(later > e.now_us);
    say_syn(&e, 3);
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    assert_int_equal(smux_session_deadline(e.session), 0);
    e.said.len = 0;
    expect_accept(&e, 3);
    expect_no_event(&e);
    assert_int_equal(smux_session_deadline(e.session), later);
    smux_session_fail(e.session, SMUX_ERR_CARRIER);
    assert_int_equal(smux_session_deadline(e.session), 0);
    expect_failed(&e, SMUX_ERR_CARRIER);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sender_that_waits_for_room_continues_at_once),
        cmocka_unit_test(events_that_wait_are_due_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
