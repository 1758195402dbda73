/* SPDX-License-Identifier: MIT */
/* loop.c - see loop.h. */
#include "helper/net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256

struct loop {
    int epoll_fd;
    bool running;
    uint32_t turn;
    unsigned behind; /* turns until it has caught up */
    uint64_t now_us;
    struct loop_timer *timers; /* root of a pairing heap */
    struct list tasks;
    struct list_link tasks_mark; /* in `tasks`, behind those of this turn */
    struct loop_garbage *garbage;
    struct epoll_event events[EVENTS_PER_TURN];
};

uint64_t loop_clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

struct loop *loop_new(void) {
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        int saved = errno;
        free(loop);
        errno = saved;
        return NULL;
    }
    list_init(&loop->tasks);
    loop->now_us = loop_clock_us();
    return loop;
}

static void sweep(struct loop *loop) {
    while (loop->garbage) {
        struct loop_garbage *garbage = loop->garbage;
        loop->garbage = garbage->next;
        garbage->fn(garbage);
    }
}

void loop_free(struct loop *loop) {
    if (!loop)
        return;
    sweep(loop);
    close(loop->epoll_fd);
    free(loop);
}

void loop_stop(struct loop *loop) {
    loop->running = false;
}

uint64_t loop_now_us(const struct loop *loop) {
    return loop->now_us;
}

/* ---- Descriptors ---- */

static struct epoll_event registration(struct loop_watch *watch, uint32_t mask) {
    struct epoll_event event = {.events = mask & ~LOOP_LEVEL, .data.ptr = watch};
    if (!(mask & LOOP_LEVEL))
        event.events |= EPOLLET;
    return event;
}

static unsigned watches; /* open ones */

unsigned loop_watches(void) {
    return watches;
}

int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t mask,
                   void (*fn)(struct loop_watch *, uint32_t)) {
    struct epoll_event event = registration(watch, mask);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    watch->fn = fn;
    watch->fd = fd;
    watch->mask = mask;
    watch->turn = loop->turn;
    watch->epoll_fd = loop->epoll_fd;
    watch->open = true;
    watches++;
    return 0;
}

int loop_watch_mask(struct loop *loop, struct loop_watch *watch, uint32_t mask) {
    struct epoll_event event = registration(watch, mask);
    if (!watch->open || watch->mask == mask)
        return 0;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
        return -errno;
    watch->mask = mask;
    return 0;
}

/* Closing alone takes the fd out of epoll only if no other descriptor refers to the open file: a
 * successor has the listening sockets, a program may keep the socket that it has handed over, and a
 * child has everything between its fork and close_from. What remained in epoll would be reported to
 * memory that has been freed. */
static int unregister(struct loop_watch *watch) {
    int fd = watch->fd;
    if (!watch->open)
        return -1;
    epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    watch->open = false;
    watches--;
    watch->fd = -1;
    return fd;
}

void loop_watch_close(struct loop_watch *watch) {
    int fd = unregister(watch);
    if (fd >= 0)
        close(fd);
}

int loop_watch_release(struct loop *loop, struct loop_watch *watch) {
    (void)loop;
    return unregister(watch);
}

int loop_watch_move(struct loop *loop, struct loop_watch *from, struct loop_watch *to,
                    void (*fn)(struct loop_watch *, uint32_t)) {
    struct epoll_event event = registration(to, from->mask);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, from->fd, &event) < 0)
        return -errno;
    *to = *from;
    to->fn = fn;
    to->turn = loop->turn;
    from->open = false;
    from->fd = -1;
    return 0;
}

/* ---- Timers: a pairing heap, whose nodes are the timers themselves ---- */

