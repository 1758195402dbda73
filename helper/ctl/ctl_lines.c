/* SPDX-License-Identifier: MIT */
/* ctl_lines.c - see ctl_lines.h. */
#include "helper/ctl/ctl_lines.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/ctl/ctl_client.h"

/* What is read at once. */
#define STEP 65536u

/* A line that is longer is none of ours. */
#define LINE_MAX_BYTES (1024u * 1024u)

/* Makes room behind what has not been looked at. */
static bool make_room(struct ctl_lines *lines) {
    size_t left = lines->len - lines->begin;
    if (lines->begin > 0)
        memmove(lines->data, lines->data + lines->begin, left);
    lines->begin = 0;
    lines->len = left;
    if (lines->size - left >= STEP)
        return true;
    if (left > LINE_MAX_BYTES)
        return false;
    char *data = realloc(lines->data, left + 2 * STEP);
    if (!data)
        return false;
    lines->data = data;
    lines->size = left + 2 * STEP;
    return true;
}

/* The line that is there already, or NULL. */
static const char *take_line(struct ctl_lines *lines) {
    size_t left = lines->len - lines->begin;
    char *line = left ? lines->data + lines->begin : NULL;
    char *end = left ? memchr(line, '\n', left) : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    lines->begin += (size_t)(end - line) + 1;
    return line;
}

/* False: the time is over. A helper that ends in the middle of a line has ended. */
static bool read_more(struct ctl_lines *lines, int timeout_ms) {
    struct pollfd p = {.fd = lines->fd, .events = POLLIN};
    int ready = poll(&p, 1, timeout_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR))
        return false;
    ssize_t n = ready > 0 && make_room(lines)
                    ? read(lines->fd, lines->data + lines->len, lines->size - lines->len)
                    : -1;
    if (n > 0)
        lines->len += (size_t)n;
    else
        lines->ended = true;
    return true;
}

const char *ctl_lines_next(struct ctl_lines *lines, int timeout_ms) {
    const char *line;
    while (!(line = take_line(lines)) && !lines->ended)
        if (!read_more(lines, timeout_ms) && timeout_ms >= 0)
            return NULL;
    return line;
}

/* Whether the first line says that the others will follow; else prints why not. */
static bool is_welcome(struct ctl_lines *lines) {
    json_error_t error;
    const char *line = ctl_lines_next(lines, -1);
    json_t *answer = line ? json_loads(line, 0, &error) : NULL;
    bool good = json_is_true(json_object_get(answer, "ok"));
    const char *why = json_string_value(json_object_get(answer, "error"));
    if (!good)
        fprintf(stderr, "smuxctl: %s\n", why ? why : "expected events, but the helper sends none");
    json_decref(answer);
    return good;
}

bool ctl_lines_begin(struct ctl_lines *lines, const struct ctl_options *options) {
    *lines = (struct ctl_lines){.fd = ctl_connect_helper(options, false)};
    if (lines->fd < 0)
        return false;
    if (ctl_send(lines->fd, json_pack("{s:s}", "command", "events")) && is_welcome(lines))
        return true;
    ctl_lines_end(lines);
    return false;
}

void ctl_lines_end(struct ctl_lines *lines) {
    close(lines->fd);
    free(lines->data);
}
