/* SPDX-License-Identifier: MIT */
/* rate.c - see rate.h. */
#include "helper/net/rate.h"

#define PER_BYTE UINT64_C(1000000) /* credit */

/* ---- The queue ---- */

static unsigned count_waiting(const struct rate *rate) {
    unsigned count = 0;
    list_for_each(link, &rate->waiting)
        count++;
    return count;
}

/* ---- The bucket ---- */

static uint64_t burst(const struct rate *rate) {
    uint32_t bytes = rate->per_second / 8;
    if (bytes < RATE_BURST_MIN)
        bytes = rate->per_second < RATE_BURST_MIN ? rate->per_second : RATE_BURST_MIN;
    return bytes * PER_BYTE;
}

static void refill(struct rate *rate) {
    uint64_t now_us = loop_now_us(rate->loop), full = burst(rate);
    uint64_t passed_us = now_us - rate->since_us;
    rate->since_us = now_us;
    if (passed_us > 1000000u)
        passed_us = 1000000u;
    rate->credit += passed_us * rate->per_second;
    if (rate->credit > full)
        rate->credit = full;
}

static size_t bytes_left(const struct rate *rate) {
    return (size_t)(rate->credit / PER_BYTE);
}

static void on_turn(struct loop_timer *timer);

static void arm(struct rate *rate) {
    uint64_t after_us = RATE_TURN_US;
    if (list_is_empty(&rate->waiting) || rate->timer.armed)
        return;
    if (rate->per_second == 0)
        after_us = 0;
    else if (PER_BYTE / rate->per_second > RATE_TURN_US) /* a single byte takes longer */
        after_us = PER_BYTE / rate->per_second + 1;
    loop_timer_set(rate->loop, &rate->timer, loop_now_us(rate->loop) + after_us, on_turn);
}

/* Calls each of those who wait now once at most, as long as there is something for it. */
static void on_turn(struct loop_timer *timer) {
    struct rate *rate = container_of(timer, struct rate, timer);
    unsigned count = count_waiting(rate);
    refill(rate);
    size_t share = count ? bytes_left(rate) / count : 0;
    if (share < RATE_SHARE_MIN)
        share = RATE_SHARE_MIN;
    for (struct list_link *first; count > 0 && (first = list_first(&rate->waiting)); count--) {
        if (rate->per_second > 0 && bytes_left(rate) == 0)
            break;
        struct rate_user *user = container_of(first, struct rate_user, waits);
        list_remove(first);
        rate->turn = user;
        rate->share = share;
        user->resume(user);
    }
    rate->turn = NULL;
    arm(rate);
}

void rate_init(struct rate *rate, struct loop *loop) {
    *rate = (struct rate){.loop = loop, .since_us = loop_now_us(loop)};
    list_init(&rate->waiting);
}

void rate_fini(struct rate *rate) {
    loop_timer_clear(rate->loop, &rate->timer);
}

void rate_set(struct rate *rate, uint32_t per_second) {
    if (rate->per_second == per_second)
        return;
    bool was_unbounded = rate->per_second == 0;
    refill(rate);
    rate->per_second = per_second;
    if (was_unbounded)
        rate->credit = burst(rate);
    loop_timer_clear(rate->loop, &rate->timer);
    arm(rate);
}

/* ---- Users ---- */

void rate_leave(struct rate_user *user) {
    if (!user->rate)
        return;
    list_remove(&user->waits);
    if (user->rate->turn == user)
        user->rate->turn = NULL;
    user->rate = NULL;
}

void rate_join(struct rate_user *user, struct rate *rate, void (*resume)(struct rate_user *)) {
    bool waited = list_is_linked(&user->waits);
    if (user->rate == rate)
        return;
    rate_leave(user);
    user->rate = rate;
    user->resume = resume;
    if (waited && rate)
        rate_wait(user);
    else if (waited)
        resume(user);
}

void rate_wait(struct rate_user *user) {
    struct rate *rate = user->rate;
    if (!rate || list_is_linked(&user->waits))
        return;
    list_append(&rate->waiting, &user->waits);
    arm(rate);
}

size_t rate_room(struct rate_user *user, size_t want) {
    struct rate *rate = user->rate;
    if (!rate || rate->per_second == 0)
        return want;
    refill(rate);
    size_t room = bytes_left(rate);
    if (rate->turn == user)
        room = rate->share < room ? rate->share : room;
    else if (!list_is_empty(&rate->waiting))
        room = 0;
    if (room == 0)
        rate_wait(user);
    return want < room ? want : room;
}

void rate_spend(struct rate_user *user, size_t len) {
    struct rate *rate = user->rate;
    if (!rate || rate->per_second == 0)
        return;
    rate->credit -= len < bytes_left(rate) ? len * PER_BYTE : bytes_left(rate) * PER_BYTE;
    if (rate->turn == user)
        rate->share -= len < rate->share ? len : rate->share;
}