static struct loop_timer *heap_meld(struct loop_timer *a, struct loop_timer *b) {
    if (!a || !b)
        return a ? a : b;
    if (b->due_us < a->due_us) {
        struct loop_timer *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    a->next = a->prev = NULL;
    return a;
}

/* Melds a list of siblings: pairs from the left, then all pairs from the right. */
static struct loop_timer *heap_combine(struct loop_timer *list) {
    struct loop_timer *pairs = NULL, *root = NULL;
    while (list) {
        struct loop_timer *a = list, *b = a->next;
        list = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = heap_meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct loop_timer *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        root = heap_meld(root, pair);
    }
    return root;
}

static void heap_remove(struct loop *loop, struct loop_timer *timer) {
    struct loop_timer *rest = heap_combine(timer->child);
    if (timer == loop->timers) {
        loop->timers = rest;
    } else {
        if (timer->prev->child == timer)
            timer->prev->child = timer->next;
        else
            timer->prev->next = timer->next;
        if (timer->next)
            timer->next->prev = timer->prev;
        loop->timers = heap_meld(loop->timers, rest);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->armed = false;
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer) {
    if (timer->armed)
        heap_remove(loop, timer);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_us,
                    void (*fn)(struct loop_timer *)) {
    if (timer->armed && timer->due_us == due_us && timer->fn == fn)
        return;
    loop_timer_clear(loop, timer);
    timer->due_us = due_us;
    timer->fn = fn;
    timer->armed = true;
    loop->timers = heap_meld(loop->timers, timer);
}

static void run_timers(struct loop *loop) {
    while (loop->timers && loop->timers->due_us <= loop->now_us) {
        struct loop_timer *timer = loop->timers;
        heap_remove(loop, timer);
        timer->fn(timer);
    }
}

/* ---- Tasks and garbage ---- */

void loop_task_post(struct loop *loop, struct loop_task *task, void (*fn)(struct loop_task *)) {
    if (loop_task_is_posted(task))
        return;
    task->fn = fn;
    list_append(&loop->tasks, &task->link);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task) {
    (void)loop;
    list_remove(&task->link);
}

/* Runs the tasks posted before this call, one at a time, so that a task may cancel others. */
static void run_tasks(struct loop *loop) {
    if (list_is_empty(&loop->tasks))
        return;
    list_append(&loop->tasks, &loop->tasks_mark);
    while (list_first(&loop->tasks) != &loop->tasks_mark) {
        struct loop_task *task = container_of(list_first(&loop->tasks), struct loop_task, link);
        list_remove(&task->link);
        task->fn(task);
    }
    list_remove(&loop->tasks_mark);
}

void loop_discard(struct loop *loop, struct loop_garbage *garbage,
                  void (*fn)(struct loop_garbage *)) {
    garbage->fn = fn;
    garbage->next = loop->garbage;
    loop->garbage = garbage;
}

/* ---- The turn ---- */

static int wait_ms(const struct loop *loop, int max_wait_ms) {
    if (!list_is_empty(&loop->tasks))
        return 0;
    if (!loop->timers)
        return max_wait_ms;
    uint64_t now_us = loop_clock_us(), due_us = loop->timers->due_us;
    if (due_us <= now_us)
        return 0;
    uint64_t wait = (due_us - now_us + 999) / 1000;
    if (max_wait_ms >= 0 && wait > (uint64_t)max_wait_ms)
        return max_wait_ms;
    return wait > 3600000 ? 3600000 : (int)wait;
}

/* The turns that it takes from a connection at a listener to its first bytes, and one more. */
#define BEHIND_US    500000u
#define BEHIND_TURNS 4

static void note_turn(struct loop *loop, int event_count) {
    uint64_t before_us = loop->now_us;
    loop->now_us = loop_clock_us();
    loop->turn++;
    if (loop->now_us - before_us >= BEHIND_US)
        loop->behind = BEHIND_TURNS;
    else if (loop->behind && event_count < EVENTS_PER_TURN)
        loop->behind--;
}

bool loop_is_behind(const struct loop *loop) {
    return loop->behind > 0;
}

int loop_turn(struct loop *loop, int max_wait_ms) {
    int timeout = wait_ms(loop, max_wait_ms);
    int count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN, timeout);
    if (count < 0 && errno != EINTR)
        return -errno;
    note_turn(loop, count);
    for (int i = 0; i < count; i++) {
        struct loop_watch *watch = loop->events[i].data.ptr;
        if (watch->open && watch->turn != loop->turn)
            watch->fn(watch, loop->events[i].events);
    }
    run_timers(loop);
    run_tasks(loop);
    sweep(loop);
    return 0;
}

int loop_run(struct loop *loop) {
    int result = 0;
    loop->running = true;
    while (loop->running && result == 0)
        result = loop_turn(loop, -1);
    return result;
}
