/* SPDX-License-Identifier: MIT */
/* The memory that all sessions hold is bounded, and sessions that wait for it continue when there
 * is room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "helper/net/kept.h"

#define MIB(n)       ((size_t)(n) << 20)
#define SESSIONS_MAX 1024

static struct kept kept;
static struct session {
    struct keeper keeper;
    int resumed;
} sessions[SESSIONS_MAX];

static void count_resumed(struct keeper *keeper) {
    container_of(keeper, struct session, keeper)->resumed++;
}

static int begin(void **state) {
    (void)state;
    memset(sessions, 0, sizeof sessions);
    kept_init(&kept, loop_new());
    kept.max = MIB(32);
    for (int i = 0; i < SESSIONS_MAX; i++)
        sessions[i].keeper.resume = count_resumed;
    return kept.loop ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    loop_free(kept.loop);
    return 0;
}

/* Reads and holds data, 64 KiB at a time, until it has to wait. */
static void hoard(struct session *session) {
    while (kept_may_read(&kept, &session->keeper))
        kept_charge(&kept, &session->keeper, KEPT_LITTLE);
    kept_wait(&kept, &session->keeper);
}

static void release(struct session *session, size_t bytes) {
    kept_release(&kept, &session->keeper, bytes);
    assert_int_equal(loop_turn(kept.loop, 0), 0);
}

static void one_session_leaves_as_much_as_it_has(void **state) {
    (void)state;
    hoard(&sessions[0]);
    assert_in_range(kept.bytes, MIB(16), MIB(17));
}

static void however_many_hoard_the_sum_is_bounded_and_each_has_a_little(void **state) {
    (void)state;
    for (int i = 0; i < SESSIONS_MAX; i++) {
        hoard(&sessions[i]);
        assert_true(sessions[i].keeper.bytes > KEPT_LITTLE);
    }
    assert_true(kept.bytes <= kept.max + 2 * SESSIONS_MAX * (size_t)KEPT_LITTLE);
}

static void sessions_that_hoard_at_the_same_time_get_the_same(void **state) {
    (void)state;
    for (int going = 3; going > 0;) {
        going = 0;
        for (int i = 0; i < 3; i++)
            if (kept_may_read(&kept, &sessions[i].keeper)) {
                kept_charge(&kept, &sessions[i].keeper, KEPT_LITTLE);
                going++;
            }
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(sessions[i].keeper.bytes, MIB(8) - KEPT_LITTLE, MIB(8) + KEPT_LITTLE);
}

static void who_keeps_little_is_read_whatever_others_have(void **state) {
    (void)state;
    kept_charge(&kept, &sessions[0].keeper, 2 * kept.max);
    assert_false(kept_may_read(&kept, &sessions[0].keeper));
    kept_charge(&kept, &sessions[1].keeper, KEPT_LITTLE);
    assert_true(kept_may_read(&kept, &sessions[1].keeper));
}

static void who_waits_goes_on_when_it_has_released_enough_itself(void **state) {
    (void)state;
    hoard(&sessions[0]);
    release(&sessions[0], MIB(1));
    assert_int_equal(sessions[0].resumed, 1);
    assert_false(list_is_linked(&sessions[0].keeper.waits));
    release(&sessions[0], MIB(1)); /* told once */
    assert_int_equal(sessions[0].resumed, 1);
}

static void who_waits_goes_on_when_others_have_released_enough(void **state) {
    (void)state;
    hoard(&sessions[0]);
    hoard(&sessions[1]);
    hoard(&sessions[2]);
    release(&sessions[0], 1);
    assert_int_equal(sessions[2].resumed, 0);
    release(&sessions[0], sessions[0].keeper.bytes);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sessions[i].resumed, i != 1 || sessions[1].keeper.bytes <= MIB(16));
}

static void who_waits_goes_on_when_there_may_be_more(void **state) {
    (void)state;
    hoard(&sessions[0]);
    kept_set_max(&kept, MIB(32) - 1);
    assert_int_equal(loop_turn(kept.loop, 0), 0);
    assert_int_equal(sessions[0].resumed, 0);
    kept_set_max(&kept, MIB(64));
    assert_int_equal(loop_turn(kept.loop, 0), 0);
    assert_int_equal(sessions[0].resumed, 1);
    assert_true(kept_may_read(&kept, &sessions[0].keeper));
}

static void a_session_that_ends_waits_no_more(void **state) {
    (void)state;
    hoard(&sessions[0]);
    hoard(&sessions[1]);
    kept_wait(&kept, &sessions[1].keeper); /* twice is once */
    kept_wait_no_more(&sessions[1].keeper);
    kept_wait_no_more(&sessions[1].keeper);
    assert_ptr_equal(list_first(&kept.waiting), &sessions[0].keeper.waits);
    assert_ptr_equal(list_last(&kept.waiting), &sessions[0].keeper.waits);
    release(&sessions[1], sessions[1].keeper.bytes);
    assert_int_equal(sessions[1].resumed, 0);
}

static void readers_whose_session_has_ended_may_have_half(void **state) {
    (void)state;
    kept_charge(&kept, &sessions[0].keeper, MIB(16));
    assert_true(kept_orphan(&kept, &sessions[0].keeper, MIB(16)));
    assert_int_equal(sessions[0].keeper.bytes, 0);
    assert_int_equal(kept.bytes, MIB(16));
    kept_charge(&kept, &sessions[1].keeper, 1);
    assert_false(kept_orphan(&kept, &sessions[1].keeper, 1));
    assert_int_equal(sessions[1].keeper.bytes, 1);
    kept_release(&kept, NULL, MIB(16));
    assert_int_equal(kept.bytes, 1);
    assert_true(kept_orphan(&kept, &sessions[1].keeper, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(one_session_leaves_as_much_as_it_has),
        TEST(however_many_hoard_the_sum_is_bounded_and_each_has_a_little),
        TEST(sessions_that_hoard_at_the_same_time_get_the_same),
        TEST(who_keeps_little_is_read_whatever_others_have),
        TEST(who_waits_goes_on_when_it_has_released_enough_itself),
        TEST(who_waits_goes_on_when_others_have_released_enough),
        TEST(who_waits_goes_on_when_there_may_be_more),
        TEST(a_session_that_ends_waits_no_more),
        TEST(readers_whose_session_has_ended_may_have_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
