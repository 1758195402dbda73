/* SPDX-License-Identifier: MIT */
/* linger_close.c - see linger_close.h. */
#include "helper/net/linger_close.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct leaving {
    struct loop *loop;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct list_link link;
    size_t dropped;
};

static struct list all = LIST_INITIALIZER(all);
static unsigned count;

static void free_leaving(struct loop_garbage *garbage) {
    free(container_of(garbage, struct leaving, garbage));
}

static void end(struct leaving *leaving) {
    loop_timer_clear(leaving->loop, &leaving->timer);
    loop_watch_close(&leaving->watch);
    list_remove(&leaving->link);
    count--;
    loop_discard(leaving->loop, &leaving->garbage, free_leaving);
}

static void on_timeout(struct loop_timer *timer) {
    end(container_of(timer, struct leaving, timer));
}

static void on_fd(struct loop_watch *watch, uint32_t events) {
    struct leaving *leaving = container_of(watch, struct leaving, watch);
    char dropped[4096];
    ssize_t n;
    (void)events;
    do {
        n = recv(watch->fd, dropped, sizeof dropped, MSG_DONTWAIT);
        leaving->dropped += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && leaving->dropped < LINGER_CLOSE_BYTES) || (n < 0 && errno == EINTR));
    if (n >= 0 || errno != EAGAIN)
        end(leaving);
}

void linger_close(struct loop *loop, int fd) {
    static const struct linger orderly = {0};
    struct leaving *leaving = count < LINGER_CLOSE_MAX ? calloc(1, sizeof *leaving) : NULL;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &orderly, sizeof orderly);
    shutdown(fd, SHUT_WR);
    if (!leaving || loop_watch_add(loop, &leaving->watch, fd, EPOLLIN | EPOLLRDHUP, on_fd) != 0) {
        free(leaving);
        close(fd);
        return;
    }
    leaving->loop = loop;
    list_append(&all, &leaving->link);
    count++;
    loop_timer_set(loop, &leaving->timer, loop_now_us(loop) + LINGER_CLOSE_US, on_timeout);
}

void linger_close_all(void) {
    for (struct list_link *link; count > 0 && (link = list_first(&all));)
        end(container_of(link, struct leaving, link));
}
