/* SPDX-License-Identifier: MIT */
/* The event loop: timers in order, no events for closed descriptors, tasks and garbage in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/net/loop.h"

static int setup(void **state) {
    *state = loop_new();
    return *state ? 0 : -1;
}

static int teardown(void **state) {
    loop_free(*state);
    return 0;
}

/* ---- Timers ---- */

#define TIMERS 500

static struct loop_timer timers[TIMERS];
static uint64_t last_due_us;
static int fired;

static void on_timer(struct loop_timer *timer) {
    assert_false(timer->armed);
    assert_true(timer->due_us >= last_due_us);
    last_due_us = timer->due_us;
    fired++;
}

static void timers_fire_in_order_whatever_is_set_moved_and_cleared(void **state) {
    struct loop *loop = *state;
    srand(1);
    for (int round = 0; round < 50; round++) {
        uint64_t now_us = loop_now_us(loop);
        int armed = 0;
        for (int i = 0; i < 4 * TIMERS; i++) {
            struct loop_timer *timer = &timers[rand() % TIMERS];
            if (rand() % 4 == 0)
                loop_timer_clear(loop, timer);
            else /* long ago, so that all are due */
                loop_timer_set(loop, timer, now_us - 1 - (uint64_t)(rand() % 100000), on_timer);
        }
        for (int i = 0; i < TIMERS; i++)
            armed += timers[i].armed;
        fired = 0;
        last_due_us = 0;
        assert_int_equal(loop_turn(loop, 0), 0);
        assert_int_equal(fired, armed);
    }
}

static void a_timer_in_the_future_waits(void **state) {
    struct loop *loop = *state;
    struct loop_timer timer = {0};
    fired = 0;
    loop_timer_set(loop, &timer, loop_now_us(loop) + 3600000000u, on_timer);
    loop_turn(loop, 0);
    assert_int_equal(fired, 0);
    loop_timer_clear(loop, &timer);
    assert_false(timer.armed);
}

/* ---- Descriptors ---- */

static struct loop_watch left, right;
static int events_seen;

static void closes_the_other(struct loop_watch *watch, uint32_t events) {
    (void)events;
    events_seen++;
    loop_watch_close(watch == &left ? &right : &left);
}

static void a_closed_descriptor_gets_none_of_its_pending_events(void **state) {
    struct loop *loop = *state;
    int a[2], b[2];
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    assert_int_equal(loop_watch_add(loop, &left, a[0], EPOLLIN, closes_the_other), 0);
    assert_int_equal(loop_watch_add(loop, &right, b[0], EPOLLIN, closes_the_other), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    events_seen = 0;
    loop_turn(loop, -1);
    assert_int_equal(events_seen, 1);
    loop_watch_close(&left);
    loop_watch_close(&right);
    close(a[1]);
    close(b[1]);
}

static struct loop *the_loop;
static int replacement_fd;

static void must_not_be_called(struct loop_watch *watch, uint32_t events) {
    (void)watch;
    (void)events;
    fail();
}

/* Regression: an event of the old descriptor was taken for one of a new watch in the same
 * memory. */
static void replaces_the_other(struct loop_watch *watch, uint32_t events) {
    struct loop_watch *other = watch == &left ? &right : &left;
    (void)events;
    loop_watch_close(other);
    assert_int_equal(loop_watch_add(the_loop, other, replacement_fd, EPOLLIN, must_not_be_called),
                     0);
}

static void a_reused_watch_gets_no_event_of_the_old_descriptor(void **state) {
    int a[2], b[2], c[2];
    the_loop = *state;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    assert_int_equal(pipe(c), 0);
    replacement_fd = c[0];
    assert_int_equal(loop_watch_add(the_loop, &left, a[0], EPOLLIN, replaces_the_other), 0);
    assert_int_equal(loop_watch_add(the_loop, &right, b[0], EPOLLIN, replaces_the_other), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    loop_turn(the_loop, -1);
    loop_watch_close(&left);
    loop_watch_close(&right);
    close(a[1]);
    close(b[1]);
    close(c[1]);
}

/* Regression: a gateway that was replaced crashed. Its successor had the listening sockets as well,
 * so that closing them did not take them out of epoll, and the next connection to one was reported
 * to memory that had been freed, or had become another watch. */
static void a_closed_descriptor_of_which_a_copy_is_left_reports_nothing(void **state) {
    static const uint32_t kinds[] = {EPOLLIN, EPOLLIN | LOOP_LEVEL};
    struct loop *loop = *state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int a[2], b[2];
        assert_int_equal(pipe(a), 0);
        assert_int_equal(pipe(b), 0);
        int copy = dup(a[0]);
        assert_int_equal(loop_watch_add(loop, &left, a[0], kinds[i], must_not_be_called), 0);
        loop_watch_close(&left);
        assert_int_equal(write(a[1], "x", 1), 1);
        assert_int_equal(loop_watch_add(loop, &left, b[0], EPOLLIN, must_not_be_called), 0);
        loop_turn(loop, 0);
        assert_int_equal(write(a[1], "x", 1), 1);
        loop_turn(loop, 0);
        loop_watch_close(&left);
        close(copy);
        close(a[1]);
        close(b[1]);
    }
}

static void counts(struct loop_watch *watch, uint32_t events) {
    (void)watch;
    (void)events;
    events_seen++;
}

static void edges_are_reported_once_and_levels_as_long_as_they_last(void **state) {
    struct loop *loop = *state;
    int a[2], b[2];
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    assert_int_equal(loop_watch_add(loop, &left, a[0], EPOLLIN, counts), 0);
    assert_int_equal(loop_watch_add(loop, &right, b[0], EPOLLIN | LOOP_LEVEL, counts), 0);
    events_seen = 0;
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(events_seen, 4);
    loop_watch_close(&left);
    loop_watch_close(&right);
    close(a[1]);
    close(b[1]);
}

/* ---- Tasks ---- */

static struct loop_task first, second, third;
static char order[16];
static int order_len;

static void note_third(struct loop_task *task) {
    (void)task;
    order[order_len++] = '3';
}

static void note_second(struct loop_task *task) {
    (void)task;
    order[order_len++] = '2';
}

static void note_first(struct loop_task *task) {
    order[order_len++] = '1';
    loop_task_post(the_loop, task, note_first); /* again, in the next turn */
    loop_task_cancel(the_loop, &third);
}

static void note_garbage(struct loop_garbage *garbage) {
    (void)garbage;
    order[order_len++] = 'g';
}

static void tasks_run_once_a_turn_and_can_be_taken_back(void **state) {
    struct loop_garbage garbage;
    the_loop = *state;
    order_len = 0;
    loop_discard(the_loop, &garbage, note_garbage);
    loop_task_post(the_loop, &first, note_first);
    loop_task_post(the_loop, &second, note_second);
    loop_task_post(the_loop, &second, note_second);
    loop_task_post(the_loop, &third, note_third);
    loop_turn(the_loop, -1);
    assert_int_equal(order_len, 3);
    assert_memory_equal(order, "12g", 3);
    loop_turn(the_loop, -1); /* does not wait: a task is posted */
    assert_int_equal(order_len, 4);
    loop_task_cancel(the_loop, &first);
    assert_false(loop_task_is_posted(&first));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order_whatever_is_set_moved_and_cleared,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_in_the_future_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_descriptor_gets_none_of_its_pending_events, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reused_watch_gets_no_event_of_the_old_descriptor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_closed_descriptor_of_which_a_copy_is_left_reports_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(edges_are_reported_once_and_levels_as_long_as_they_last,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_run_once_a_turn_and_can_be_taken_back, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
