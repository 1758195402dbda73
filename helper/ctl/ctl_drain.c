/* SPDX-License-Identifier: MIT */
/* ctl_drain.c - smuxctl drain and upgrade, with --wait until the helper has ended. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "helper/ctl/ctl_client.h"
#include "helper/ctl/ctl_lines.h"
#include "helper/ctl/ctl_progress.h"
#include "helper/ctl/ctl_table.h"

/* How often to look whether a line is due. */
#define LOOK_MS 1000

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void note(struct ctl_progress *progress, const char *line) {
    json_error_t error;
    json_t *event = json_loads(line, 0, &error);
    const json_t *left = json_object_get(event, "connections");
    if (json_is_integer(left))
        ctl_progress_left(progress, (long long)json_integer_value(left));
    json_decref(event);
}

static void tell(struct ctl_progress *progress, bool terminal) {
    char line[160];
    ctl_progress_line(progress, now_ms(), terminal ? ctl_width() : 0, line, sizeof line);
    printf(terminal ? "\r\033[K%s" : "%s\n", line);
    fflush(stdout);
}

static void follow(struct ctl_progress *progress, struct ctl_lines *lines, bool terminal) {
    while (!lines->ended) {
        const char *line = ctl_lines_next(lines, LOOK_MS);
        if (line)
            note(progress, line);
        if (ctl_progress_is_due(progress, now_ms(), terminal))
            tell(progress, terminal);
    }
    if (terminal && progress->told >= 0)
        putchar('\n');
}

/* Listens before the drain begins, because afterwards another helper may answer. */
static int wait_for_end(const struct ctl_options *options,
                        int (*begin)(const struct ctl_options *)) {
    struct ctl_progress progress;
    struct ctl_lines lines;
    if (!ctl_lines_begin(&lines, options))
        return CTL_FAILED;
    ctl_progress_begin(&progress, now_ms());
    int status = begin(options);
    if (status == CTL_OK)
        follow(&progress, &lines, isatty(STDOUT_FILENO));
    ctl_lines_end(&lines);
    if (status != CTL_OK)
        return status;
    if (progress.left > 0) {
        fprintf(stderr, "smuxctl: the helper has ended with connections open: %lld\n",
                progress.left);
        return CTL_FAILED;
    }
    puts("drained");
    return CTL_OK;
}

static int drain(const struct ctl_options *options) {
    return ctl_simple(options, "drain");
}

int ctl_drain(const struct ctl_options *options) {
    return options->wait ? wait_for_end(options, drain) : drain(options);
}

/* ---- upgrade ---- */

static int upgrade(const struct ctl_options *options) {
    json_t *answer = ctl_ask_helper(options, json_pack("{s:s}", "command", "upgrade"), NULL);
    if (!answer)
        return CTL_FAILED;
    printf("upgraded: pid %lld serves new connections, %lld are left to the old helper\n",
           (long long)json_integer_value(json_object_get(answer, "pid")),
           (long long)json_integer_value(json_object_get(answer, "connections")));
    json_decref(answer);
    return CTL_OK;
}

int ctl_upgrade(const struct ctl_options *options) {
    return options->wait ? wait_for_end(options, upgrade) : upgrade(options);
}
