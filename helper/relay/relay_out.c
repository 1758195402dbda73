/* SPDX-License-Identifier: MIT */
/* relay_out.c - the relay's way from the stream to the socket (relay_internal.h). */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "helper/net/iov.h"
#include "helper/net/short_path.h"
#include "helper/relay/relay_internal.h"

/* A piece of this size belongs to a long stream. */
#define BULK_MIN 32768u

#define KEPT_IOV_MAX 16

void relay_consume(struct relay *relay, size_t n) {
    if (n == 0 || !relay->stream)
        return;
    smux_stream_consume(relay->stream, n);
    pump_kick(relay->pump);
}

/* Gives a unix socket room for one read of a carrier when it is first missed; to begin with it has
 * less. (The kernel doubles the size for its own needs.) False if there is no more room than
 * before. */
static bool make_room(struct relay *relay) {
    int size = REACTOR_RECEIVE_SIZE;
    if (!relay->end->out_on_demand || relay->roomy)
        return false;
    relay->roomy = true;
    return setsockopt(relay->watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0;
}

/* The stream to this socket has turned out to be long. */
static void note_bulk(struct relay *relay) {
    if (relay->roomy || relay->end != &relay_end_tcp)
        return;
    relay->roomy = true;
    short_path_stop_pacing(relay->watch.fd);
}

static void set_blocked(struct relay *relay, bool blocked) {
    if (relay->blocked == blocked)
        return;
    relay->blocked = blocked;
    if (blocked && relay->end->out_on_demand)
        loop_watch_mask(relay->reactor->loop, &relay->watch, relay->end->mask | EPOLLOUT);
}

static ssize_t send_iov(struct relay *relay, struct iovec *iov, int count, int flags) {
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    do
        n = sendmsg(relay->watch.fd, &msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

/* The same within the relay's bounds. What they do not let through now counts as what the socket
 * does not take, and the relay is called when they do. */
static ssize_t send_limited(struct relay *relay, struct iovec *iov, int count, int flags) {
    struct rate_user *user = &relay->limit->to_socket;
    size_t total = iov_total(iov, count), room = rate_room(user, total), left = room;
    struct iovec *last = iov;
    if (room == 0) {
        errno = EAGAIN;
        return -1;
    }
    while (left > last->iov_len)
        left -= last++->iov_len;
    size_t whole = last->iov_len;
    last->iov_len = left;
    ssize_t n = send_iov(relay, iov, (int)(last - iov) + 1, flags);
    last->iov_len = whole;
    if (n > 0)
        rate_spend(user, (size_t)n);
    if (n == (ssize_t)room && room < total)
        rate_wait(user);
    return n;
}

/* Returns how many bytes the socket took, 0 if it is blocked, or a negative errno. */
static ssize_t write_socket(struct relay *relay, struct iovec *iov, int count, int flags) {
    bool limited = relay->limit && relay->limit->to_socket.rate;
    ssize_t n = (limited ? send_limited : send_iov)(relay, iov, count, flags);
    if (n < 0 && errno == EOPNOTSUPP && flags) /* unix sockets of this kernel have no urgent data */
        return write_socket(relay, iov, count, 0);
    if (n > 0) {
        relay->unanswered = false;
        relay->to_socket += (size_t)n;
        metrics_add(relay->count_to, (size_t)n);
    }
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    return n;
}

/* Has the application shut down reading, which TCP takes in silence, rather than gone? */
static bool is_deaf(struct relay *relay) {
    struct pollfd p = {.fd = relay->watch.fd};
    return relay->end->reader_may_be_deaf && poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

/* The write of `len` bytes, which are in no queue, has failed with the negative errno `error`.
 * Returns the outcome. */
static int drop_unwritten(struct relay *relay, size_t len, int error) {
    if (error == -EPIPE && is_deaf(relay)) {
        relay->discard = true;
        error = 0;
    }
    relay_consume(relay, len);
    return error;
}

int relay_out_write_kept(struct relay *relay) {
    struct kept_queue *kept = &relay->kept;
    while (!kept_queue_is_empty(kept)) {
        struct iovec iov[KEPT_IOV_MAX];
        size_t total;
        int count = kept_queue_gather(kept, iov, KEPT_IOV_MAX, &total);
        ssize_t n = write_socket(relay, iov, count, kept_queue_is_urgent(kept) ? MSG_OOB : 0);
        if (n < 0) {
            total = kept->len;
            kept_queue_drop(kept);
            return drop_unwritten(relay, total, (int)n);
        }
        kept_queue_advance(kept, (size_t)n);
        relay_consume(relay, (size_t)n);
        if ((size_t)n < total) {
            set_blocked(relay, true);
            return -EAGAIN;
        }
    }
    set_blocked(relay, false);
    return 0;
}

/* Keeps all but the first `skip` bytes. 0 or -ENOMEM. */
static int keep(struct relay *relay, const struct iovec *iov, int count, size_t skip) {
    int error = 0;
    for (int i = 0; i < count && error == 0; i++) {
        size_t off = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= off;
        if (off < iov[i].iov_len)
            error = kept_queue_append(&relay->kept, (uint8_t *)iov[i].iov_base + off,
                                      iov[i].iov_len - off);
    }
    return error;
}

/* Writes straight from the receive buffer, and keeps what the socket does not take. */
static int write_new(struct relay *relay, struct iovec *iov, int count) {
    size_t total = iov_total(iov, count);
    reactor_note(relay->reactor, &relay->out_few, total);
    if (total >= BULK_MIN)
        note_bulk(relay);
    ssize_t n = write_socket(relay, iov, count, 0);
    if (n < 0)
        return drop_unwritten(relay, total, (int)n);
    relay_consume(relay, (size_t)n);
    if ((size_t)n == total)
        return 0;
    int error = keep(relay, iov, count, (size_t)n);
    if (error)
        return error;
    if (make_room(relay))
        return relay_out_write_kept(relay);
    set_blocked(relay, true);
    return -EAGAIN;
}

int relay_out_write(struct relay *relay, struct iovec *iov, int count, bool urgent) {
    bool writable = relay_is_attached(relay) && !relay->blocked;
    if (relay->discard) {
        relay_consume(relay, iov_total(iov, count));
        return 0;
    }
    if (writable && !urgent && kept_queue_is_empty(&relay->kept))
        return write_new(relay, iov, count);
    int error = keep(relay, iov, count, 0);
    if (error)
        return error;
    if (urgent)
        kept_queue_mark_urgent(&relay->kept);
    return urgent && writable ? relay_out_write_kept(relay) : -EAGAIN;
}
