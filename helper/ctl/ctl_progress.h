/* SPDX-License-Identifier: MIT */
/*
 * ctl_progress.h - what smuxctl drain --wait says: how many connections are left, and how long that
 * may take. No I/O and no clock.
 */
#ifndef HELPER_CTL_CTL_PROGRESS_H
#define HELPER_CTL_CTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Times are milliseconds of one clock. */
struct ctl_progress {
    long long began_ms;
    long long first, left;   /* connections: at the beginning, now; first < 0: not known yet */
    long long told, told_ms; /* what was said last, and when; told < 0: nothing */
};

void ctl_progress_begin(struct ctl_progress *progress, long long now_ms);
/* So many are left. */
void ctl_progress_left(struct ctl_progress *progress, long long left);

/* Whether a line is due. On a terminal, where a line replaces the one before: at every change and
 * every second; elsewhere at changes only, more seldom the longer it takes, and once in a minute in
 * any case. */
bool ctl_progress_is_due(const struct ctl_progress *progress, long long now_ms, bool terminal);

/* Writes the line, without an end, of less than `width` bytes (0: of any length), and notes that it
 * was said. Returns out. */
const char *ctl_progress_line(struct ctl_progress *progress, long long now_ms, size_t width,
                              char *out, size_t size);

#endif
