/* SPDX-License-Identifier: MIT */
/* carrier_socket.c - see carrier.h. */
#include "helper/carrier/carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/net/short_path.h"

/* ---- Plain sockets: TCP and unix ---- */

static ssize_t socket_read(struct carrier *carrier, void *data, size_t len) {
    return recv(carrier->fd, data, len, MSG_DONTWAIT);
}

static ssize_t socket_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt};
    return sendmsg(carrier->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void socket_free(struct carrier *carrier) {
    free(carrier);
}

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
    uint32_t rtt_us = on ? short_path_rtt_us(carrier->fd) : UINT32_MAX;
    if (rtt_us < SHORT_PATH_RTT_US) {
        window = SHORT_WINDOW + rtt_us * SHORT_BYTES_PER_US;
        unsent = SHORT_UNSENT + rtt_us * SHORT_BYTES_PER_US / 4;
    }
    set_int(carrier->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)unsent);
    return window;
}

static uint32_t unix_keep_short(struct carrier *carrier, bool on) {
    (void)carrier; /* its buffer is small */
    return on ? SHORT_WINDOW : UINT32_MAX;
}

static const struct carrier_ops tcp_ops = {.read = socket_read,
                                           .writev = socket_writev,
                                           .free = socket_free,
                                           .short_read_drains = true,
                                           .keep_short = tcp_keep_short};

static const struct carrier_ops unix_ops = {.read = socket_read,
                                            .writev = socket_writev,
                                            .free = socket_free,
                                            .short_read_drains = true,
                                            .keep_short = unix_keep_short};

struct carrier *carrier_new_socket(int fd, bool tcp, const char *peer) {
    struct carrier *carrier = calloc(1, sizeof *carrier);
    if (!carrier)
        return NULL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
        free(carrier);
        return NULL;
    }
    if (tcp)
        tune_tcp(fd);
    carrier->ops = tcp ? &tcp_ops : &unix_ops;
    carrier->fd = fd;
    snprintf(carrier->peer, sizeof carrier->peer, "%s", peer);
    return carrier;
}
