/* SPDX-License-Identifier: MIT */
/* speak.c - how an end writes (conversation.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/oracle/conversation/conversation.h"

/* ---- Waiting ---- */

void waiter_init(struct waiter *waiter, enum wait_way way, int fd, short events) {
    *waiter = (struct waiter){.way = way, .fd = fd, .epoll = -1, .events = events};
    if (way != WAIT_EPOLL && way != WAIT_EDGE)
        return;
    uint32_t wanted = (events == POLLIN ? EPOLLIN : EPOLLOUT) | (way == WAIT_EDGE ? EPOLLET : 0u);
    struct epoll_event event = {.events = wanted};
    waiter->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (waiter->epoll < 0 || epoll_ctl(waiter->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        abort();
}

void waiter_wait(const struct waiter *waiter) {
    struct pollfd p = {.fd = waiter->fd, .events = waiter->events};
    struct epoll_event event;
    if (waiter->epoll >= 0)
        epoll_wait(waiter->epoll, &event, 1, -1);
    else if (waiter->way == WAIT_POLL)
        poll(&p, 1, -1);
}

void waiter_close(const struct waiter *waiter) {
    if (waiter->epoll >= 0)
        close(waiter->epoll);
}

/* ---- The calls ---- */

static ssize_t by_vector(const struct talk *talk, const uint8_t *data, size_t len, bool msg) {
    struct iovec iov[3] = {{(void *)(uintptr_t)data, len / 3},
                           {(void *)(uintptr_t)(data + len / 3), len / 2 - len / 3},
                           {(void *)(uintptr_t)(data + len / 2), len - len / 2}};
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = 3};
    return msg ? sendmsg(talk->fd, &header, MSG_NOSIGNAL) : writev(talk->fd, iov, 3);
}

/* Data that is already in the pipe is sent first. */
static ssize_t by_splice(struct talk *talk, const uint8_t *data, size_t len, size_t *in_pipe) {
    if (*in_pipe == 0) {
        ssize_t n = write(talk->pipes[1], data, len);
        if (n < 0)
            return n;
        *in_pipe = (size_t)n;
    }
    ssize_t n = splice(talk->pipes[0], NULL, talk->fd, NULL, *in_pipe, 0);
    if (n > 0)
        *in_pipe -= (size_t)n;
    return n;
}

static ssize_t write_piece(struct talk *talk, size_t at, size_t len, bool more, size_t *in_pipe) {
    const uint8_t *data = pattern_at(talk->side, at);
    off_t offset = pattern_offset(talk->side, at);
    switch (talk->plan->part[talk->side].write_way) {
    case WRITE_SEND_MORE:
        return send(talk->fd, data, len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    case WRITE_WRITEV:
        return by_vector(talk, data, len, false);
    case WRITE_SENDMSG:
        return by_vector(talk, data, len, true);
    case WRITE_SENDFILE:
        return sendfile(talk->fd, pattern_file, &offset, len);
    case WRITE_SPLICE:
        return by_splice(talk, data, len, in_pipe);
    default:
        return write(talk->fd, data, len);
    }
}

/* ---- The turns ---- */

static void wait_for_bytes(struct talk *talk, size_t after) {
    while (atomic_load(&talk->got) < after) {
        int news = atomic_load(&talk->news);
        if (atomic_load(&talk->got) >= after)
            break;
        syscall(SYS_futex, &talk->news, FUTEX_WAIT_PRIVATE, news, NULL, NULL, 0);
    }
}

/* All ways but the edge-triggered one poll before each call; that one polls when the buffer is
 * full. */
static void write_turn(struct talk *talk, struct rng *rng, const struct waiter *waiter,
                       size_t end) {
    const struct part *part = &talk->plan->part[talk->side];
    size_t in_pipe = 0, at;
    while ((at = atomic_load(&talk->sent)) < end) {
        size_t len = rng_between(rng, part->piece_min, part->piece_max);
        if (len > end - at)
            len = end - at;
        if (waiter->way != WAIT_EDGE)
            waiter_wait(waiter);
        ssize_t n = write_piece(talk, at, len, at + len < end, &in_pipe);
        if (n <= 0 && errno != EAGAIN && errno != EINTR)
            wrong(talk->plan, "the %s's write: %s", talk->side == CLIENT ? "client" : "server",
                  n == 0 ? "0 bytes" : strerror(errno));
        if (n > 0)
            atomic_fetch_add(&talk->sent, (size_t)n);
        else if (waiter->way == WAIT_EDGE)
            waiter_wait(waiter);
        if (part->write_pause && rng_next(rng) % part->write_pause == 0)
            usleep(rng_next(rng) % 500);
    }
}

void talk_write(struct talk *talk) {
    const struct plan *plan = talk->plan;
    struct rng rng = {plan->seed * 2 + (uint64_t)talk->side};
    struct waiter waiter;
    size_t end = 0;
    waiter_init(&waiter, plan->part[talk->side].write_wait, talk->fd, POLLOUT);
    for (int i = 0; i < plan->turns; i++) {
        if (plan->turn[i].who != talk->side)
            continue;
        talk->doing_write = "waits for its turn";
        wait_for_bytes(talk, plan->turn[i].after);
        talk->doing_write = "writes";
        end += plan->turn[i].len;
        write_turn(talk, &rng, &waiter, end);
    }
    if (plan->ending == END_SHUTDOWN && shutdown(talk->fd, SHUT_WR) != 0)
        wrong(plan, "shutdown: %s", strerror(errno));
    talk->doing_write = "is done";
    waiter_close(&waiter);
}
