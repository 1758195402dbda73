/* SPDX-License-Identifier: MIT */
/* The token bucket that the streams of a client share (rate.h), in a loop with its own clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "helper/net/rate.h"

#define USERS_MAX 50

static struct mover {
    struct rate_user user;
    size_t moved, want; /* in all, at a time; 0: it has nothing to move */
    unsigned called;
    bool leaves; /* when it is called */
} movers[USERS_MAX];

static struct loop *loop;
static struct rate rate, other;

/* Moves as much as it may, as a relay does. */
static void move(struct mover *mover) {
    while (mover->want > 0) {
        size_t n = rate_room(&mover->user, mover->want);
        if (n == 0)
            return;
        assert_true(n <= mover->want);
        rate_spend(&mover->user, n);
        mover->moved += n;
        if (mover->user.rate == NULL || mover->user.rate->per_second == 0)
            return;
    }
}

static void on_resume(struct rate_user *user) {
    struct mover *mover = container_of(user, struct mover, user);
    mover->called++;
    if (mover->leaves)
        rate_leave(user);
    else
        move(mover);
}

static void begin(uint32_t per_second, int users) {
    memset(movers, 0, sizeof movers);
    loop = loop_new();
    assert_non_null(loop);
    assert_int_equal(loop_turn(loop, 0), 0);
    rate_init(&rate, loop);
    rate_init(&other, loop);
    rate_set(&rate, per_second);
    for (int i = 0; i < users; i++) {
        movers[i].want = 65536;
        rate_join(&movers[i].user, &rate, on_resume);
    }
}

static void end(void) {
    for (int i = 0; i < USERS_MAX; i++)
        rate_leave(&movers[i].user);
    assert_true(list_is_empty(&rate.waiting));
    rate_fini(&rate);
    rate_fini(&other);
    loop_free(loop);
}

/* Returns how many turns the loop has made, and in *passed_us how long it took. */
static unsigned pass(uint64_t us, uint64_t *passed_us) {
    uint64_t begin_us = loop_now_us(loop);
    unsigned turns = 0;
    for (*passed_us = 0; *passed_us < us; turns++) {
        assert_int_equal(loop_turn(loop, 20), 0);
        *passed_us = loop_now_us(loop) - begin_us;
    }
    return turns;
}

static size_t moved_by(int users) {
    size_t all = 0;
    for (int i = 0; i < users; i++)
        all += movers[i].moved;
    return all;
}

/* ---- Tests ---- */

static void all_together_move_what_the_rate_says_and_a_burst_at_first(void **state) {
    static const uint32_t rates[] = {1000, 30000, 1000000, 200000000, 2147483647};
    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        uint64_t us;
        begin(rates[r], 7);
        for (int i = 0; i < 7; i++)
            move(&movers[i]);
        size_t first = moved_by(7);
        assert_true(first <= rates[r] / 8 + RATE_BURST_MIN);
        unsigned turns = pass(300000, &us);
        uint64_t due = us * rates[r] / 1000000, got = moved_by(7) - first;
        assert_true(got <= due + 1);
        /* A pause of the machine that is longer than the bucket is deep is lost. */
        assert_true(got >= due / 2);
        assert_true(turns <= 2 * us / RATE_TURN_US + 10); /* nobody is busy with waiting */
        end();
    }
}

static void whoever_waits_gets_the_same_share_and_who_wants_little_gets_that(void **state) {
    uint64_t us;
    (void)state;
    begin(1000000, 20);
    for (int i = 0; i < 19; i++)
        move(&movers[i]);
    for (int i = 0; i < 30; i++) {
        movers[19].want = 200; /* one small message every ten milliseconds */
        size_t n = rate_room(&movers[19].user, 200);
        rate_spend(&movers[19].user, n);
        movers[19].moved += n;
        movers[19].want = 0;
        pass(10000, &us);
    }
    pass(300000, &us);
    for (int i = 1; i < 19; i++)
        assert_in_range(movers[i].moved, movers[18].moved / 2, movers[18].moved * 2 + 65536);
    assert_true(movers[0].moved <= movers[18].moved * 2 + 125000 + 1024); /* the burst */
    assert_true(movers[18].moved > 5000);
    assert_true(movers[19].called > 0);
    end();
}

