/* SPDX-License-Identifier: MIT */
/* ctl_streams.c - smuxctl streams: once, or again and again. */
#include <stdio.h>
#include <unistd.h>

#include "helper/ctl/ctl_sample.h"

#define INTERVAL_S 1

/* With --watch one array in each line, so that a reader can tell them apart. */
static void print_json(const struct ctl_sample *sample, bool watch) {
    json_t *list = json_array();
    for (size_t i = 0; i < sample->count; i++)
        json_array_append(list, sample->streams[i].object);
    json_dumpf(list, stdout, watch ? JSON_COMPACT : JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

/* A terminal shows the newest only. */
static void separate(bool first) {
    if (isatty(STDOUT_FILENO))
        fputs("\033[H\033[J", stdout);
    else if (!first)
        putchar('\n');
}

int ctl_streams(const struct ctl_options *options) {
    struct ctl_sample sample = {0};
    bool first = true;
    while (ctl_sample_take(&sample, options)) {
        ctl_sample_sort(&sample, CTL_BY_BEGIN, false);
        if (options->watch && !options->json)
            separate(first);
        if (options->json)
            print_json(&sample, options->watch);
        else
            ctl_sample_print(&sample, ctl_width(), 0, stdout);
        if (!options->watch || fflush(stdout) != 0)
            break;
        first = false;
        sleep(INTERVAL_S);
    }
    bool good = sample.status;
    ctl_sample_free(&sample);
    return good ? CTL_OK : CTL_FAILED;
}
