/* SPDX-License-Identifier: MIT */
/*
 * bare.c - a TCP relay that does nothing but relay: the least that a hop costs.
 *
 *     bare LOCAL:TARGET...    ports of loopback; a connection to LOCAL is passed on to TARGET
 *
 * Two of them in a row have as many hops as a path through smuxshim, but no frames, streams, rules
 * or second user. One thread, edge-triggered epoll; up to 256 KiB is read at a time and written to
 * the other side at once.
 */
#include <sys/epoll.h>

#include "net.h"

#define CHUNK     (256 * 1024)
#define EVENT_MAX 256

/* One direction of a connection. What the other side does not take waits in `kept`. */
struct side {
    struct side *other;
    char *kept;
    size_t kept_at, kept_len;
    int fd;
    bool listens, readable;
    bool finished; /* the peer has finished: a short read does not mean there is no more */
    bool ended;    /* and its end has been read */
    uint16_t target;
    struct side *doomed; /* next in the list */
};

static int epoll_fd;
static struct side *doomed;
static char chunk[CHUNK];

static void watch(struct side *side, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = side};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, side->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static struct side *new_side(int fd) {
    struct side *side = calloc(1, sizeof *side);
    if (!side)
        die("out of memory");
    side->fd = fd;
    return side;
}

/* Connections are freed after the current events, which may refer to them. */
static void doom(struct side *side) {
    close(side->fd);
    side->fd = -1;
    side->doomed = doomed;
    doomed = side;
}

static void end_both(struct side *side) {
    if (side->fd < 0)
        return;
    doom(side->other);
    doom(side);
}

static void keep(struct side *side, const char *data, size_t len) {
    side->kept = malloc(len);
    if (!side->kept)
        die("out of memory");
    memcpy(side->kept, data, len);
    side->kept_at = 0;
    side->kept_len = len;
}

/* True: nothing is kept any longer. */
static bool write_kept(struct side *from) {
    while (from->kept_at < from->kept_len) {
        ssize_t n = send(from->other->fd, from->kept + from->kept_at,
                         from->kept_len - from->kept_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return false;
        from->kept_at += (size_t)n;
    }
    free(from->kept);
    from->kept = NULL;
    from->kept_at = from->kept_len = 0;
    return true;
}

static void end_of_file(struct side *from) {
    from->ended = true;
    shutdown(from->other->fd, SHUT_WR);
    if (from->other->ended)
        end_both(from);
}

static void pass(struct side *from) {
    while (from->fd >= 0 && from->readable && !from->ended && !from->kept) {
        ssize_t n = recv(from->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            from->readable = false;
        } else if (n < 0) {
            end_both(from);
        } else if (n == 0) {
            end_of_file(from);
        } else {
            ssize_t sent = send(from->other->fd, chunk, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno != EAGAIN)
                end_both(from);
            else if (sent < n)
                keep(from, chunk + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0)));
            else if (n < CHUNK && !from->finished)
                from->readable = false;
        }
    }
}

static void accept_all(struct side *listener) {
    int fd;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct side *near = new_side(fd), *far = new_side(dial(listener->target));
        near->other = far;
        far->other = near;
        nodelay(fd);
        watch(near, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
        watch(far, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

static void on_event(struct side *side, uint32_t events) {
    if (side->listens) {
        accept_all(side);
        return;
    }
    if (side->fd < 0)
        return;
    if (events & EPOLLOUT && side->other->kept && write_kept(side->other))
        pass(side->other);
    if (side->fd >= 0 && events & ~EPOLLOUT) {
        side->readable = true;
        side->finished |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        pass(side);
    }
}

static void free_doomed(void) {
    while (doomed) {
        struct side *side = doomed;
        doomed = side->doomed;
        free(side->kept);
        free(side);
    }
}

static void listen_for(const char *pair) {
    unsigned local, target;
    char rest;
    uint16_t bound;
    if (sscanf(pair, "%u:%u%c", &local, &target, &rest) != 2 || !local || local > UINT16_MAX ||
        !target || target > UINT16_MAX) {
        fprintf(stderr, "bare: expected LOCAL:TARGET, two ports, got '%s'\n", pair);
        exit(2);
    }
    struct side *side = new_side(listen_on((uint16_t)local, SOCK_NONBLOCK, &bound));
    side->listens = true;
    side->target = (uint16_t)target;
    watch(side, EPOLLIN);
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENT_MAX];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1: %s", strerror(errno));
    for (int i = 1; i < argc; i++)
        listen_for(argv[i]);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENT_MAX, -1);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr, events[i].events);
        free_doomed();
    }
}
