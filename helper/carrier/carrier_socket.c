/* SPDX-License-Identifier: MIT */
/* carrier_socket.c - see carrier_socket.h. */
#include "helper/carrier/carrier_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/short_path.h"

static struct carrier_socket *self(struct carrier *carrier) {
    return container_of(carrier, struct carrier_socket, carrier);
}

static void on_fd(struct loop_watch *watch, uint32_t bits) {
    carrier_tell(&container_of(watch, struct carrier_socket, watch)->carrier, events_of(bits));
}

/* It is connected: there is nothing to wait for. */
static int socket_start(struct carrier *carrier) {
    struct carrier_socket *s = self(carrier);
    int error =
        loop_watch_add(carrier->loop, &s->watch, s->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, on_fd);
    if (error == 0)
        carrier_has_started(carrier);
    return error;
}

static ssize_t socket_read(struct carrier *carrier, void *data, size_t len) {
    return recv(self(carrier)->fd, data, len, MSG_DONTWAIT);
}

static ssize_t socket_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt};
    return sendmsg(self(carrier)->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The kernel passes on what was written, and the end behind it. */
static void socket_close(struct carrier *carrier) {
    struct carrier_socket *s = self(carrier);
    if (s->watch.open)
        loop_watch_close(&s->watch);
    else
        close(s->fd);
}

static void socket_free(struct carrier *carrier) {
    free(self(carrier));
}

/* ---- What differs ---- */

static void set_int(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

static void tune_tcp(int fd) {
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, CARRIER_USER_TIMEOUT_MS);
    set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, CARRIER_NOTSENT_MAX);
    short_path_stop_pacing(fd);
}

/* What is queued beyond the path's bandwidth times its delay only adds delay: with the shortest
 * round trip that it has shown, this is enough for 2.5 GB/s, and for the programs on both sides to
 * take turns. */
#define SHORT_BYTES_PER_US 2500u
#define SHORT_WINDOW       32768u
#define SHORT_UNSENT       16384u

static uint32_t tcp_keep_short(struct carrier *carrier, bool on) {
    uint32_t window = UINT32_MAX, unsent = CARRIER_NOTSENT_MAX;
    uint32_t rtt_us = on ? short_path_rtt_us(self(carrier)->fd) : UINT32_MAX;
    if (rtt_us < SHORT_PATH_RTT_US) {
        window = SHORT_WINDOW + rtt_us * SHORT_BYTES_PER_US;
        unsent = SHORT_UNSENT + rtt_us * SHORT_BYTES_PER_US / 4;
    }
    set_int(self(carrier)->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)unsent);
    return window;
}

static uint32_t unix_keep_short(struct carrier *carrier, bool on) {
    (void)carrier; /* its buffer is small */
    return on ? SHORT_WINDOW : UINT32_MAX;
}

static int tcp_start(struct carrier *carrier) {
    tune_tcp(self(carrier)->fd);
    return socket_start(carrier);
}

static const struct carrier_ops tcp_ops = {.start = tcp_start,
                                           .read = socket_read,
                                           .writev = socket_writev,
                                           .short_read_drains = true,
                                           .keep_short = tcp_keep_short,
                                           .close = socket_close,
                                           .free = socket_free};

static const struct carrier_ops unix_ops = {.start = socket_start,
                                            .read = socket_read,
                                            .writev = socket_writev,
                                            .short_read_drains = true,
                                            .keep_short = unix_keep_short,
                                            .close = socket_close,
                                            .free = socket_free};

/* ---- Making them ---- */

struct carrier *carrier_new_socket(struct loop *loop, int fd, bool tcp, const char *peer) {
    struct carrier_socket *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
        free(s);
        return NULL;
    }
    carrier_init(&s->carrier, tcp ? &tcp_ops : &unix_ops, loop, peer);
    s->fd = fd;
    return &s->carrier;
}

int carrier_new_pair(struct loop *loop, const char *peer, struct carrier *pair[2]) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        pair[i] = carrier_new_socket(loop, fds[i], false, peer);
        if (!pair[i])
            close(fds[i]);
    }
    if (pair[0] && pair[1])
        return 0;
    carrier_close(pair[0]);
    carrier_close(pair[1]);
    return -ENOMEM;
}
