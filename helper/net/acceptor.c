/* SPDX-License-Identifier: MIT */
/* acceptor.c - see acceptor.h. */
#include "helper/net/acceptor.h"

#include <errno.h>
#include <sys/epoll.h>

/* All of this process. */
static struct list listening = LIST_INITIALIZER(listening);

#define LISTENING (EPOLLIN | LOOP_LEVEL)

static void on_pause_over(struct loop_timer *timer) {
    struct acceptor *acceptor = container_of(timer, struct acceptor, pause);
    if (acceptor->ops->resumed)
        acceptor->ops->resumed(acceptor);
    loop_watch_mask(acceptor->loop, &acceptor->watch, LISTENING);
}

void acceptor_pause(struct acceptor *acceptor) {
    if (!acceptor->watch.open)
        return;
    loop_watch_mask(acceptor->loop, &acceptor->watch, LOOP_LEVEL);
    if (!acceptor->pause.armed)
        loop_timer_set(acceptor->loop, &acceptor->pause,
                       loop_now_us(acceptor->loop) + ACCEPTOR_PAUSE_US, on_pause_over);
}

/* False: there is nothing more to accept now. */
static bool accept_one(struct acceptor *acceptor) {
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (acceptor->ops->may_accept && !acceptor->ops->may_accept(acceptor)) {
        acceptor_pause(acceptor);
        return false;
    }
    int fd =
        accept4(acceptor->watch.fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        acceptor->ops->accepted(acceptor, fd, &addr, len);
        return true;
    }
    int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
        acceptor_pause(acceptor);
        if (acceptor->ops->starved)
            acceptor->ops->starved(acceptor, -error);
    }
    return false;
}

static void on_listener(struct loop_watch *watch, uint32_t events) {
    struct acceptor *acceptor = container_of(watch, struct acceptor, watch);
    (void)events;
    for (unsigned i = 0; i < acceptor->per_turn && watch->open; i++)
        if (!accept_one(acceptor))
            return;
}

int acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd, unsigned per_turn,
                   const struct acceptor_ops *ops) {
    acceptor->loop = loop;
    acceptor->ops = ops;
    acceptor->per_turn = per_turn;
    int error = loop_watch_add(loop, &acceptor->watch, fd, LISTENING, on_listener);
    if (error)
        return error;
    list_append(&listening, &acceptor->link);
    return 0;
}

int acceptor_descriptors(int *out, int max) {
    int count = 0;
    list_for_each(link, &listening)
        if (count < max)
            out[count++] = container_of(link, struct acceptor, link)->watch.fd;
    return count;
}

int acceptor_release(struct acceptor *acceptor) {
    if (!acceptor->watch.open)
        return -1;
    list_remove(&acceptor->link);
    loop_timer_clear(acceptor->loop, &acceptor->pause);
    return loop_watch_release(acceptor->loop, &acceptor->watch);
}

void acceptor_stop(struct acceptor *acceptor) {
    if (!acceptor->watch.open)
        return;
    list_remove(&acceptor->link);
    loop_timer_clear(acceptor->loop, &acceptor->pause);
    loop_watch_close(&acceptor->watch);
}
