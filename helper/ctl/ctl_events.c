/* SPDX-License-Identifier: MIT */
/* ctl_events.c - smuxctl events, and smuxctl drain --wait, which follows the same lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_client.h"

/* ---- Lines of the helper ---- */

struct events {
    FILE *lines; /* the connection, read line by line */
    char *line;
    size_t size;
};

/* The next line, without its end. NULL: the helper has closed the connection. */
static const char *next_line(struct events *events) {
    ssize_t len = getline(&events->line, &events->size, events->lines);
    if (len <= 0 || events->line[len - 1] != '\n')
        return NULL; /* the helper has ended in the middle of a line */
    events->line[len - 1] = '\0';
    return events->line;
}

/* Whether the first line says that the others will follow; else prints why not. */
static bool is_welcome(struct events *events) {
    json_error_t error;
    const char *line = next_line(events);
    json_t *answer = line ? json_loads(line, 0, &error) : NULL;
    bool good = json_is_true(json_object_get(answer, "ok"));
    const char *why = json_string_value(json_object_get(answer, "error"));
    if (!good)
        fprintf(stderr, "smuxctl: %s\n", why ? why : "expected events, but the helper sends none");
    json_decref(answer);
    return good;
}

static void events_end(struct events *events) {
    if (events->lines)
        fclose(events->lines);
    free(events->line);
}

static bool events_begin(struct events *events, const struct ctl_options *options) {
    *events = (struct events){0};
    int fd = ctl_connect_helper(options, false);
    if (fd < 0)
        return false;
    events->lines = fdopen(fd, "r");
    if (!events->lines) {
        close(fd);
        return false;
    }
    if (ctl_send(fd, json_pack("{s:s}", "command", "events")) && is_welcome(events))
        return true;
    events_end(events);
    return false;
}

/* ---- events ---- */

int ctl_events(const struct ctl_options *options) {
    struct events events;
    const char *line;
    if (!events_begin(&events, options))
        return CTL_FAILED;
    while ((line = next_line(&events)))
        if (puts(line) < 0 || fflush(stdout) != 0)
            break;
    if (!line)
        fputs("smuxctl: the helper has ended\n", stderr);
    events_end(&events);
    return CTL_FAILED;
}

/* ---- drain --wait ---- */

struct progress {
    long long left, told; /* connections */
    time_t began, told_at;
    bool terminal;
};

static time_t now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void tell(struct progress *progress) {
    char age[32];
    ctl_age((long long)(now_s() - progress->began) * 1000, age, sizeof age);
    printf("%sdraining for %s, connections left: %lld%s", progress->terminal ? "\r\033[K" : "", age,
           progress->left, progress->terminal ? "" : "\n");
    fflush(stdout);
    progress->told = progress->left;
    progress->told_at = now_s();
}

/* On a terminal every change is shown, in one line; elsewhere one in a second. */
static void follow(struct progress *progress, struct events *events) {
    const char *line;
    json_error_t error;
    while ((line = next_line(events))) {
        json_t *event = json_loads(line, 0, &error);
        const json_t *left = json_object_get(event, "connections");
        if (json_is_integer(left))
            progress->left = (long long)json_integer_value(left);
        json_decref(event);
        if (progress->told < 0 || (progress->left != progress->told &&
                                   (progress->terminal || now_s() != progress->told_at)))
            tell(progress);
    }
}

/* Listens before the drain begins, because afterwards another helper may answer. */
int ctl_drain_wait(const struct ctl_options *options) {
    struct progress progress = {.told = -1, .began = now_s(), .terminal = isatty(STDOUT_FILENO)};
    struct events events;
    if (!events_begin(&events, options))
        return CTL_FAILED;
    int status = ctl_simple(options, "drain");
    if (status == CTL_OK)
        follow(&progress, &events);
    events_end(&events);
    if (status != CTL_OK)
        return status;
    if (progress.terminal)
        putchar('\n');
    if (progress.left > 0) {
        fprintf(stderr, "smuxctl: the helper has ended with connections open: %lld\n",
                progress.left);
        return CTL_FAILED;
    }
    puts("drained");
    return CTL_OK;
}
