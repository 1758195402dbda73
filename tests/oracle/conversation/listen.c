/* SPDX-License-Identifier: MIT */
/* listen.c - how an end reads (conversation.h). */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/oracle/conversation/conversation.h"

static const char *name_of(const struct talk *talk) {
    return talk->side == CLIENT ? "client" : "server";
}

/* ---- The calls ---- */

static ssize_t by_vector(int fd, uint8_t *data, size_t len, bool msg) {
    struct iovec iov[2] = {{data, len / 2}, {data + len / 2, len - len / 2}};
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = 2};
    return msg ? recvmsg(fd, &header, 0) : readv(fd, iov, 2);
}

/* Peeks, and then must read the same bytes. */
static ssize_t by_peek(const struct talk *talk, uint8_t *data, size_t len) {
    static _Thread_local uint8_t peeked[PATTERN_MAX];
    ssize_t seen = recv(talk->fd, peeked, len, MSG_PEEK);
    if (seen < 0)
        return seen;
    ssize_t n = recv(talk->fd, data, seen ? (size_t)seen : len, 0);
    if (n > 0 && (seen == 0 || memcmp(data, peeked, (size_t)n) != 0))
        wrong(talk->plan, "the %s peeked something else than it read (%zd, %zd)", name_of(talk),
              seen, n);
    return n;
}

/* Reads as much as FIONREAD reports, or one byte if that is 0. */
static ssize_t by_count(const struct talk *talk, uint8_t *data, size_t len) {
    int count = 0;
    if (ioctl(talk->fd, FIONREAD, &count) != 0)
        wrong(talk->plan, "FIONREAD: %s", strerror(errno));
    size_t want = count <= 0 ? 1 : (size_t)count < len ? (size_t)count : len;
    ssize_t n = recv(talk->fd, data, want, 0);
    if (count > 0 && n >= 0 && (size_t)n != want)
        wrong(talk->plan, "FIONREAD told the %s of %d bytes; a read of %zu gave %zd", name_of(talk),
              count, want, n);
    return n;
}

static ssize_t read_some(const struct talk *talk, uint8_t *data, size_t len) {
    switch (talk->plan->part[talk->side].read_way) {
    case READ_READV:
        return by_vector(talk->fd, data, len, false);
    case READ_RECVMSG:
        return by_vector(talk->fd, data, len, true);
    case READ_WAITALL:
        return recv(talk->fd, data, len, MSG_WAITALL);
    case READ_PEEK:
        return by_peek(talk, data, len);
    case READ_COUNT:
        return by_count(talk, data, len);
    default:
        return read(talk->fd, data, len);
    }
}

/* ---- Reading all that is to come ---- */

/* The position up to which the other end sends before it waits for this one: a call that waits for
 * more would never return. */
static size_t certain_end(const struct talk *talk, size_t got) {
    size_t end = 0;
    for (int i = 0; i < talk->plan->turns; i++)
        if (talk->plan->turn[i].who != talk->side && (end += talk->plan->turn[i].len) > got)
            break;
    return end;
}

static void set_low_water(const struct talk *talk, size_t most) {
    size_t wanted = talk->plan->part[talk->side].low_water;
    int low = wanted < most ? (int)wanted : (int)most;
    if (wanted)
        setsockopt(talk->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

static void take(struct talk *talk, const uint8_t *data, size_t len) {
    size_t at = atomic_load(&talk->got);
    const uint8_t *right = pattern_at((enum side) !talk->side, at);
    for (size_t i = 0; i < len; i++)
        if (data[i] != right[i])
            wrong(talk->plan, "the %s read a wrong byte at %zu", name_of(talk), at + i);
    atomic_fetch_add(&talk->got, len);
    atomic_fetch_add(&talk->news, 1);
    syscall(SYS_futex, &talk->news, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Makes one read after the planned kind of wait. An edge is only waited for when no data was
 * left. */
static ssize_t read_waiting(struct talk *talk, const struct waiter *waiter, uint8_t *data,
                            size_t len) {
    for (;;) {
        if (waiter->way != WAIT_EDGE)
            waiter_wait(waiter);
        ssize_t n = read_some(talk, data, len);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n;
        if (waiter->way == WAIT_EDGE)
            waiter_wait(waiter);
    }
}

void talk_read(struct talk *talk) {
    const struct plan *plan = talk->plan;
    const struct part *part = &plan->part[talk->side];
    size_t total = plan->part[!talk->side].total, got;
    static _Thread_local uint8_t data[PATTERN_MAX];
    struct rng rng = {plan->seed * 2 + (uint64_t)talk->side + 0x10000000u};
    struct waiter waiter;
    waiter_init(&waiter, part->read_wait, talk->fd, POLLIN);
    talk->doing_read = "reads";
    while ((got = atomic_load(&talk->got)) < total) {
        size_t most = certain_end(talk, got) - got, len = rng_between(&rng, 1, part->read_max);
        set_low_water(talk, most);
        ssize_t n = read_waiting(talk, &waiter, data, len < most ? len : most);
        if (n < 0)
            wrong(plan, "the %s's read at %zu of %zu: %s", name_of(talk), got, total,
                  strerror(errno));
        if (n == 0)
            wrong(plan, "the %s saw a false end at %zu of %zu", name_of(talk), got, total);
        take(talk, data, (size_t)n);
        if (part->read_pause && rng_next(&rng) % part->read_pause == 0)
            usleep(rng_next(&rng) % 500);
    }
    waiter_close(&waiter);
}

void talk_expect_end(struct talk *talk) {
    const struct plan *plan = talk->plan;
    const struct part *part = &plan->part[talk->side];
    struct waiter waiter;
    uint8_t data[64];
    talk->doing_read = "waits for the end";
    set_low_water(talk, 1);
    waiter_init(&waiter, part->read_wait, talk->fd, POLLIN);
    ssize_t n = read_waiting(talk, &waiter, data, sizeof data);
    waiter_close(&waiter);
    if (n > 0)
        wrong(plan, "the %s read %zd bytes too many", name_of(talk), n);
    if (plan->ending == END_RESET && n == 0)
        wrong(plan, "the %s saw an end of file where there was a reset", name_of(talk));
    if (n < 0 && (plan->ending != END_RESET || errno != ECONNRESET))
        wrong(plan, "the %s saw the end as: %s", name_of(talk), strerror(errno));
    talk->doing_read = "is done";
}
