/* SPDX-License-Identifier: MIT */
/* ctl_findings.c - see ctl_findings.h. */
#include "helper/ctl/ctl_findings.h"

#include <stdarg.h>
#include <stdio.h>

#include "helper/ctl/ctl.h"

#define TEXT_SIZE 2000

static const char *const result_names[] = {"ok", "warn", "fail"};

void findings_init(struct findings *findings, bool json) {
    *findings = (struct findings){.list = json ? json_array() : NULL};
}

static void print(enum finding result, const char *check, const char *text, const char *advice) {
    printf("%-4s  %-14s  %s\n", result_names[result], check, text);
    if (advice)
        printf("      %-14s  -> %s\n", "", advice);
    fflush(stdout); /* the next check may take seconds */
}

void findings_add(struct findings *findings, enum finding result, const char *check,
                  const char *advice, const char *format, ...) {
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (result > findings->worst)
        findings->worst = result;
    if (!findings->list)
        print(result, check, text, advice);
    else
        json_array_append_new(findings->list,
                              json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "result",
                                        result_names[result], "text", text, "advice", advice));
}

int findings_end(struct findings *findings) {
    if (findings->list) {
        json_t *all = json_pack("{s:s, s:o}", "result", result_names[findings->worst], "checks",
                                findings->list);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    }
    return findings->worst == FINDING_FAIL ? CTL_FAILED : CTL_OK;
}
