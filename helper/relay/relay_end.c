/* SPDX-License-Identifier: MIT */
/* relay_end.c - the kinds of socket a relay can have (relay.h). */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/stranger.h"
#include "helper/relay/relay.h"

/* The most buffers of one read: what one stream may have on loan. */
#define READ_BUFFERS (RELAY_LOAN_MAX / BUFFER_SIZE)

/* ---- Reading into several pooled buffers ---- */

struct reading {
    struct buffer *buffer[READ_BUFFERS];
    struct iovec iov[READ_BUFFERS + 1]; /* [0]: the residue, if any */
    int count;
    uint8_t residue;
    bool marked; /* descriptors came with the last byte received: the shim's mark of urgent data */
};

static bool reading_init(struct reading *reading, struct reactor *reactor, size_t len) {
    reading->count = 0;
    while (len > 0 && reading->count < (int)READ_BUFFERS) {
        struct buffer *buffer = buffer_get(&reactor->pool);
        if (!buffer)
            break;
        size_t part = len < BUFFER_SIZE ? len : BUFFER_SIZE;
        reading->buffer[reading->count] = buffer;
        reading->iov[++reading->count] = (struct iovec){buffer->data, part};
        len -= part;
    }
    return reading->count > 0;
}

/* Gives the first len bytes to the stream, and the unused buffers back to the pool. */
static ssize_t reading_submit(struct reading *reading, struct relay *relay, size_t len) {
    size_t left = len;
    int error = 0;
    for (int i = 0; i < reading->count; i++) {
        size_t part = left < BUFFER_SIZE ? left : BUFFER_SIZE;
        if (part == 0 || error)
            buffer_put(&relay->reactor->pool, reading->buffer[i]);
        else
            error = relay_submit(relay, reading->buffer[i], part);
        left -= part;
    }
    /* A stream that refuses the bytes has ended, and its event will follow. One that is out of
     * memory has not, and must fail, because a gap would be left in it. */
    if (error)
        return error == SMUX_ERR_NOMEM ? -ENOMEM : -EAGAIN;
    return (ssize_t)len;
}

/* Does the same, and marks the last byte as urgent if the shim's mark came with it. */
static ssize_t reading_submit_marked(struct reading *reading, struct relay *relay, size_t len) {
    reactor_note(relay->reactor, &relay->in_few, len);
    ssize_t n = reading_submit(reading, relay, len);
    if (n > 0 && reading->marked)
        smux_stream_mark_urgent(relay->stream, 0);
    return n;
}

