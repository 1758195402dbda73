/* SPDX-License-Identifier: MIT */
/* Counters in shared memory, and the two text formats (helper/metrics). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/metrics/metrics_flow.h"
#include "helper/metrics/metrics_table.h"
#include "helper/metrics/metrics_text.h"
#include "helper/net/loop.h"

#define WORKERS 2

static struct metrics *metrics;

static int start(void **state) {
    (void)state;
    metrics = metrics_open(METRICS_GATEWAY, WORKERS);
    metrics_use(0);
    return metrics ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    return munmap(metrics, sizeof *metrics + WORKERS * sizeof metrics->slot[0]);
}

static char *text_of(enum metrics_format format) {
    size_t len;
    char *text = metrics_text(metrics, format, loop_clock_us(), &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    return text;
}

static void expect_line(const char *line) {
    char *text = text_of(METRICS_PROMETHEUS), whole[400];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("expected \"%s\" in:\n%s", line, text);
    free(text);
}

static struct metrics_series *client(const char *name) {
    return metrics_series(&metrics_slot()->flows, name, NULL);
}

/* ---- Rows ---- */

static void check_rows(const struct metrics_row *rows, int count) {
    for (int i = 0; i < count; i++) {
        assert_non_null(rows[i].name);
        size_t len = strlen(rows[i].name);
        bool total = len > 6 && strcmp(rows[i].name + len - 6, "_total") == 0;
        if (total != (rows[i].kind == METRICS_COUNTER) || rows[i].programs == 0 ||
            strspn(rows[i].name, "abcdefghijklmnopqrstuvwxyz_") != len ||
            rows[i].help[strlen(rows[i].help) - 1] != '.')
            fail_msg("%s: a counter and nothing else ends in _total; its help is a sentence",
                     rows[i].name);
    }
}

static void every_value_has_a_row_named_after_its_kind(void **state) {
    (void)state;
    check_rows(metrics_worker_rows, WORKER_VALUES);
    check_rows(metrics_flow_rows, FLOW_VALUES);
    check_rows(metrics_peer_rows, PEER_VALUES);
}

/* ---- Series ---- */

static void what_a_name_has_in_it_is_escaped(void **state) {
    char out[METRICS_ESCAPED_SIZE], longest[METRICS_NAME_MAX + 1];
    (void)state;
    assert_string_equal(metrics_escape("a\"b\\c\nd", out, sizeof out), "a\\\"b\\\\c\\nd");
    memset(longest, '"', METRICS_NAME_MAX);
    longest[METRICS_NAME_MAX] = '\0';
    assert_int_equal(strlen(metrics_escape(longest, out, sizeof out)), 2 * METRICS_NAME_MAX);
    metrics_add(&client("x\"} 1\n")->value[FLOW_OPENED], 7);
    expect_line("smuxshim_gateway_connections_opened_total{client=\"x\\\"} 1\\n\"} 7");
}

static void more_names_than_there_is_room_for_are_one_series(void **state) {
    char name[20];
    (void)state;
    for (unsigned i = 0; i < METRICS_SERIES_MAX + 3; i++) {
        snprintf(name, sizeof name, "client%u", i);
        metrics_add(&client(name)->value[FLOW_OPENED], 1);
    }
    expect_line("smuxshim_gateway_connections_opened_total{client=\"other\"} 3");
    expect_line("smuxshim_gateway_connections_opened_total{client=\"client127\"} 1");
    char *text = text_of(METRICS_PROMETHEUS);
    assert_null(strstr(text, "client128"));
    free(text);
}

static void the_series_of_several_workers_are_added_up_by_name(void **state) {
    (void)state;
    metrics_add(&client("b")->value[FLOW_OPENED], 1);
    metrics_use(1);
    metrics_add(&client("a")->value[FLOW_OPENED], 10);
    metrics_add(&client("b")->value[FLOW_OPENED], 100);
    expect_line("smuxshim_gateway_connections_opened_total{client=\"a\"} 10");
    expect_line("smuxshim_gateway_connections_opened_total{client=\"b\"} 101");
}

static void a_time_on_a_bound_is_within_it(void **state) {
    struct metrics_histogram *time = &client("a")->time;
    (void)state;
    metrics_add(&client("a")->value[FLOW_OPENED], 1);
    metrics_observe(time, 0);
    metrics_observe(time, 250);
    metrics_observe(time, 251);
    metrics_observe(time, 2500000);
    metrics_observe(time, UINT32_MAX);
    expect_line("smuxshim_gateway_connect_seconds_bucket{client=\"a\",le=\"0.00025\"} 2");
    expect_line("smuxshim_gateway_connect_seconds_bucket{client=\"a\",le=\"0.0005\"} 3");
    expect_line("smuxshim_gateway_connect_seconds_bucket{client=\"a\",le=\"1.0\"} 3");
    expect_line("smuxshim_gateway_connect_seconds_bucket{client=\"a\",le=\"2.5\"} 4");
    expect_line("smuxshim_gateway_connect_seconds_bucket{client=\"a\",le=\"10.0\"} 4");
    expect_line("smuxshim_gateway_connect_seconds_bucket{client=\"a\",le=\"+Inf\"} 5");
    expect_line("smuxshim_gateway_connect_seconds_sum{client=\"a\"} 4297.467796");
    expect_line("smuxshim_gateway_connect_seconds_count{client=\"a\"} 5");
}

