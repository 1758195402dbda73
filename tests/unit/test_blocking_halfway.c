/* SPDX-License-Identifier: MIT
 *
 * The blocking API: what an interrupted write returns, over a descriptor and over a transport. A
 * short count once hid that the stream or the session had failed.
 */
#include "support_bare.h"

#include <sys/uio.h>

/* ---- A write that gets half way ------------------------------------------------------------- */

/* More than any carrier accepts from a session whose peer does not read. */
#define TOTAL (32u << 20)

struct half {
    struct bare bare;
    smuxb_stream *stream;
    pthread_t writer;
    bool gathered;
};

static ssize_t carrier_read(void *context, void *data, size_t len) {
    return read((int)(intptr_t)context, data, len);
}

static ssize_t carrier_writev(void *context, const struct iovec *iov, int iovcnt) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)iovcnt};
    return sendmsg((int)(intptr_t)context, &message, MSG_NOSIGNAL);
}

static void carrier_shutdown(void *context) {
    shutdown((int)(intptr_t)context, SHUT_RDWR);
}

static void carrier_close(void *context) {
    close((int)(intptr_t)context);
}

static void start_over_transport(struct bare *b) {
    int fds[2];
    unix_pair(fds);
    b->peer = fds[0];
    smuxb_transport t = {carrier_read, carrier_writev, carrier_shutdown, carrier_close,
                         (void *)(intptr_t)fds[1]};
    assert_int_equal(smuxb_session_server_over(&b->session, &t, NULL), 0);
}

static void *write_much(void *argument) {
    struct half *h = argument;
    static uint8_t data[TOTAL];
    struct iovec iov[] = {{data, 100000}, {data + 100000, TOTAL - 100000}};
    return (void *)(intptr_t)(h->gathered ? smuxb_stream_writev(h->stream, iov, 2)
                                          : smuxb_stream_write(h->stream, data, TOTAL));
}

static void half_start(struct half *h, bool transport, bool gathered) {
    smux_stream_info info;
    *h = (struct half){.gathered = gathered};
    if (transport)
        start_over_transport(&h->bare);
    else
        bare_start(&h->bare, tcp_pair, NULL);
    peer_sends(&h->bare, WIRE_FIN, WIRE_HELLO, 0);
    peer_sends(&h->bare, WIRE_SYN, 3, 0);
    h->stream = accepted(&h->bare);
    h->writer = run(write_much, h);
    do {
        usleep(100);
        assert_int_equal(smuxb_stream_get_info(h->stream, &info), 0);
    } while (!(transport ? info.queued : info.bytes_out)); /* until some of it is "out" */
}

/* ---- What ends it --------------------------------------------------------------------------- */

static void peer_hangs_up(struct half *h) {
    close(h->bare.peer);
    h->bare.peer = -1;
}

static void peer_resets(struct half *h) {
    peer_sends(&h->bare, WIRE_NOP, 3, 0);
    peer_sends(&h->bare, WIRE_FIN, 3, 0);
}

static void peer_breaks_the_rules(struct half *h) {
    peer_says(&h->bare, "HTTP/1.1", 8);
}

static void we_close_the_session(struct half *h) {
    (void)smuxb_session_close(h->bare.session);
}

static void we_reset(struct half *h) {
    smuxb_stream_reset(h->stream);
    h->stream = NULL;
}

static void we_close(struct half *h) {
    smuxb_stream_close(h->stream);
    h->stream = NULL;
}

static void deadline_passes(struct half *h) {
    smuxb_stream_set_write_deadline(h->stream, 1);
}

/* What write returns; HALF: some of the bytes. */
#define HALF 1

static const struct {
    const char *name;
    void (*happens)(struct half *h);
    intptr_t result;
} ends[] = {
    {"peer hangs up", peer_hangs_up, SMUX_ERR_CARRIER},
    {"peer resets", peer_resets, SMUX_ERR_PEER_RESET},
    {"peer breaks the rules", peer_breaks_the_rules, SMUX_ERR_VERSION},
    {"we close the session", we_close_the_session, SMUX_ERR_CLOSED},
    {"we reset", we_reset, SMUXB_ERR_STREAM_CLOSED},
    {"we close", we_close, HALF},
    {"deadline passes", deadline_passes, HALF},
};

static void each_end(bool transport, bool gathered) {
    for (size_t i = 0; i < LENGTH(ends); i++) {
        struct half h;
        half_start(&h, transport, gathered);
        ends[i].happens(&h);
        intptr_t n = result_of(h.writer);
        bool half = n > 0 && n < (intptr_t)TOTAL;
        if (ends[i].result == HALF ? !half : n != ends[i].result)
            fail_msg("%s: the write returned %ld", ends[i].name, (long)n);
        if (h.stream)
            smuxb_stream_close(h.stream);
        if (h.bare.peer >= 0)
            peer_hangs_up(&h);
        bare_end(&h.bare);
    }
}

static void a_write_returns_the_error_if_stream_or_session_failed(void **state) {
    (void)state;
    each_end(false, false);
    each_end(true, false);
}

static void a_gathered_write_returns_the_error_if_stream_or_session_failed(void **state) {
    (void)state;
    each_end(false, true);
    each_end(true, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_returns_the_error_if_stream_or_session_failed),
        cmocka_unit_test(a_gathered_write_returns_the_error_if_stream_or_session_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