static ssize_t receive(const struct relay *relay, struct iovec *iov, int count, bool *marked) {
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    if (relay->untrusted)
        return stranger_receive(relay->watch.fd, relay->uid, iov, count, marked);
    do
        n = recvmsg(relay->watch.fd, &msg, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *marked = msg.msg_flags & MSG_CTRUNC;
    return n < 0 ? -errno : n;
}

/* Reads what the socket holds, up to max; in a bulk transfer into several buffers at once. */
static ssize_t read_plain(struct relay *relay, size_t max) {
    struct reading reading;
    size_t want = relay->bulk ? max : BUFFER_SIZE;
    if (want > max)
        want = max;
    if (!reading_init(&reading, relay->reactor, want))
        return -ENOMEM;
    ssize_t n = receive(relay, reading.iov + 1, reading.count, &reading.marked);
    if (n <= 0) {
        reading_submit(&reading, relay, 0);
        return n;
    }
    relay->bulk = (size_t)n >= BUFFER_SIZE;
    if ((size_t)n < want && !relay->socket_eof && !reading.marked)
        relay->readable = false;
    return reading_submit_marked(&reading, relay, (size_t)n);
}

/* ---- Plain TCP ----
 *
 * Until the stream's FIN has arrived, closing the socket sends a reset (SO_LINGER {1, 0}, set
 * before the connect). So even when this process is killed, or the machine runs out of memory, the
 * target does not take truncated data for complete. */

static void set_linger(const struct relay *relay, bool reset) {
    struct linger linger = {.l_onoff = reset, .l_linger = 0};
    setsockopt(relay->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* From here on a close is orderly: the kernel sends what is queued, and FIN. */
static void tcp_shut(struct relay *relay, bool closing) {
    if (!closing)
        shutdown(relay->watch.fd, SHUT_WR);
    set_linger(relay, false);
}

static void tcp_reset(struct relay *relay) {
    set_linger(relay, true);
}

/* Reads the urgent byte, which the kernel keeps apart from the others, into the stream. */
static ssize_t take_urgent(struct relay *relay) {
    struct reading reading;
    relay->urgent = false;
    relay->readable = true; /* in any case the ordinary bytes remain to be read */
    if (!reading_init(&reading, relay->reactor, 1))
        return -ENOMEM;
    ssize_t n = recv(relay->watch.fd, reading.buffer[0]->data, 1, MSG_OOB | MSG_DONTWAIT);
    n = reading_submit(&reading, relay, n == 1 ? 1 : 0);
    if (n == 1)
        smux_stream_mark_urgent(relay->stream, 0);
    return n;
}

/* While there is, or was, urgent data, the kernel ends a read before the urgent byte and skips that
 * byte in the next read. Between the two the byte is inserted at its place in the stream. If a read
 * has already gone past it, it is inserted here: late, but not lost. */
static ssize_t tcp_read(struct relay *relay, size_t max) {
    int at_mark = 0;
    if (!relay->urgent)
        return read_plain(relay, max);
    if (ioctl(relay->watch.fd, SIOCATMARK, &at_mark) < 0)
        return -errno;
    ssize_t n = at_mark ? -EAGAIN : read_plain(relay, max);
    if (n != 0 && n != -EAGAIN) {
        relay->readable = true;
        return n;
    }
    ssize_t taken = take_urgent(relay);
    return taken == 0 ? read_plain(relay, max) : taken;
}

const struct relay_end relay_end_tcp = {.read = tcp_read,
                                        .shut = tcp_shut,
                                        .reset = tcp_reset,
                                        .mask = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI,
                                        .closes_with_peer = true};

/* ---- The application's end ----
 *
 * `ahead` is the number of bytes that have been forwarded but are still unread in the socket. At
 * least one byte stays unread, so that closing this socket, for whatever reason, is ECONNRESET for
 * the application (the residue, see core/common/CONTROL.md).
 *
 * Small messages are peeked, from behind the unread bytes (SO_PEEK_OFF), which takes one system
 * call for each; now and then all but the last byte is consumed. Bulk data is consumed at once,
 * because peeking would copy it twice.
 *
 * Unread data is charged to the application's send buffer, and not by its bytes: each write is
 * charged for a kernel buffer of its own, at least 768 bytes for a single byte, and the helper
 * cannot see how many writes a peek spanned. A writer with more than a quarter of its send buffer
 * charged is not writable, and is woken only when the charge has fallen below that. Therefore:
 *
 * - Bytes are left unread only in a conversation, in which each message follows an answer to the
 *   previous one: at most AHEAD_MESSAGES messages and AHEAD_MAX bytes. A message that follows no
 *   answer is consumed at once.
 * - When nothing has arrived for AHEAD_US, everything but the residue is consumed, because the
 *   writer may be waiting for just that. If it then writes on before any answer, the next
 *   AHEAD_EAGER messages are consumed at once.
 *
 * So, whatever the application writes and however, AHEAD_US after the last byte arrived one kernel
 * buffer is charged, that of the residue. The largest that the kernel makes (37 KiB for a write; up
 * to 101 KiB where, before Linux 6.5, sendfile adds 16 pages to it) is below a quarter of the
 * application's send buffer, 104 KiB (HELPER_OPEN_SNDBUF). */
#define AHEAD_MAX      4096u
#define AHEAD_MESSAGES 8
#define AHEAD_US       25000u
#define AHEAD_EAGER    250

/* A read of at least this size is taken for bulk data. */
#define BULK_MIN 16384u

/* Consumes `len` of the bytes that have been forwarded. */
static void consume_ahead(struct relay *relay, uint32_t len) {
    static uint8_t scratch[BUFFER_SIZE]; /* the bytes themselves are not needed */
    bool marked;                         /* passed on when the byte was peeked */
    while (len > 0) {
        size_t part = len < sizeof scratch ? len : sizeof scratch;
        ssize_t n = receive(relay, &(struct iovec){scratch, part}, 1, &marked);
        if (n <= 0)
            break; /* the socket has failed, and the next read returns how */
        len -= (uint32_t)n;
        relay->ahead -= (uint32_t)n;
    }
    relay->ahead_messages = 0;
}

/* Consumes everything but the residue. */
static void consume_to_residue(struct relay *relay) {
    if (relay->ahead > 1)
        consume_ahead(relay, relay->ahead - 1);
}

/* AHEAD_US may have passed without a message. Messages do not move the timer, so it looks first. */
static void silence(struct loop_timer *timer) {
    struct relay *relay = container_of(timer, struct relay, ahead_timer);
    struct loop *loop = relay->reactor->loop;
    if (!relay->watch.open || relay->ahead <= 1)
        return;
    if (loop_now_us(loop) < relay->ahead_us + AHEAD_US) {
        loop_timer_set(loop, timer, relay->ahead_us + AHEAD_US, silence);
        return;
    }
    consume_to_residue(relay);
    relay->unanswered = relay->relieved = true;
    relay->ahead_us = loop_now_us(loop);
}

/* Whether the message that was just peeked may be left unread. */
static bool may_leave(struct relay *relay, uint64_t now_us) {
    bool answered = !relay->unanswered, relieved = relay->relieved;
    relay->unanswered = true;
    relay->relieved = false;
    if (!answered) {
        if (relieved && now_us < relay->ahead_us + AHEAD_US)
            relay->ahead_eager = AHEAD_EAGER;
        return false;
    }
    if (relay->ahead_eager > 0) {
        relay->ahead_eager--;
        return false;
    }
    return ++relay->ahead_messages < AHEAD_MESSAGES && relay->ahead <= AHEAD_MAX;
}

static void leave_or_consume(struct relay *relay) {
    struct loop *loop = relay->reactor->loop;
    if (!may_leave(relay, loop_now_us(loop))) {
        consume_to_residue(relay);
        return;
    }
    relay->ahead_us = loop_now_us(loop);
    if (!relay->ahead_timer.armed)
        loop_timer_set(loop, &relay->ahead_timer, relay->ahead_us + AHEAD_US, silence);
}

static void dissolve_residue(struct relay *relay) {
    consume_ahead(relay, relay->ahead);
    relay->ahead = 0;
}

/* Peeks a small message from behind the unread bytes. */
static ssize_t read_ahead(struct relay *relay, size_t max) {
    if (!relay->peeks) {
        int offset = (int)relay->ahead;
        if (setsockopt(relay->watch.fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) < 0)
            return -errno;
        relay->peeks = true;
    }
    struct reading reading;
    size_t want = max < BUFFER_SIZE ? max : BUFFER_SIZE;
    if (!reading_init(&reading, relay->reactor, want))
        return -ENOMEM;
    ssize_t n =
        stranger_peek(relay->watch.fd, relay->uid, reading.buffer[0]->data, want, &reading.marked);
    if (n <= 0) {
        reading_submit(&reading, relay, 0);
        return n;
    }
    relay->ahead += (uint32_t)n;
    relay->bulk = (size_t)n >= BULK_MIN;
    /* The kernel frees descriptors that came with a message when it is consumed: do so soon. */
    if (reading.marked)
        relay->ahead_messages = AHEAD_MESSAGES - 2;
    leave_or_consume(relay);
    if ((size_t)n < want && !reading.marked && !relay->socket_eof)
        relay->readable = false;
    return reading_submit_marked(&reading, relay, (size_t)n);
}

/* Peeks one byte. Sets *marked if it is the urgent one: descriptors come with it, which this call
 * has no room for and leaves alone. */
static bool peek_byte(const struct relay *relay, uint8_t *byte, bool *marked) {
    struct iovec iov = {byte, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    bool got = recvmsg(relay->watch.fd, &msg, MSG_PEEK | MSG_DONTWAIT) == 1;
    *marked = msg.msg_flags & MSG_CTRUNC;
    return got;
}

/* Consumes the old residue and all new bytes but the last, and peeks the last. */
static ssize_t read_keeping_residue(struct relay *relay, size_t unread, size_t max) {
    struct reading reading;
    size_t fresh = unread - 1 < max ? unread - 1 : max;
    if (!reading_init(&reading, relay->reactor, fresh))
        return -ENOMEM;
    reading.iov[0] = (struct iovec){&reading.residue, 1};
    reading.iov[reading.count].iov_len--; /* the last byte is peeked below */
    ssize_t n = receive(relay, reading.iov, reading.count + 1, &reading.marked);
    bool last_marked = false;
    if (n > 0) {
        /* n - 1 fresh bytes were read: fewer than asked for, if urgent data ended the read. */
        size_t at = (size_t)n - 1;
        uint8_t *last = reading.buffer[at / BUFFER_SIZE]->data + at % BUFFER_SIZE;
        reading.marked = reading.marked && at > 0; /* the residue's mark was passed on before */
        if (!peek_byte(relay, last, &last_marked))
            n = -EIO;
    }
    if (n <= 0) {
        reading_submit(&reading, relay, 0);
        return n ? n : -ECONNRESET;
    }
    n = reading_submit(&reading, relay, (size_t)n);
    if (n > 0 && (reading.marked || last_marked))
        smux_stream_mark_urgent(relay->stream, last_marked ? 0 : 1);
    return n;
}

static ssize_t app_read(struct relay *relay, size_t max) {
    int unread = 0;
    if (relay->socket_hup)
        dissolve_residue(relay);
    if (relay->ahead == 0)
        return read_plain(relay, max);
    if (!relay->bulk && !relay->urgent)
        return read_ahead(relay, max);
    consume_to_residue(relay);
    if (ioctl(relay->watch.fd, SIOCINQ, &unread) < 0)
        return -errno;
    if (unread <= 1) {
        relay->bulk = relay->urgent = false;
        return relay->socket_eof ? 0 : -EAGAIN;
    }
    ssize_t n = read_keeping_residue(relay, (size_t)unread, max);
    if (n == unread - 1 && !relay->socket_eof)
        relay->readable = false;
    relay->bulk = n >= (ssize_t)BULK_MIN;
    return n;
}

/* An orderly end: without a residue, the application reads end of file when this closes. */
static void app_shut(struct relay *relay, bool closing) {
    if (!closing)
        shutdown(relay->watch.fd, SHUT_WR);
    dissolve_residue(relay);
}

/* Closing with the residue unread is the reset. */
static void app_reset(struct relay *relay) {
    (void)relay;
}

const struct relay_end relay_end_app = {.read = app_read,
                                        .shut = app_shut,
                                        .reset = app_reset,
                                        .mask = EPOLLIN | EPOLLPRI | EPOLLRDHUP,
                                        .out_on_demand = true,
                                        .reader_may_be_deaf = true,
                                        .is_unix = true};

/* ---- A local client's connection ---- */

/* As long as a reset may still have to be told, the last byte is only peeked. */
static ssize_t local_read(struct relay *relay, size_t max) {
    if (relay->ahead == 0 && relay->out != RELAY_OUT_SHUT && !relay->socket_hup)
        return read_ahead(relay, max);
    return app_read(relay, max);
}

const struct relay_end relay_end_local = {.read = local_read,
                                          .shut = app_shut,
                                          .reset = app_reset,
                                          .mask = EPOLLIN | EPOLLPRI | EPOLLRDHUP,
                                          .out_on_demand = true,
                                          .reader_may_be_deaf = true,
                                          .is_unix = true};
