/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the event loop: descriptors by edge-triggered epoll, timers, work at the end of a turn.
 *
 * A turn is: wait; call the watches that have events; call the timers that are due; run the posted
 * tasks; free what was discarded. All of it happens in the thread that calls loop_run. Nothing here
 * allocates after loop_new, so nothing but adding a descriptor can fail.
 *
 * Watches, timers and tasks are embedded in the caller's structures, zeroed before first use. Their
 * memory must not be freed while the loop may still look at it in this turn: hand it to
 * loop_discard.
 */
#ifndef HELPER_NET_LOOP_H
#define HELPER_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "core/common/list.h"

struct loop;

struct loop_watch {
    void (*fn)(struct loop_watch *watch, uint32_t events);
    int fd;        /* valid while `open` */
    uint32_t mask; /* EPOLL flags registered */
    uint32_t turn; /* the turn in which it was added: earlier events are not its own */
    int epoll_fd;  /* of the loop that watches it, while `open` */
    bool open;
};

struct loop_timer {
    void (*fn)(struct loop_timer *timer);
    uint64_t due_us;
    struct loop_timer *child, *next, *prev; /* pairing heap; prev is the parent of a first child */
    bool armed;
};

struct loop_task {
    void (*fn)(struct loop_task *task);
    struct list_link link; /* in a list while it is posted */
};
static inline bool loop_task_is_posted(const struct loop_task *task) {
    return list_is_linked(&task->link);
}

struct loop_garbage {
    void (*fn)(struct loop_garbage *garbage);
    struct loop_garbage *next;
};

/* Returns NULL with errno set. */
struct loop *loop_new(void);
/* The caller has closed its watches. Pending garbage is freed, timers and tasks are forgotten. */
void loop_free(struct loop *loop);

/* Runs until loop_stop. Returns 0, or a negative errno if waiting itself failed. */
int loop_run(struct loop *loop);
/* One turn that waits for at most max_wait_ms (-1: until something happens). For tests. */
int loop_turn(struct loop *loop, int max_wait_ms);
void loop_stop(struct loop *loop);

/* CLOCK_MONOTONIC in microseconds, as read when this turn began. */
uint64_t loop_now_us(const struct loop *loop);
/* The same, read now. */
uint64_t loop_clock_us(void);

/* True if the loop has fallen behind: half a second had passed since the previous turn began, and
 * not all events of that time have been reported yet, so an event on one descriptor may be reported
 * before an older one on another. (Also true for a few turns after the loop was idle.) */
bool loop_is_behind(const struct loop *loop);

/* Watches fd for `mask` (EPOLLET is added unless mask has LOOP_LEVEL). `fn` is called with the
 * events of the turn. 0 or a negative errno; on failure the fd stays the caller's, on success it
 * belongs to the watch. */
#define LOOP_LEVEL                                                                                 \
    0x01000000u /* level-triggered: for descriptors of other libraries and listeners */
int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t mask,
                   void (*fn)(struct loop_watch *watch, uint32_t events));
/* Changes the mask; the kernel then repeats what is ready now. */
int loop_watch_mask(struct loop *loop, struct loop_watch *watch, uint32_t mask);
/* Stops watching, closes the fd and cancels its events that are pending in this turn; nothing that
 * happens later to another descriptor of the same open file (a copy, one that a successor has)
 * reaches the watch. Harmless when not open. */
void loop_watch_close(struct loop_watch *watch);
/* Stops watching without closing. Returns the fd, which is the caller's again, or -1 if the watch
 * is not open. */
int loop_watch_release(struct loop *loop, struct loop_watch *watch);
/* Moves the fd of `from` to `to`, which is not open. What is ready now is reported again, to `to`.
 * 0 or a negative errno; on failure nothing has changed. */
int loop_watch_move(struct loop *loop, struct loop_watch *from, struct loop_watch *to,
                    void (*fn)(struct loop_watch *watch, uint32_t events));

/* How many descriptors the loops of this process watch. */
unsigned loop_watches(void);

/* Arms or moves the timer. `fn` is called once, with the timer disarmed. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_us,
                    void (*fn)(struct loop_timer *timer));
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* Runs the task at the end of this turn, or of the next one if posted by a task. Posting it twice
 * has no further effect. */
void loop_task_post(struct loop *loop, struct loop_task *task, void (*fn)(struct loop_task *task));
/* Cancels a posted task. O(number of tasks posted). */
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* Calls fn(garbage) at the end of this turn, after all tasks. */
void loop_discard(struct loop *loop, struct loop_garbage *garbage,
                  void (*fn)(struct loop_garbage *garbage));

#endif
