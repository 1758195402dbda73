/* SPDX-License-Identifier: MIT */
/* ctl_status.c - smuxctl status and smuxctl names. */
#include <stdio.h>
#include <string.h>

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_client.h"
#include "helper/ctl/ctl_sample.h"

/* ---- status ---- */

static const struct ctl_column columns[] = {{"GATEWAY", .cut_to = 8},
                                            {"ADDRESS", .cut_to = 15, .leaves = 2},
                                            {"USER", .leaves = 7, .cut_to = 6},
                                            {.title = "STATE"},
                                            {"SMUX", .right = true, .leaves = 9},
                                            {"RTT", .right = true, .leaves = 3},
                                            {"SINCE", .leaves = 6},
                                            {"IN", .right = true, .leaves = 4},
                                            {"OUT", .right = true, .leaves = 4},
                                            {"STREAMS", .right = true},
                                            {"TOTAL", .right = true, .leaves = 5},
                                            {"RECONNECTS", .right = true, .leaves = 8},
                                            {"LAST ERROR", .cut_to = 12, .leaves = 1}};
#define COLUMNS (sizeof columns / sizeof *columns)

static const char *count_text(long long count, char *out, size_t size) {
    snprintf(out, size, "%lld", count);
    return out;
}

static void add_session(struct ctl_table *table, const json_t *s) {
    char user[33] = "-", version[32], rtt[32], since[32], in[32], out[32], streams[32], total[32],
         reconnects[32];
    const json_t *uid = json_object_get(s, "uid");
    bool up = ctl_number(s, "since") > 0;
    if (json_is_integer(uid))
        ctl_user((long long)json_integer_value(uid), user, sizeof user);
    snprintf(rtt, sizeof rtt, "%.2fms", (double)ctl_number(s, "rtt_us") / 1000);
    const char *const cells[COLUMNS] = {
        ctl_text(s, "gateway"),
        ctl_text(s, "address"),
        user,
        ctl_text(s, "state"),
        up ? count_text(ctl_number(s, "version"), version, sizeof version) : "-",
        up ? rtt : "-",
        ctl_since(ctl_number(s, "since"), since, sizeof since),
        ctl_bytes((double)ctl_number(s, "bytes_in"), in, sizeof in),
        ctl_bytes((double)ctl_number(s, "bytes_out"), out, sizeof out),
        count_text(ctl_number(s, "streams"), streams, sizeof streams),
        count_text(ctl_number(s, "streams_total"), total, sizeof total),
        count_text(ctl_number(s, "reconnects"), reconnects, sizeof reconnects),
        ctl_text(s, "last_error")};
    ctl_table_add(table, cells);
}

static void print_sessions(const json_t *sessions) {
    struct ctl_table table;
    ctl_table_init(&table, columns, COLUMNS);
    for (size_t i = 0; i < json_array_size(sessions); i++)
        add_session(&table, json_array_get(sessions, i));
    putchar('\n');
    ctl_table_print(&table, ctl_width(), 0, stdout);
    ctl_table_free(&table);
}

/* ---- addresses ---- */

static const struct ctl_column address_columns[] = {{"GATEWAY", .cut_to = 8},
                                                    {"ADDRESS", .cut_to = 12},
                                                    {"USER", .leaves = 4, .cut_to = 6},
                                                    {.title = "STATE"},
                                                    {"PRIORITY", .right = true, .leaves = 5},
                                                    {"WEIGHT", .right = true, .leaves = 6},
                                                    {"SESSIONS", .right = true, .leaves = 3},
                                                    {"STREAMS", .right = true},
                                                    {"FAILURES", .right = true, .leaves = 2},
                                                    {"AGAIN IN", .right = true, .leaves = 1},
                                                    {"LAST ERROR", .cut_to = 12, .leaves = 1}};
#define ADDRESS_COLUMNS (sizeof address_columns / sizeof *address_columns)

