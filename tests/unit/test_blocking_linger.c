/* SPDX-License-Identifier: MIT
 *
 * The blocking API: how long closing a session waits for unsent data; the peer must not be able to
 * extend that.
 */
#include "support_bare.h"

#include <sys/uio.h>

#include "core/blocking/blk.h" /* linger_max_ms */

/* ---- Carriers ------------------------------------------------------------------------------- */

/* A transport. If told to, its writev accepts one byte per millisecond and discards it; after
 * PATIENCE_MS it accepts everything. */
struct carrier {
    int fd;
    bool trickles;
    uint64_t end_us;
    size_t trickled;
    bool gave_up;
};

static ssize_t carrier_read(void *context, void *data, size_t len) {
    return read(((struct carrier *)context)->fd, data, len);
}

static ssize_t carrier_writev(void *context, const struct iovec *iov, int iovcnt) {
    struct carrier *c = context;
    if (c->trickles && !c->gave_up) {
        usleep(1000);
        c->gave_up = smuxb_now_us() > c->end_us;
        c->trickled++;
        return 1;
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)iovcnt};
    return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

static void carrier_shutdown(void *context) {
    shutdown(((struct carrier *)context)->fd, SHUT_RDWR);
}

static smuxb_session *start_over(struct carrier *c, int version) {
    smuxb_transport t = {carrier_read, carrier_writev, carrier_shutdown, NULL, c};
    smuxb_session *s;
    smux_config config;
    smux_config_init(&config);
    config.version = version;
    config.stream_send_buffer = 1 << 20;
    assert_int_equal(smuxb_session_client_over(&s, &t, &config), 0);
    return s;
}

/* Queues more than a peer's first window, and ends the stream. */
static const uint8_t data[WIRE_INITIAL_WINDOW + 50000];

static void write_and_end(smuxb_session *s) {
    smuxb_stream *st;
    assert_int_equal(smuxb_stream_open(s, &st), 0);
    assert_int_equal(smuxb_stream_write(st, data, sizeof data), sizeof data);
    smuxb_stream_close(st);
}

/* ---- A peer that keeps a session busy ------------------------------------------------------- */

struct pinger {
    int fd;
    unsigned pause_us;
    bool gave_up;
};

/* Pings as long as there is a peer, at most PATIENCE_MS. Reads everything. */
static void *ping_on(void *argument) {
    struct pinger *p = argument;
    static uint8_t waste[65536];
    uint8_t frame[WIRE_HEADER_LEN];
    uint64_t end_us = smuxb_after_ms(PATIENCE_MS);
    wire_pack_header(frame, (struct wire_header){2, WIRE_FIN, 0, WIRE_HELLO});
    while (send(p->fd, frame, sizeof frame, MSG_NOSIGNAL) > 0) {
        while (recv(p->fd, waste, sizeof waste, MSG_DONTWAIT) > 0)
            ;
        if (p->pause_us)
            usleep(p->pause_us);
        if ((p->gave_up = smuxb_now_us() >= end_us))
            break;
        wire_pack_header(frame, (struct wire_header){2, WIRE_NOP, 0, WIRE_PING});
    }
    shutdown(p->fd, SHUT_RDWR);
    return NULL;
}

static void close_beside_pings(unsigned pause_us) {
    struct pinger p = {.pause_us = pause_us};
    smux_session_info info;
    int fds[2];
    unix_pair(fds);
    p.fd = fds[1];
    struct carrier c = {.fd = fds[0]};
    smuxb_session *s = start_over(&c, 2);
    pthread_t peer = run(ping_on, &p);
    write_and_end(s);
    do {
        usleep(100);
        smuxb_session_get_info(s, &info);
    } while (info.bytes_out < WIRE_INITIAL_WINDOW);
    assert_true(info.queued > 0); /* and will be for ever, without another window */
    smuxb_session_free(s);
    close(fds[0]);
    result_of(peer);
    assert_false(p.gave_up);
    close(fds[1]);
}

/* Answers to pings once counted as progress: a peer that opened no window, but sent pings, could
 * delay smuxb_session_close without limit. */
static void a_peer_that_only_pings_does_not_hold_the_close(void **state) {
    (void)state;
    close_beside_pings(100000);
}

static void a_peer_that_pings_all_the_time_does_not_hold_the_close(void **state) {
    (void)state;
    close_beside_pings(0);
}

/* The same over a descriptor, where the closing thread does the I/O by itself.  What is queued
 * there is a small write that found the carrier full. */
static void a_peer_that_only_pings_does_not_hold_the_close_over_a_descriptor(void **state) {
    (void)state;
    struct pinger p = {.pause_us = 100000};
    smuxb_session *s;
    smuxb_stream *small, *full;
    smux_session_info info;
    smux_config config;
    uint8_t no_window[WIRE_HEADER_LEN + WIRE_UPDATE_LEN] = {0};
    int fds[2], size = 4096;
    unix_pair(fds);
    p.fd = fds[1];
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    smux_config_init(&config);
    config.version = 2;
    assert_int_equal(smuxb_session_client(&s, fds[0], &config), 0);
    assert_int_equal(smuxb_stream_open(s, &small), 0);
    assert_int_equal(smuxb_stream_open(s, &full), 0);
    wire_pack_header(no_window, (struct wire_header){2, WIRE_UPD, WIRE_UPDATE_LEN, 3});
    assert_int_equal(smuxb_stream_id(small), 3);
    assert_int_equal(send(p.fd, no_window, sizeof no_window, 0), sizeof no_window);
    do {
        usleep(100);
        smuxb_session_get_info(s, &info);
    } while (!info.frames_in);
    pthread_t writer = run(write_on, full);
    do /* until the carrier is full */
        smuxb_stream_set_write_deadline(small, smuxb_after_ms(5));
    while (smuxb_stream_write(small, data, 1000) != 1000);
    pthread_t peer = run(ping_on, &p);
    smuxb_session_close(s);
    assert_int_equal(result_of(writer), SMUX_ERR_CLOSED);
    smuxb_session_free(s);
    result_of(peer);
    assert_false(p.gave_up);
    smuxb_stream_close(small);
    smuxb_stream_close(full);
    close(fds[1]);
}

