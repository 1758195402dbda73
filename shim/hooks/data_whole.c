/* SPDX-License-Identifier: MIT */
/* data_whole.c - see data_whole.h. */
#include "shim/hooks/data_whole.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "shim/base/libc.h"
#include "shim/base/pending_reset.h"
#include "shim/hooks/data.h"
#include "shim/socket/state.h"

#ifndef SIOCATMARK
#define SIOCATMARK 0x8905 /* asm-generic/sockios.h */
#endif

#define PARTS_MAX     16    /* vectors of one receive */
#define SCRATCH_SIZE  2048  /* bytes discarded at a time */
#define LOOK_FIRST_US 250   /* pause between two peeks, at first and at most */
#define LOOK_LAST_US  16000 /* (nothing signals that more bytes can be peeked at) */

/* A receive that is composed of several. */
struct whole {
    int fd;
    int flags; /* of each, without MSG_WAITALL and MSG_TRUNC */
    const struct iovec *iov;
    size_t n_iov;
    size_t len, done; /* bytes asked for, bytes received */
    size_t target;    /* no more waiting once `done` reaches this */
    bool low;         /* the kernel obeys SO_RCVLOWAT, too: never ask for more than is there */
    bool discards;    /* MSG_TRUNC: bytes are counted, not copied */
    bool looked;      /* `waits`, `limited` and `deadline_us` have been set */
    bool waits;       /* the socket blocks */
    bool limited;     /* SO_RCVTIMEO is set */
    int64_t begin_us, deadline_us;
};

int64_t data_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t bytes_there(int fd) {
    int n = 0;
    return real.ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

size_t data_at_most(int fd, size_t len) {
    if (!data_low_water(fd) || len == 0 || !shim_is_ours(fd))
        return len;
    size_t there = bytes_there(fd);
    return least(len, there ? there : 1);
}

static size_t low_water(int fd) {
    int low = 1;
    socklen_t len = sizeof low;
    raw_getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, &len);
    return low > 1 ? (size_t)low : 1;
}

/* Vectors for at most `max` bytes after the first `done`. Returns their number. */
static size_t parts_of(const struct whole *whole, size_t max, struct iovec parts[PARTS_MAX]) {
    size_t n = 0, skip = whole->done;
    for (size_t i = 0; i < whole->n_iov && n < PARTS_MAX && max > 0; i++) {
        struct iovec part = whole->iov[i];
        size_t gone = least(skip, part.iov_len);
        skip -= gone;
        part.iov_base = (char *)part.iov_base + gone;
        part.iov_len = least(part.iov_len - gone, max);
        max -= part.iov_len;
        if (part.iov_len)
            parts[n++] = part;
    }
    return n;
}

/* Makes one receive of what is still wanted. `msg`: receives address and ancillary data; or NULL.
 * *asked: the number of bytes asked for. */
static ssize_t take(struct whole *whole, struct msghdr *msg, int flags, size_t *asked) {
    struct iovec parts[PARTS_MAX];
    struct msghdr part = {.msg_iov = parts};
    char scratch[SCRATCH_SIZE];
    size_t max = whole->len - whole->done;
    if (whole->low)
        max = data_at_most(whole->fd, max);
    if (msg)
        part = *msg;
    part.msg_iov = parts;
    if (whole->discards) {
        parts[0] = (struct iovec){scratch, least(max, sizeof scratch)};
        part.msg_iovlen = 1;
    } else {
        part.msg_iovlen = parts_of(whole, max, parts);
    }
    *asked = iov_bytes(parts, (size_t)part.msg_iovlen);
    ssize_t n = real.recvmsg(whole->fd, &part, whole->flags | flags);
    if (n >= 0 && msg) {
        msg->msg_namelen = part.msg_namelen;
        msg->msg_controllen = part.msg_controllen;
        msg->msg_flags = part.msg_flags;
    }
    return n;
}

/* Does a receive from the socket wait? Finds out once, and until when. */
static bool waits(struct whole *whole) {
    if (!whole->looked) {
        struct timeval limit = {0};
        socklen_t len = sizeof limit;
        whole->looked = true;
        whole->waits = !(whole->flags & MSG_DONTWAIT) && shim_is_blocking(whole->fd);
        if (whole->waits)
            raw_getsockopt(whole->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len);
        whole->limited = limit.tv_sec || limit.tv_usec;
        whole->deadline_us = whole->begin_us + (int64_t)limit.tv_sec * 1000000 + limit.tv_usec;
    }
    return whole->waits;
}

/* Waits for `events`, for `at_most_us` (-1: without limit) and no longer than the socket's receive
 * timeout. Returns the events, 0 after a timeout, or -1 with EINTR: a signal ends a receive that
 * has received something, even with SA_RESTART. A cancellation point. */
