/* dial.c - see dial.h. */
#include "helper/dial.h"

#include <errno.h>
#include <unistd.h>

#include "helper/carrier.h"

static void try_next(struct dial *dial);

static void conclude(struct dial *dial, int error, bool readable) {
    loop_timer_clear(dial->loop, &dial->timer);
    loop_task_cancel(dial->loop, &dial->task);
    dial->active = false;
    dial->done(dial, error, readable);
}

/* When several addresses fail, the first that was reached says most: refused beats unreachable. */
static void attempt_failed(struct dial *dial, int error) {
    loop_watch_close(dial->watch);
    loop_timer_clear(dial->loop, &dial->timer);
    if (dial->error == 0 || error == ECONNREFUSED)
        dial->error = error;
    dial->at++;
    try_next(dial);
}

static void on_timeout(struct loop_timer *timer) {
    attempt_failed(container_of(timer, struct dial, timer), ETIMEDOUT);
}

void dial_event(struct dial *dial, uint32_t events) {
    int error = 0;
    socklen_t len = sizeof error;
    if (!dial->active)
        return;
    /* Writable without an error is connected: no need to ask. */
    if ((events & (EPOLLERR | EPOLLHUP)) &&
        getsockopt(dial->watch->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        attempt_failed(dial, error);
    else if (events & EPOLLOUT)
        conclude(dial, 0, events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP));
}

/* The time for the present address: an equal share of what is left. */
static uint64_t attempt_deadline(const struct dial *dial) {
    uint64_t now_us = loop_now_us(dial->loop);
    if (dial->deadline_us <= now_us)
        return now_us;
    return now_us + (dial->deadline_us - now_us) / (uint64_t)(dial->count - dial->at);
}

/* Starts with the next address that can be started with at all. Returns false if there is none. */
static bool start_one(struct dial *dial) {
    for (; dial->at < dial->count; dial->at++) {
        const struct dial_address *address = &dial->addresses[dial->at];
        int fd = carrier_connect_start(&address->addr, address->len, dial->reset_on_close);
        int error = fd;
        if (fd >= 0) {
            error = loop_watch_add(dial->loop, dial->watch, fd,
                                   EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, dial->on_fd);
            if (error == 0)
                return true;
            close(fd);
        }
        if (dial->error == 0)
            dial->error = -error;
    }
    return false;
}

static void give_up(struct loop_task *task) {
    struct dial *dial = container_of(task, struct dial, task);
    conclude(dial, dial->error, false);
}

static void try_next(struct dial *dial) {
    if (start_one(dial))
        loop_timer_set(dial->loop, &dial->timer, attempt_deadline(dial), on_timeout);
    else
        loop_task_post(dial->loop, &dial->task, give_up);
}

void dial_start(struct dial *dial, uint64_t timeout_us) {
    dial->deadline_us = loop_now_us(dial->loop) + timeout_us;
    dial->at = 0;
    dial->error = 0;
    dial->active = true;
    try_next(dial);
}

void dial_cancel(struct dial *dial) {
    if (!dial->active)
        return;
    dial->active = false;
    loop_timer_clear(dial->loop, &dial->timer);
    loop_task_cancel(dial->loop, &dial->task);
    loop_watch_close(dial->watch);
}