/* ---- A connection ---- */

static uint64_t flow_value(const char *name, int value) {
    return metrics_get(&client(name)->value[value]);
}

static void a_connection_is_counted_once_whatever_is_said_of_it(void **state) {
    struct metrics_flow flow = {0};
    (void)state;
    metrics_flow_opened(&flow, 1);
    metrics_flow_refused(&flow, REFUSED_OTHER);
    metrics_flow_ended(&flow, ENDED_CLOSED);
    metrics_flow_begin(&flow, client("a"));
    metrics_flow_move(&flow, client("b"));
    metrics_flow_opened(&flow, 1);
    metrics_flow_opened(&flow, 1);
    metrics_flow_move(&flow, client("a"));
    metrics_flow_refused(&flow, REFUSED_OTHER);
    assert_int_equal(flow_value("a", FLOW_OPENING), 0);
    assert_int_equal(flow_value("b", FLOW_ACTIVE), 1);
    metrics_flow_ended(&flow, ENDED_CLIENT_RESET);
    metrics_flow_ended(&flow, ENDED_CLOSED);
    assert_int_equal(flow_value("b", FLOW_OPENED), 1);
    assert_int_equal(flow_value("b", FLOW_ACTIVE), 0);
    assert_int_equal(flow_value("b", FLOW_ENDED + ENDED_CLIENT_RESET), 1);
    assert_int_equal(flow_value("b", FLOW_ENDED + ENDED_CLOSED), 0);
    assert_int_equal(flow_value("b", FLOW_REFUSED + REFUSED_OTHER), 0);
}

static void of_several_reasons_the_first_counts_and_none_is_abandonment(void **state) {
    struct metrics_flow first = {0}, second = {0};
    (void)state;
    metrics_flow_begin(&first, client("a"));
    metrics_flow_begin(&second, client("a"));
    metrics_flow_refused(&first, REFUSED_NAME);
    metrics_flow_refused(&first, REFUSED_TIMEOUT);
    metrics_flow_ended(&first, ENDED_CLOSED);
    metrics_flow_ended(&second, ENDED_GIVEN_UP);
    assert_int_equal(flow_value("a", FLOW_REFUSED + REFUSED_NAME), 1);
    assert_int_equal(flow_value("a", FLOW_REFUSED + REFUSED_TIMEOUT), 0);
    assert_int_equal(flow_value("a", FLOW_REFUSED + REFUSED_ABANDONED), 1);
    assert_int_equal(flow_value("a", FLOW_OPENING), 0);
    assert_int_equal(flow_value("a", FLOW_ENDED + ENDED_CLOSED), 0);
    assert_int_equal(flow_value("a", FLOW_ENDED + ENDED_GIVEN_UP), 0);
}

static void a_session_moves_with_its_client(void **state) {
    struct metrics_group *peers = &metrics_slot()->peers;
    struct metrics_series *a = metrics_series(peers, "a", NULL),
                          *b = metrics_series(peers, "b", NULL), *peer = NULL;
    (void)state;
    metrics_session(&peer, a);
    metrics_session(&peer, a);
    metrics_session(&peer, b);
    assert_int_equal(a->value[PEER_SESSIONS], 0);
    assert_int_equal(a->value[PEER_ENDED], 1);
    assert_int_equal(b->value[PEER_SESSIONS], 1);
    metrics_session(&peer, NULL);
    metrics_session(&peer, NULL);
    assert_int_equal(b->value[PEER_SESSIONS], 0);
    assert_int_equal(b->value[PEER_BEGUN], 1);
    assert_int_equal(b->value[PEER_ENDED], 1);
}

/* ---- Workers ---- */

/* What a worker counts who is killed then. */
static void work_and_die(void) {
    struct metrics_flow open = {0}, opening = {0};
    struct metrics_series *peer = NULL;
    metrics_use(0);
    metrics_flow_begin(&open, client("a"));
    metrics_flow_opened(&open, 1);
    metrics_flow_begin(&opening, client("a"));
    metrics_session(&peer, metrics_series(&metrics_slot()->peers, "a", NULL));
    metrics_continue(WORKER_CPU_US, 5);
    _exit(0);
}