static void who_comes_late_queues_behind_those_who_wait(void **state) {
    (void)state;
    begin(100000, 2);
    move(&movers[0]);
    assert_true(list_is_linked(&movers[0].user.waits));
    assert_int_equal(rate_room(&movers[1].user, 1), 0);
    assert_ptr_equal(list_first(&rate.waiting), &movers[0].user.waits);
    assert_ptr_equal(list_next(&rate.waiting, &movers[0].user.waits), &movers[1].user.waits);
    end();
}

static void without_bounds_nobody_waits(void **state) {
    struct rate_user free_user = {0};
    (void)state;
    begin(0, 1);
    assert_int_equal(rate_room(&movers[0].user, SIZE_MAX), SIZE_MAX);
    rate_spend(&movers[0].user, SIZE_MAX);
    assert_int_equal(rate_room(&free_user, 5), 5);
    rate_spend(&free_user, 5);
    rate_wait(&free_user);
    rate_leave(&free_user);
    assert_false(rate.timer.armed);
    end();
}

static void a_new_rate_counts_at_once_for_those_who_wait(void **state) {
    uint64_t us;
    (void)state;
    begin(1, 2); /* a byte a second: nobody lives to see the next */
    move(&movers[0]);
    move(&movers[1]);
    size_t first = moved_by(2);
    pass(50000, &us);
    assert_int_equal(moved_by(2), first);
    rate_set(&rate, 10000000);
    pass(50000, &us);
    assert_true(movers[0].moved > 10000 && movers[1].moved > 10000);
    rate_set(&rate, 0);
    pass(20000, &us);
    assert_true(list_is_empty(&rate.waiting));
    assert_false(rate.timer.armed);
    end();
}

static void who_waits_can_leave_be_left_or_change_the_bucket(void **state) {
    uint64_t us;
    (void)state;
    begin(100000, 4);
    for (int i = 0; i < 4; i++)
        move(&movers[i]);
    rate_leave(&movers[1].user);
    movers[2].leaves = true;
    rate_set(&other, 50000000);
    rate_join(&movers[3].user, &other, on_resume);
    assert_ptr_equal(list_first(&other.waiting), &movers[3].user.waits);
    pass(100000, &us);
    assert_int_equal(movers[1].called, 0);
    assert_int_equal(movers[2].called, 1);
    assert_true(movers[3].moved > 100000);
    assert_true(movers[0].called > 1);
    rate_join(&movers[0].user, NULL, on_resume); /* no bounds any more: it goes on at once */
    assert_true(list_is_empty(&rate.waiting));
    end();
}

static void a_bucket_whose_users_have_nothing_to_move_has_no_timer(void **state) {
    uint64_t us;
    (void)state;
    begin(100000, 3);
    for (int i = 0; i < 3; i++)
        move(&movers[i]);
    assert_true(rate.timer.armed);
    for (int i = 0; i < 3; i++)
        movers[i].want = 0;
    pass(60000, &us);
    assert_false(rate.timer.armed);
    assert_true(pass(100000, &us) <= 10);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_together_move_what_the_rate_says_and_a_burst_at_first),
        cmocka_unit_test(whoever_waits_gets_the_same_share_and_who_wants_little_gets_that),
        cmocka_unit_test(who_comes_late_queues_behind_those_who_wait),
        cmocka_unit_test(without_bounds_nobody_waits),
        cmocka_unit_test(a_new_rate_counts_at_once_for_those_who_wait),
        cmocka_unit_test(who_waits_can_leave_be_left_or_change_the_bucket),
        cmocka_unit_test(a_bucket_whose_users_have_nothing_to_move_has_no_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
