/* SPDX-License-Identifier: MIT */
/*
 * ctl_findings.h - what `smuxctl doctor` has found: printed as it goes, or as JSON at the end.
 */
#ifndef HELPER_CTL_CTL_FINDINGS_H
#define HELPER_CTL_CTL_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct findings {
    json_t *list; /* for JSON; NULL: each one is printed at once */
    enum finding worst;
};

void findings_init(struct findings *findings, bool json);

/* Adds one about `check`. `advice`: what to do, or NULL. */
void findings_add(struct findings *findings, enum finding result, const char *check,
                  const char *advice, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Prints what is left to print and releases it. Returns the exit status of smuxctl. */
int findings_end(struct findings *findings);

#endif
