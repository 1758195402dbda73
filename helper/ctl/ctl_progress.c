/* SPDX-License-Identifier: MIT */
/* ctl_progress.c - see ctl_progress.h. */
#include "helper/ctl/ctl_progress.h"

#include <stdio.h>
#include <string.h>

#include "helper/ctl/ctl_text.h"

#define SECOND_MS 1000
#define MINUTE_MS 60000

/* Nobody has so many connections, or so much time. */
#define LEFT_MAX    1000000000ll
#define REST_MAX_MS 1e15

void ctl_progress_begin(struct ctl_progress *progress, long long now_ms) {
    *progress = (struct ctl_progress){.began_ms = now_ms, .first = -1, .told = -1};
}

/* More may come at the beginning, of programs whose request was under way. */
void ctl_progress_left(struct ctl_progress *progress, long long left) {
    progress->left = left < 0 ? 0 : left < LEFT_MAX ? left : LEFT_MAX;
    if (progress->left > progress->first)
        progress->first = progress->left;
}

/* Elsewhere than on a terminal: the least time between two lines. */
static long long pause_ms(long long elapsed_ms) {
    if (elapsed_ms < 10 * SECOND_MS)
        return SECOND_MS;
    return elapsed_ms < 10 * MINUTE_MS ? 10 * SECOND_MS : MINUTE_MS;
}

bool ctl_progress_is_due(const struct ctl_progress *progress, long long now_ms, bool terminal) {
    long long since_ms = now_ms - progress->told_ms;
    bool changed = progress->left != progress->told;
    if (progress->first < 0)
        return false;
    if (progress->told < 0)
        return true;
    if (terminal)
        return changed || since_ms >= SECOND_MS;
    return since_ms >= (changed ? pause_ms(now_ms - progress->began_ms) : MINUTE_MS);
}

/* How long the others take if they end as those before; -1: nobody knows. The time that passes
 * without an end makes it longer. */
static long long rest_ms(const struct ctl_progress *progress, long long now_ms) {
    long long ended = progress->first - progress->left;
    double elapsed_ms = (double)(now_ms - progress->began_ms);
    if (ended == 0)
        return -1;
    double rest = elapsed_ms * (double)progress->left / (double)ended;
    return rest < REST_MAX_MS ? (long long)rest : (long long)REST_MAX_MS;
}

static void expectation(const struct ctl_progress *progress, long long now_ms, char *out,
                        size_t size) {
    char age[32];
    long long ms = rest_ms(progress, now_ms);
    if (progress->left == 0)
        out[0] = '\0';
    else if (ms < 0)
        snprintf(out, size, ", none has ended yet");
    else
        snprintf(out, size, ", about %s more at this rate",
                 ctl_age((ms + SECOND_MS - 1) / SECOND_MS * SECOND_MS, age, sizeof age));
}

const char *ctl_progress_line(struct ctl_progress *progress, long long now_ms, size_t width,
                              char *out, size_t size) {
    char age[32], rest[64];
    progress->told = progress->left;
    progress->told_ms = now_ms;
    ctl_age(now_ms - progress->began_ms, age, sizeof age);
    expectation(progress, now_ms, rest, sizeof rest);
    snprintf(out, size, "draining for %s, connections left: %lld of %lld%s", age, progress->left,
             progress->first, rest);
    if (width && strlen(out) >= width)
        snprintf(out, size, "%lld of %lld left%s", progress->left, progress->first, rest);
    if (width && strlen(out) >= width)
        snprintf(out, size < width ? size : width, "%lld of %lld left", progress->left,
                 progress->first);
    return out;
}
