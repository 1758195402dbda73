/* SPDX-License-Identifier: MIT */
/* ctl_events.c - smuxctl events. */
#include <stdio.h>

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_lines.h"

int ctl_events(const struct ctl_options *options) {
    struct ctl_lines lines;
    const char *line;
    if (!ctl_lines_begin(&lines, options))
        return CTL_FAILED;
    while ((line = ctl_lines_next(&lines, -1)))
        if (puts(line) < 0 || fflush(stdout) != 0)
            break;
    if (!line)
        fputs("smuxctl: the helper has ended\n", stderr);
    ctl_lines_end(&lines);
    return CTL_FAILED;
}
