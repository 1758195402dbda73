/* SPDX-License-Identifier: MIT */
/* dial.c - see dial.h. */
#include "helper/net/dial.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "helper/net/events.h"
#include "helper/net/sockaddr.h"

#define MASK (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI)

static void on_timer(struct loop_timer *timer);

/* ---- The order ---- */

static bool is_same(const struct dial_address *a, const struct dial_address *b) {
    return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

/* Moves the address at `from` forward to `to`; those in between move back by one. */
static void move_forward(struct dial *dial, int from, int to) {
    struct dial_address moved = dial->addresses[from];
    memmove(&dial->addresses[to + 1], &dial->addresses[to],
            (size_t)(from - to) * sizeof *dial->addresses);
    dial->addresses[to] = moved;
}

void dial_order(struct dial *dial, const struct dial_address *preferred) {
    for (int i = 0; preferred && i < dial->count; i++)
        if (is_same(&dial->addresses[i], preferred)) {
            move_forward(dial, i, 0);
            break;
        }
    for (int at = 1; at < dial->count; at++) {
        int i = at;
        while (i < dial->count &&
               dial->addresses[i].addr.ss_family == dial->addresses[at - 1].addr.ss_family)
            i++;
        if (i == dial->count)
            return; /* only one family is left */
        move_forward(dial, i, at);
    }
}

/* ---- The attempts under way: slot 0 is the caller's watch ---- */

static struct loop_watch *slot(struct dial *dial, int i) {
    return i == 0 ? dial->watch : &dial->beside[i - 1].watch;
}

static int free_slot(struct dial *dial) {
    for (int i = 0; i < DIAL_AT_ONCE; i++)
        if (!slot(dial, i)->open)
            return i;
    return -1;
}

static int oldest_slot(const struct dial *dial) {
    int oldest = 0;
    for (int i = 1; i < DIAL_AT_ONCE; i++)
        if (dial->tried[i] < dial->tried[oldest])
            oldest = i;
    return oldest;
}

static bool is_under_way(struct dial *dial) {
    for (int i = 0; i < DIAL_AT_ONCE; i++)
        if (slot(dial, i)->open)
            return true;
    return false;
}

static void close_attempts(struct dial *dial, const struct loop_watch *but) {
    for (int i = 0; i < DIAL_AT_ONCE; i++)
        if (slot(dial, i) != but)
            loop_watch_close(slot(dial, i));
}

/* ---- The end ---- */

static void stop(struct dial *dial) {
    loop_timer_clear(dial->loop, &dial->timer);
    loop_task_cancel(dial->loop, &dial->task);
    dial->active = false;
}

static void give_up(struct loop_task *task) {
    struct dial *dial = container_of(task, struct dial, task);
    close_attempts(dial, NULL);
    stop(dial);
    dial->done(dial, dial->error ? dial->error : -ETIMEDOUT, 0);
}

static int slot_of(struct dial *dial, const struct loop_watch *watch) {
    int i = 0;
    while (i < DIAL_AT_ONCE - 1 && slot(dial, i) != watch)
        i++;
    return i;
}

/* The connection in `watch` wins. Handing it over makes the kernel repeat its events. */
static void connected(struct dial *dial, struct loop_watch *watch, uint32_t events) {
    int error = 0;
    dial->won = dial->tried[slot_of(dial, watch)];
    close_attempts(dial, watch);
    if (watch != dial->watch) {
        error = loop_watch_move(dial->loop, watch, dial->watch, dial->on_fd);
        if (error)
            loop_watch_close(watch);
    }
    stop(dial);
    dial->done(dial, error, events);
}

/* How much an errno says about a host: one that refuses has answered, an unreachable network says
 * nothing about it, and a lack of resources in this process says nothing at all. */
static int weight(int error) {
    switch (error) {
    case -ECONNREFUSED:
        return 5;
    case -EACCES:
    case -EPERM:
    case -ECONNRESET:
        return 4;
    case -EHOSTUNREACH:
        return 3;
    case -ETIMEDOUT:
        return 2;
    case -ENETUNREACH:
        return 1;
    default:
        return 0;
    }
}

static void note_error(struct dial *dial, int address, int error) {
    dial->addresses[address].error = error;
    if (dial->error == 0 || weight(error) > weight(dial->error))
        dial->error = error;
}

/* ---- Starting ---- */

static void on_beside(struct loop_watch *watch, uint32_t events);

/* Starts a connect to the next address in the free slot. False if that fails at once. */
static bool start_in(struct dial *dial, int at) {
    const struct dial_address *address = &dial->addresses[dial->next];
    int fd = address->error;
    dial->tried[at] = (uint8_t)dial->next++;
    if (!fd)
        fd = sockaddr_connect_start(&address->addr, address->len, dial->reset_on_close);
    int error = fd;
    if (fd >= 0) {
        if (at > 0)
            dial->beside[at - 1].dial = dial;
        error = loop_watch_add(dial->loop, slot(dial, at), fd, MASK, at ? on_beside : dial->on_fd);
        if (error)
            close(fd);
    }
    if (error < 0)
        note_error(dial, dial->tried[at], error);
    return error >= 0;
}

/* How long to wait before the next attempt: the usual pause or, with all slots taken, a time that
 * leaves a share for each address that waits. */
static uint64_t pause_us(struct dial *dial, uint64_t now_us) {
    uint64_t share_us = (dial->deadline_us - now_us) / (uint64_t)(dial->count - dial->next + 1);
    if (free_slot(dial) >= 0 || share_us < DIAL_STAGGER_US)
        return DIAL_STAGGER_US;
    return share_us;
}

/* Starts a connect to the next address for which that does not fail at once. */
static void start_next(struct dial *dial) {
    uint64_t now_us = loop_now_us(dial->loop), due_us = dial->deadline_us;
    int at = free_slot(dial);
    while (at >= 0 && dial->next < dial->count && !start_in(dial, at))
        continue;
    if (!is_under_way(dial)) {
        loop_task_post(dial->loop, &dial->task, give_up);
        return;
    }
    if (dial->next < dial->count && now_us < dial->deadline_us &&
        pause_us(dial, now_us) < due_us - now_us)
        due_us = now_us + pause_us(dial, now_us);
    loop_timer_set(dial->loop, &dial->timer, due_us, on_timer);
}

static void on_timer(struct loop_timer *timer) {
    struct dial *dial = container_of(timer, struct dial, timer);
    if (loop_now_us(dial->loop) >= dial->deadline_us) {
        for (int i = 0; i < DIAL_AT_ONCE; i++)
            if (slot(dial, i)->open)
                note_error(dial, dial->tried[i], -ETIMEDOUT);
        give_up(&dial->task);
        return;
    }
    if (free_slot(dial) < 0) {
        int oldest = oldest_slot(dial);
        note_error(dial, dial->tried[oldest], -ETIMEDOUT);
        loop_watch_close(slot(dial, oldest));
    }
    start_next(dial);
}

/* ---- Events ---- */

/* True if the connection was established and the peer has reset it since: a refused connect has
 * another error. What the peer sent before can still be read. */
static bool has_stood(int error) {
    return error == -ECONNRESET || error == -EPIPE;
}

/* Takes the pending error from the socket. 0 or a negative errno. */
static int take_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

static void attempt_event(struct dial *dial, struct loop_watch *watch, uint32_t bits) {
    uint8_t events = events_of(bits);
    if (!dial->active)
        return;
    /* Writable without an error means connected: no need to ask. */
    int error = events & EVENT_GONE ? take_error(watch->fd) : 0;
    dial->broken = has_stood(error) ? error : 0;
    if (error && !dial->broken) {
        note_error(dial, dial->tried[slot_of(dial, watch)], error);
        loop_watch_close(watch);
        start_next(dial);
    } else if (events & EVENT_WRITE) {
        connected(dial, watch, bits);
    }
}

static void on_beside(struct loop_watch *watch, uint32_t events) {
    attempt_event(container_of(watch, struct dial_attempt, watch)->dial, watch, events);
}

void dial_event(struct dial *dial, uint32_t events) {
    attempt_event(dial, dial->watch, events);
}

/* ---- From outside ---- */

void dial_start(struct dial *dial, uint64_t timeout_us) {
    dial->deadline_us = loop_now_us(dial->loop) + timeout_us;
    dial->next = 0;
    dial->error = 0;
    dial->active = true;
    start_next(dial);
}

void dial_cancel(struct dial *dial) {
    if (!dial->active)
        return;
    stop(dial);
    close_attempts(dial, NULL);
}
