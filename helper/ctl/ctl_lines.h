/* SPDX-License-Identifier: MIT */
/*
 * ctl_lines.h - the helper's events, line by line as they come.
 */
#ifndef HELPER_CTL_CTL_LINES_H
#define HELPER_CTL_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "helper/ctl/ctl.h"

struct ctl_lines {
    int fd;
    char *data;
    size_t begin, len, size; /* [begin, len) has not been looked at */
    bool ended;              /* the helper has closed the connection */
};

/* Connects to the helper and asks for its events. False after a line on stderr. */
bool ctl_lines_begin(struct ctl_lines *lines, const struct ctl_options *options);

/* The next line, without its end; valid until the next call. Waits for it up to `timeout_ms`, -1:
 * for ever. NULL: there is none yet, or lines->ended. */
const char *ctl_lines_next(struct ctl_lines *lines, int timeout_ms);

/* Closes the connection, and frees what it owns. */
void ctl_lines_end(struct ctl_lines *lines);

#endif
