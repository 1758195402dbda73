/* SPDX-License-Identifier: MIT */
/* What smuxctl drain --wait says, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "helper/ctl/ctl_progress.h"

#define S 1000ll

static char line[160];

static const char *say(struct ctl_progress *progress, long long now_ms, size_t width) {
    return ctl_progress_line(progress, now_ms, width, line, sizeof line);
}

static void nothing_is_said_before_the_number_is_known(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 5 * S);
    assert_false(ctl_progress_is_due(&progress, 100 * S, true));
    assert_false(ctl_progress_is_due(&progress, 100 * S, false));
    ctl_progress_left(&progress, 7);
    assert_true(ctl_progress_is_due(&progress, 5 * S, true));
    assert_true(ctl_progress_is_due(&progress, 5 * S, false));
}

static void while_none_has_ended_no_time_is_given(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 0);
    ctl_progress_left(&progress, 12);
    assert_string_equal(say(&progress, 2 * S, 0),
                        "draining for 2.0s, connections left: 12 of 12, none has ended yet");
}

static void the_estimate_follows_the_rate_so_far(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 0);
    ctl_progress_left(&progress, 12);
    ctl_progress_left(&progress, 8);
    assert_string_equal(say(&progress, 10 * S, 0),
                        "draining for 10s, connections left: 8 of 12, about 20s more at this rate");
    /* Nothing has ended since: it takes longer than was thought. */
    assert_string_equal(say(&progress, 20 * S, 0),
                        "draining for 20s, connections left: 8 of 12, about 40s more at this rate");
    ctl_progress_left(&progress, 0);
    assert_string_equal(say(&progress, 30 * S, 0), "draining for 30s, connections left: 0 of 12");
}

static void connections_that_still_come_count_from_the_beginning(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 0);
    ctl_progress_left(&progress, 1);
    ctl_progress_left(&progress, 2);
    ctl_progress_left(&progress, 1);
    assert_string_equal(
        say(&progress, 4 * S, 0),
        "draining for 4.0s, connections left: 1 of 2, about 4.0s more at this rate");
}

static void a_terminal_gets_each_change_and_each_second(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 0);
    ctl_progress_left(&progress, 9);
    say(&progress, 0, 80);
    assert_false(ctl_progress_is_due(&progress, S - 1, true));
    assert_true(ctl_progress_is_due(&progress, S, true));
    ctl_progress_left(&progress, 8);
    assert_true(ctl_progress_is_due(&progress, 1, true));
}

static void elsewhere_lines_become_rarer_and_never_stop(void **state) {
    static const struct { long long at_s, pause_s; } cases[] = {{2, 1}, {30, 10}, {3600, 60}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctl_progress progress;
        long long at = cases[i].at_s * S, pause = cases[i].pause_s * S;
        ctl_progress_begin(&progress, 0);
        ctl_progress_left(&progress, 9);
        say(&progress, at, 0);
        assert_false(ctl_progress_is_due(&progress, at + 60 * S - 1, false));
        assert_true(ctl_progress_is_due(&progress, at + 60 * S, false));
        ctl_progress_left(&progress, 8);
        assert_false(ctl_progress_is_due(&progress, at + pause - 1, false));
        assert_true(ctl_progress_is_due(&progress, at + pause, false));
    }
}

static void a_line_is_shorter_than_the_terminal_is_wide(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 0);
    ctl_progress_left(&progress, 12000);
    ctl_progress_left(&progress, 8000);
    for (size_t width = 1; width < 200; width++)
        assert_true(strlen(say(&progress, 10 * S, width)) < width);
    assert_string_equal(say(&progress, 10 * S, 80),
                        "draining for 10s, connections left: 8000 of 12000, about 20s more at this "
                        "rate");
    assert_string_equal(say(&progress, 10 * S, 60),
                        "8000 of 12000 left, about 20s more at this rate");
    assert_string_equal(say(&progress, 10 * S, 40), "8000 of 12000 left");
}

static void numbers_of_any_size_and_any_time_are_taken(void **state) {
    struct ctl_progress progress;
    (void)state;
    ctl_progress_begin(&progress, 0);
    ctl_progress_left(&progress, INT64_MAX);
    ctl_progress_left(&progress, INT64_MAX - 1);
    say(&progress, INT64_MAX / 4, 0);
    assert_non_null(strstr(line, "none has ended yet") ? line : strstr(line, "left: "));
    ctl_progress_left(&progress, -5);
    say(&progress, 2, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_before_the_number_is_known),
        cmocka_unit_test(while_none_has_ended_no_time_is_given),
        cmocka_unit_test(the_estimate_follows_the_rate_so_far),
        cmocka_unit_test(connections_that_still_come_count_from_the_beginning),
        cmocka_unit_test(a_terminal_gets_each_change_and_each_second),
        cmocka_unit_test(elsewhere_lines_become_rarer_and_never_stop),
        cmocka_unit_test(a_line_is_shorter_than_the_terminal_is_wide),
        cmocka_unit_test(numbers_of_any_size_and_any_time_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