static void add_address(struct ctl_table *table, const json_t *a) {
    char user[33] = "-", priority[32], weight[32], sessions[32], streams[32], failures[32],
         again[32] = "-";
    const json_t *uid = json_object_get(a, "uid");
    if (json_is_integer(uid))
        ctl_user((long long)json_integer_value(uid), user, sizeof user);
    if (ctl_number(a, "retry_ms") > 0)
        snprintf(again, sizeof again, "%.1fs", (double)ctl_number(a, "retry_ms") / 1000);
    const char *const cells[ADDRESS_COLUMNS] = {
        ctl_text(a, "gateway"),
        ctl_text(a, "address"),
        user,
        ctl_text(a, "state"),
        count_text(ctl_number(a, "priority"), priority, sizeof priority),
        count_text(ctl_number(a, "weight"), weight, sizeof weight),
        count_text(ctl_number(a, "sessions"), sessions, sizeof sessions),
        count_text(ctl_number(a, "streams"), streams, sizeof streams),
        count_text(ctl_number(a, "failures_total"), failures, sizeof failures),
        again,
        ctl_text(a, "last_error")};
    ctl_table_add(table, cells);
}

/* A gateway with one address that is no name has nothing that its session does not say. */
static bool is_one_of_several(const json_t *addresses, const json_t *a) {
    size_t same = 0;
    for (size_t i = 0; i < json_array_size(addresses); i++)
        same +=
            strcmp(ctl_text(json_array_get(addresses, i), "gateway"), ctl_text(a, "gateway")) == 0;
    return same > 1 || strcmp(ctl_text(a, "name"), "") != 0;
}

static void print_addresses(const json_t *addresses) {
    struct ctl_table table;
    ctl_table_init(&table, address_columns, ADDRESS_COLUMNS);
    for (size_t i = 0; i < json_array_size(addresses); i++)
        if (is_one_of_several(addresses, json_array_get(addresses, i)))
            add_address(&table, json_array_get(addresses, i));
    if (table.row_count > 0) {
        putchar('\n');
        ctl_table_print(&table, ctl_width(), 0, stdout);
    }
    ctl_table_free(&table);
}

static void print_listeners(const json_t *listeners) {
    for (size_t i = 0; i < json_array_size(listeners); i++) {
        const json_t *listener = json_array_get(listeners, i);
        const json_t *addresses = json_object_get(listener, "addresses");
        printf("%s: %lld now, %lld in total, at", ctl_text(listener, "listener"),
               ctl_number(listener, "connections"), ctl_number(listener, "connections_total"));
        for (size_t j = 0; j < json_array_size(addresses); j++)
            printf(" %s", json_string_value(json_array_get(addresses, j)));
        putchar('\n');
    }
}

static void print_status(struct ctl_sample *sample) {
    const json_t *status = sample->status;
    char age[32];
    printf("helper: pid %lld, version %s, up %s%s\n", ctl_number(status, "pid"),
           ctl_text(status, "version"), ctl_age(ctl_number(status, "uptime_ms"), age, sizeof age),
           json_is_true(json_object_get(status, "draining")) ? ", draining" : "");
    printf("configuration: %s\n", ctl_text(status, "config"));
    printf("connections: %lld now, %lld in total\n", ctl_number(status, "connections"),
           ctl_number(status, "connections_total"));
    print_addresses(json_object_get(status, "addresses"));
    print_listeners(json_object_get(status, "listeners"));
    print_sessions(json_object_get(status, "sessions"));
    if (sample->count == 0)
        return;
    putchar('\n');
    ctl_sample_sort(sample, CTL_BY_BEGIN, false);
    ctl_sample_print(sample, ctl_width(), 0, stdout);
}

int ctl_status(const struct ctl_options *options) {
    struct ctl_sample sample = {0};
    if (!ctl_sample_take(&sample, options))
        return CTL_FAILED;
    if (options->json) {
        json_dumpf(sample.status, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_status(&sample);
    }
    ctl_sample_free(&sample);
    return CTL_OK;
}

/* ---- names ---- */

static void print_names(const json_t *names) {
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *one = json_array_get(names, i);
        printf("%-15s %-39s %s\n", ctl_text(one, "ipv4"), ctl_text(one, "ipv6"),
               ctl_text(one, "name"));
    }
}

int ctl_names(const struct ctl_options *options) {
    json_t *answer = ctl_ask_helper(options, json_pack("{s:s}", "command", "names"), NULL);
    if (!answer)
        return CTL_FAILED;
    if (options->json) {
        json_dumpf(json_object_get(answer, "names"), stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_names(json_object_get(answer, "names"));
    }
    json_decref(answer);
    return CTL_OK;
}