/* ---- A peer that takes a little from time to time ------------------------------------------- */

/* One byte per millisecond is progress, but the total time is limited. */
static void closing_gives_up_on_a_peer_that_reads_too_slowly(void **state) {
    (void)state;
    int fds[2];
    unix_pair(fds);
    struct carrier c = {.fd = fds[0], .trickles = true, .end_us = smuxb_after_ms(PATIENCE_MS)};
    smuxb_session *s = start_over(&c, 1);
    assert_int_equal(s->linger_max_ms, SMUXB_LINGER_MAX_MS);
    s->linger_max_ms = 100;
    write_and_end(s);
    smuxb_session_free(s);
    assert_false(c.gave_up);
    close(fds[0]);
    close(fds[1]);
}

/* How much of a frame goes out a byte at a time, in more than two SMUXB_LINGER_MS. */
static size_t trickles_of_a_frame(void) {
    smuxb_stream *st;
    int fds[2];
    unix_pair(fds);
    struct carrier c = {.fd = fds[0], .trickles = true, .end_us = smuxb_after_ms(PATIENCE_MS)};
    smuxb_session *s = start_over(&c, 1);
    assert_int_equal(smuxb_stream_open(s, &st), 0);
    assert_int_equal(smuxb_stream_write(st, data, 3000), 3000);
    smuxb_session_free(s);
    close(fds[0]);
    close(fds[1]);
    smuxb_stream_close(st);
    return c.trickled;
}

/* Only whole frames once counted.  On a machine that is busy enough a byte may take longer than
 * SMUXB_LINGER_MS, so it may take several attempts. */
static void a_slow_carrier_is_waited_for_within_a_frame(void **state) {
    (void)state;
    size_t trickled = 0;
    for (int attempts = 0; attempts < 10 && trickled <= 3000; attempts++)
        trickled = trickles_of_a_frame();
    assert_true(trickled > 3000); /* there are headers, too */
}

/* Like tcp_pair, but fds[0] has little room for what comes. */
static void narrow_tcp_pair(int fds[2]) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), little = 4096, much = 1 << 20;
    assert_true(listener >= 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&a, len), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
    close(listener);
}

struct sipper {
    int fd;
    bool stop;
    size_t got;
};

/* A little each tenth of a second. */
static void *sip(void *argument) {
    struct sipper *p = argument;
    uint8_t waste[1024];
    ssize_t n;
    while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE) &&
           (n = recv(p->fd, waste, sizeof waste, 0)) > 0) {
        __atomic_fetch_add(&p->got, (size_t)n, __ATOMIC_RELEASE);
        usleep(100000);
    }
    return NULL;
}

/* The kernel gets the same time to deliver what it has buffered. */
static void a_peer_that_acknowledges_slowly_is_waited_for(void **state) {
    (void)state;
    struct bare b;
    bare_start(&b, narrow_tcp_pair, NULL);
    b.session->linger_max_ms = 100;
    struct sipper p = {.fd = b.peer};
    peer_sends(&b, WIRE_SYN, 3, 0);
    smuxb_stream *st = accepted(&b);
    assert_int_equal(smuxb_stream_write(st, data, 200000), 200000); /* into the kernel */
    pthread_t peer = run(sip, &p);
    smuxb_session_free(b.session);
    assert_true(__atomic_load_n(&p.got, __ATOMIC_ACQUIRE) < 100000);
    __atomic_store_n(&p.stop, true, __ATOMIC_RELEASE);
    result_of(peer);
    smuxb_stream_close(st);
    close(b.peer);
}

/* ---- Two that close ------------------------------------------------------------------------- */

static void *close_it(void *session) {
    return (void *)(intptr_t)smuxb_session_close(session);
}

/* The second call once returned at once, before the session had ended and written data had been
 * sent. */
static void the_second_close_returns_when_the_first_has_finished(void **state) {
    (void)state;
    int fds[2];
    unix_pair(fds); /* whose other end does not read: the first lingers for SMUXB_LINGER_MS */
    struct carrier c = {.fd = fds[0]};
    smuxb_session *s = start_over(&c, 1);
    write_and_end(s);
    assert_false(smuxb_session_is_closed(s));
    pthread_t first = run(close_it, s);
    while (!smuxb_session_is_closed(s))
        usleep(100);
    assert_int_equal(smuxb_session_close(s), 0);
    assert_int_equal(smuxb_session_wait(s, 1), SMUX_ERR_CLOSED);
    assert_int_equal(smuxb_session_close(s), 0);
    assert_int_equal(result_of(first), 0);
    smuxb_session_free(s);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_only_pings_does_not_hold_the_close),
        cmocka_unit_test(a_peer_that_pings_all_the_time_does_not_hold_the_close),
        cmocka_unit_test(a_peer_that_only_pings_does_not_hold_the_close_over_a_descriptor),
        cmocka_unit_test(closing_gives_up_on_a_peer_that_reads_too_slowly),
        cmocka_unit_test(a_slow_carrier_is_waited_for_within_a_frame),
        cmocka_unit_test(a_peer_that_acknowledges_slowly_is_waited_for),
        cmocka_unit_test(the_second_close_returns_when_the_first_has_finished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
