/* SPDX-License-Identifier: MIT */
/* The log's budgets: one user's flood takes no line from the process or from another user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/net/log.h"

static char path[64];

static int setup_log(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_log.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return log_open("test", path, LOG_INFO);
}

static int teardown_log(void **state) {
    (void)state;
    log_open("test", "stderr", LOG_INFO);
    return unlink(path);
}

/* The number of lines in the log that contain this text. */
static unsigned lines_with(const char *text) {
    char line[2000];
    unsigned count = 0;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, text) != NULL;
    fclose(file);
    return count;
}

static long second_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void begin_a_second(void) {
    for (long second = second_now(); second_now() == second;)
        usleep(1000);
}

static void a_users_flood_suppresses_no_line_of_the_process(void **state) {
    (void)state;
    begin_a_second();
    for (int i = 0; i < 5000; i++)
        log_of(65534, LOG_WARNING, "flood %d", i);
    log_error("of the process");
    assert_int_equal(lines_with("of the process"), 1);
    assert_in_range(lines_with("flood"), 1, 3 * LOG_USER_LINES_PER_SECOND);
}

static void a_users_flood_suppresses_no_line_of_another_user(void **state) {
    (void)state;
    begin_a_second();
    for (int i = 0; i < 5000; i++)
        log_of(65534, LOG_WARNING, "flood %d", i);
    log_of(1000, LOG_WARNING, "of another user");
    assert_int_equal(lines_with("of another user"), 1);
}

static void many_users_together_suppress_no_line_of_the_process(void **state) {
    (void)state;
    begin_a_second();
    for (unsigned i = 0; i < 50000; i++)
        log_of(100000 + i % 1000, LOG_WARNING, "flood %u", i);
    log_error("of the process");
    assert_int_equal(lines_with("of the process"), 1);
    assert_in_range(lines_with("flood"), 1, 3 * LOG_USERS_LINES_PER_SECOND);
}

static void the_number_of_suppressed_lines_is_logged(void **state) {
    (void)state;
    begin_a_second();
    for (int i = 0; i < 5000; i++)
        log_of(65534, LOG_WARNING, "flood %d", i);
    begin_a_second();
    log_info("next");
    assert_true(lines_with("lines about uid 65534 suppressed") >= 1);
    assert_int_equal(lines_with("next"), 1);
}

static struct log_kind strangers = {.what = "about strangers"};

static void a_kind_that_strangers_cause_suppresses_no_other_line_and_is_counted(void **state) {
    (void)state;
    begin_a_second();
    for (int i = 0; i < 5000; i++)
        log_few(&strangers, LOG_WARNING, "stranger %d", i);
    log_error("of the process");
    assert_int_equal(lines_with("of the process"), 1);
    assert_in_range(lines_with("stranger"), LOG_KIND_LINES_PER_SECOND,
                    3 * LOG_KIND_LINES_PER_SECOND);
    begin_a_second();
    log_info("next");
    assert_true(lines_with("lines suppressed: about strangers") >= 1);
}

static void the_owner_shares_the_budget_of_the_process(void **state) {
    (void)state;
    begin_a_second();
    for (unsigned i = 0; i < 2 * LOG_USER_LINES_PER_SECOND; i++)
        log_of(geteuid(), LOG_WARNING, "owner %u", i);
    assert_int_equal(lines_with("owner"), 2 * LOG_USER_LINES_PER_SECOND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_kind_that_strangers_cause_suppresses_no_other_line_and_is_counted, setup_log,
            teardown_log),
        cmocka_unit_test_setup_teardown(the_owner_shares_the_budget_of_the_process, setup_log,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(a_users_flood_suppresses_no_line_of_the_process, setup_log,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(a_users_flood_suppresses_no_line_of_another_user, setup_log,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(many_users_together_suppress_no_line_of_the_process,
                                        setup_log, teardown_log),
        cmocka_unit_test_setup_teardown(the_number_of_suppressed_lines_is_logged, setup_log,
                                        teardown_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