static int wait_for(const struct whole *whole, short events, int64_t at_most_us) {
    struct pollfd pfd = {.fd = whole->fd, .events = events};
    struct timespec time, *limit = NULL;
    if (whole->limited) {
        int64_t left = whole->deadline_us - data_now_us();
        left = left < 0 ? 0 : left;
        at_most_us = at_most_us < 0 || left < at_most_us ? left : at_most_us;
    }
    if (at_most_us >= 0) {
        time = (struct timespec){at_most_us / 1000000, at_most_us % 1000000 * 1000};
        limit = &time;
    }
    int n = ppoll(&pfd, 1, limit, NULL);
    return n > 0 ? pfd.revents : n;
}

/* Is the next byte the urgent one? */
static bool at_mark(int fd) {
    int there = 0;
    return real.ioctl(fd, SIOCATMARK, &there) == 0 && there;
}

/* Waits for more bytes. False: return what has been received. Like TCP, stops before urgent
 * data. */
static bool wait_more(struct whole *whole) {
    if (!waits(whole))
        return false;
    int events = wait_for(whole, POLLIN | POLLPRI, -1);
    return events > 0 && !(events & POLLPRI && at_mark(whole->fd));
}

static ssize_t take_all(struct whole *whole, struct msghdr *msg) {
    size_t asked;
    ssize_t n = take(whole, msg, 0, &asked);
    if (n <= 0)
        return shim_received(whole->fd, n);
    whole->done = (size_t)n;
    int saved = errno;
    while (whole->done < whole->len) {
        /* It returned less than asked for, so there were no more bytes. */
        if ((size_t)n < asked && (whole->done >= whole->target || !wait_more(whole)))
            break;
        n = take(whole, NULL, MSG_DONTWAIT, &asked);
        if (n < 0 && errno == EAGAIN) {
            n = 0; /* another thread has received them */
            continue;
        }
        if (n < 0 && pending_reset_is(errno) && shim_is_ours(whole->fd))
            pending_reset_put_back(whole->fd);
        if (n <= 0)
            break;
        whole->done += (size_t)n;
    }
    errno = saved;
    return (ssize_t)whole->done;
}

/* Peeks once, from the first byte. */
static ssize_t peek(struct whole *whole, struct msghdr *msg, int flags) {
    char byte;
    if (!whole->discards)
        return real.recvmsg(whole->fd, msg, whole->flags | flags);
    ssize_t n = real.recv(whole->fd, &byte, 1, whole->flags | flags);
    size_t there = n > 0 ? bytes_there(whole->fd) : 0;
    return n > 0 && there ? (ssize_t)least(there, whole->len) : n;
}

static ssize_t peek_all(struct whole *whole, struct msghdr *msg) {
    int64_t pause_us = LOOK_FIRST_US;
    short wanted = POLLRDHUP | POLLPRI; /* end of file or urgent data: a peek cannot go beyond */
    int events = 0;
    ssize_t seen = peek(whole, msg, 0);
    if (seen <= 0)
        return shim_received(whole->fd, seen);
    if ((size_t)seen >= whole->target)
        return seen;
    int saved = errno;
    while (events == 0 && (size_t)seen < whole->target && waits(whole) &&
           !(whole->limited && data_now_us() >= whole->deadline_us)) {
        events = wait_for(whole, wanted, pause_us);
        if (events == POLLPRI && at_mark(whole->fd)) {
            events = 0; /* the urgent byte comes first: peek beyond it */
            wanted = POLLRDHUP;
        }
        ssize_t n = events < 0 ? -1 : peek(whole, msg, MSG_DONTWAIT);
        if (n <= 0)
            break;
        seen = n;
        if (pause_us < LOOK_LAST_US)
            pause_us *= 2;
    }
    errno = saved;
    return seen;
}

ssize_t shim_receive_whole(int fd, struct msghdr *msg, int flags) {
    struct whole whole = {.fd = fd,
                          .flags = flags & ~(MSG_WAITALL | MSG_TRUNC),
                          .iov = msg->msg_iov,
                          .n_iov = (size_t)msg->msg_iovlen,
                          .len = iov_bytes(msg->msg_iov, (size_t)msg->msg_iovlen),
                          .discards = flags & MSG_TRUNC,
                          .low = data_low_water(fd)};
    if (whole.len == 0)
        return shim_received(fd, real.recvmsg(fd, msg, flags));
    whole.target = flags & MSG_WAITALL ? whole.len : 1;
    if (whole.low && whole.target == 1)
        whole.target = least(low_water(fd), whole.len);
    whole.begin_us = data_now_us();
    ssize_t result = flags & MSG_PEEK ? peek_all(&whole, msg) : take_all(&whole, msg);
    if (result >= 0 && whole.discards)
        msg->msg_namelen = msg->msg_controllen = msg->msg_flags = 0;
    return result;
}
