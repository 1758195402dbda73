/* SPDX-License-Identifier: MIT */
/* The log's budgets: one user's flood takes no line from the process or from another user. And
 * where its lines go, in which form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    return log_open("test", path, LOG_INFO, CONFIG_LOG_TEXT);
}

static int teardown_log(void **state) {
    (void)state;
    log_open("test", "stderr", LOG_INFO, CONFIG_LOG_TEXT);
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
        log_of(LOG_WARNING, ABOUT(.uid = 65534), "flood %d", i);
    log_error("of the process");
    assert_int_equal(lines_with("of the process"), 1);
    assert_in_range(lines_with("flood"), 1, 3 * LOG_USER_LINES_PER_SECOND);
}

static void a_users_flood_suppresses_no_line_of_another_user(void **state) {
    (void)state;
    begin_a_second();
    for (int i = 0; i < 5000; i++)
        log_of(LOG_WARNING, ABOUT(.uid = 65534), "flood %d", i);
    log_of(LOG_WARNING, ABOUT(.uid = 1000), "of another user");
    assert_int_equal(lines_with("of another user"), 1);
}

static void many_users_together_suppress_no_line_of_the_process(void **state) {
    (void)state;
    begin_a_second();
    for (unsigned i = 0; i < 50000; i++)
        log_of(LOG_WARNING, ABOUT(.uid = 100000 + i % 1000), "flood %u", i);
    log_error("of the process");
    assert_int_equal(lines_with("of the process"), 1);
    assert_in_range(lines_with("flood"), 1, 3 * LOG_USERS_LINES_PER_SECOND);
}

static void the_number_of_suppressed_lines_is_logged(void **state) {
    (void)state;
    begin_a_second();
    for (int i = 0; i < 5000; i++)
        log_of(LOG_WARNING, ABOUT(.uid = 65534), "flood %d", i);
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
        log_few(&strangers, LOG_WARNING, NULL, "stranger %d", i);
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
        log_of(LOG_WARNING, ABOUT(.uid = geteuid()), "owner %u", i);
    assert_int_equal(lines_with("owner"), 2 * LOG_USER_LINES_PER_SECOND);
}

/* The whole log; valid until the next call. */
static const char *content(void) {
    static char text[8000];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Logs two lines to a stderr that is the file of the log; `stream` is JOURNAL_STREAM. */
static void with_stderr(const char *stream, enum config_log_format format) {
    int saved = dup(STDERR_FILENO);
    FILE *file = fopen(path, "ae");
    assert_true(saved >= 0 && file && dup2(fileno(file), STDERR_FILENO) >= 0);
    fclose(file);
    setenv("JOURNAL_STREAM", stream, 1);
    int error = log_open("test", "stderr", LOG_INFO, format);
    unsetenv("JOURNAL_STREAM");
    log_about(LOG_WARNING, ABOUT(.peer = "10.0.0.9:1"), "one\ntwo");
    log_error("three");
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(error, 0);
}

static const char *own_stream(void) {
    static char text[60];
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return text;
}

static void the_journal_gets_priorities_and_nothing_that_it_notes_itself(void **state) {
    (void)state;
    with_stderr(own_stream(), CONFIG_LOG_TEXT);
    assert_string_equal(content(), "<4>10.0.0.9:1: one?two\n<3>three\n");
}

static void the_journal_gets_priorities_with_json_as_well(void **state) {
    (void)state;
    with_stderr(own_stream(), CONFIG_LOG_JSON);
    assert_int_equal(strncmp(content(), "<4>{\"time\":\"", 12), 0);
    assert_int_equal(lines_with("<3>{"), 1);
    assert_int_equal(lines_with("\"message\":\"one\\u000atwo\"}"), 1);
}

static void a_stderr_that_is_not_the_journals_stream_gets_lines_as_a_file_does(void **state) {
    (void)state;
    with_stderr("1:1", CONFIG_LOG_TEXT);
    assert_int_equal(lines_with(" warn: 10.0.0.9:1: one?two"), 1);
    assert_int_equal(lines_with("<"), 0);
}

static void the_format_can_change_while_the_log_is_open(void **state) {
    (void)state;
    log_info("first");
    log_set_format(CONFIG_LOG_JSON);
    log_info("second");
    log_set_format(CONFIG_LOG_TEXT);
    log_info("third");
    assert_int_equal(lines_with("] info: first"), 1);
    assert_int_equal(lines_with("\"message\":\"second\"}"), 1);
    assert_int_equal(lines_with("] info: third"), 1);
}

static void a_message_that_is_too_long_ends_in_dots(void **state) {
    (void)state;
    log_info("%0*d", 5000, 7);
    assert_int_equal(lines_with("000...\n"), 1);
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
        cmocka_unit_test_setup_teardown(
            the_journal_gets_priorities_and_nothing_that_it_notes_itself, setup_log, teardown_log),
        cmocka_unit_test_setup_teardown(the_journal_gets_priorities_with_json_as_well, setup_log,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(
            a_stderr_that_is_not_the_journals_stream_gets_lines_as_a_file_does, setup_log,
            teardown_log),
        cmocka_unit_test_setup_teardown(the_format_can_change_while_the_log_is_open, setup_log,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(a_message_that_is_too_long_ends_in_dots, setup_log,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(the_number_of_suppressed_lines_is_logged, setup_log,
                                        teardown_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