static void
a_worker_that_replaces_one_goes_on_with_its_counters_and_ends_what_was_open(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0)
            work_and_die();
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    metrics_use(0);
    metrics_continue(WORKER_CPU_US, 1);
    assert_int_equal(flow_value("a", FLOW_OPENED), 2);
    assert_int_equal(flow_value("a", FLOW_ACTIVE), 0);
    assert_int_equal(flow_value("a", FLOW_OPENING), 0);
    assert_int_equal(flow_value("a", FLOW_ENDED + ENDED_WITH_ITS_WORKER), 2);
    assert_int_equal(flow_value("a", FLOW_REFUSED + REFUSED_ABANDONED), 2);
    expect_line("smuxshim_gateway_cpu_seconds_total{worker=\"0\"} 0.000011");
    expect_line("smuxshim_gateway_sessions_ended_total{client=\"a\"} 2");
    expect_line("smuxshim_gateway_sessions{client=\"a\"} 0");
}

static void expect_state(bool healthy, bool ready, uint64_t after_us, const char *expected) {
    char why[200] = "";
    uint64_t now_us = loop_clock_us() + after_us;
    assert_int_equal(metrics_is_healthy(metrics, now_us, why, sizeof why), healthy);
    if (!healthy)
        assert_non_null(strstr(why, expected));
    assert_int_equal(metrics_is_ready(metrics, now_us, why, sizeof why), ready);
    if (!ready && healthy)
        assert_string_equal(why, expected);
}

static void it_is_ready_while_one_worker_serves_and_healthy_while_all_turn(void **state) {
    (void)state;
    expect_state(false, false, 0, "worker 1 has not started yet");
    metrics_use(1);
    expect_state(true, false, 0, "nobody accepts connections");
    metrics_enter(METRICS_SERVING);
    expect_state(true, false, 0, "no gateway can be reached");
    metrics_beat(true);
    expect_state(true, true, 0, NULL);
    expect_state(true, true, METRICS_STUCK_US - 1000000u, NULL);
    expect_state(false, false, METRICS_STUCK_US, "worker 0: its loop has not turned for 5.0 s");
    metrics_enter(METRICS_DRAINING);
    expect_state(true, false, 0, "draining");
    metrics_enter(METRICS_SERVING);
    metrics_drain();
    expect_state(true, false, 0, "draining");
}

/* ---- Formats ---- */

static void a_client_gets_the_format_that_it_prefers(void **state) {
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_PROMETHEUS},
        {"", METRICS_PROMETHEUS},
        {"*/*", METRICS_PROMETHEUS},
        {"text/html", METRICS_PROMETHEUS},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"application/openmetrics-text; version=1.0.0; charset=utf-8", METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
         METRICS_OPENMETRICS},
        {"application/openmetrics-text;q=0.3,text/plain;q=0.4", METRICS_PROMETHEUS},
        {"text/plain,application/openmetrics-text;q=0", METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=nonsense", METRICS_PROMETHEUS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (metrics_format_wanted(cases[i].accept) != cases[i].format)
            fail_msg("Accept: %s", cases[i].accept);
}

static void openmetrics_names_families_without_total_and_says_where_it_ends(void **state) {
    (void)state;
    metrics_add(&client("a")->value[FLOW_OPENED], 1);
    char *open = text_of(METRICS_OPENMETRICS), *plain = text_of(METRICS_PROMETHEUS);
    assert_non_null(strstr(open, "\n# TYPE smuxshim_gateway_connections_opened counter\n"));
    assert_non_null(strstr(open, "\nsmuxshim_gateway_connections_opened_total{client=\"a\"} 1\n"));
    assert_non_null(strstr(open, "# TYPE smuxshim_gateway_build info\n"));
    assert_string_equal(open + strlen(open) - 6, "# EOF\n");
    assert_non_null(strstr(plain, "\n# TYPE smuxshim_gateway_connections_opened_total counter\n"));
    assert_null(strstr(plain, "# EOF"));
    free(open);
    free(plain);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_a_row_named_after_its_kind),
        TEST(what_a_name_has_in_it_is_escaped),
        TEST(more_names_than_there_is_room_for_are_one_series),
        TEST(the_series_of_several_workers_are_added_up_by_name),
        TEST(a_time_on_a_bound_is_within_it),
        TEST(a_connection_is_counted_once_whatever_is_said_of_it),
        TEST(of_several_reasons_the_first_counts_and_none_is_abandonment),
        TEST(a_session_moves_with_its_client),
        TEST(a_worker_that_replaces_one_goes_on_with_its_counters_and_ends_what_was_open),
        TEST(it_is_ready_while_one_worker_serves_and_healthy_while_all_turn),
        TEST(a_client_gets_the_format_that_it_prefers),
        TEST(openmetrics_names_families_without_total_and_says_where_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
