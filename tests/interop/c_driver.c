/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, POLL_US = 5000 };

static const struct scenario {
    const char *name;
    enum outcome (*run)(struct driver *d);
    bool ends_with_carrier; /* afterwards there is nobody to talk to */
} scenarios[] = {
    {"echo", run_echo, false},
    {"churn", run_churn, false},
    {"bulk-up", run_bulk_up, false},
    {"bulk-down", run_bulk_down, false},
    {"parallel", run_parallel, false},
    {"reverse", run_reverse, false},
    {"slow-reader", run_slow_reader, false},
    {"keepalive", run_keepalive, false},
    {"half-close", run_half_close, false},
    {"early-close", run_early_close, false},
    {"carrier-loss", run_carrier_loss, true},
    {"frozen", run_frozen, true},
};

uint64_t or_else(uint64_t value, uint64_t otherwise) {
    return value ? value : otherwise;
}

void detail(struct driver *d, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(d->details, sizeof d->details, format, args);
    va_end(args);
}

static enum outcome vrequest(struct driver *d, smuxb_stream **stream, const char *format,
                             va_list args) {
    char line[LINE_MAX_LEN];
    vsnprintf(line, sizeof line, format, args);
    int error = smuxb_stream_open(d->session, stream);
    if (error)
        return fail("open: %s", smuxb_error_name(error));
    enum outcome outcome = write_text(*stream, "%s\n", line);
    if (outcome != DONE)
        smuxb_stream_close(*stream);
    return outcome;
}

enum outcome request(struct driver *d, smuxb_stream **stream, const char *format, ...) {
    va_list args;
    va_start(args, format);
    enum outcome outcome = vrequest(d, stream, format, args);
    va_end(args);
    return outcome;
}

enum outcome ask(struct driver *d, char line[LINE_MAX_LEN], const char *format, ...) {
    smuxb_stream *stream;
    va_list args;
    va_start(args, format);
    enum outcome outcome = vrequest(d, &stream, format, args);
    va_end(args);
    if (outcome != DONE)
        return outcome;
    outcome = read_line(stream, line);
    smuxb_stream_close(stream);
    return outcome;
}

enum outcome ask_for(struct driver *d, const char *question, const char *want) {
    char line[LINE_MAX_LEN];
    enum outcome outcome = ask(d, line, "%s", question);
    if (outcome == DONE && strcmp(line, want) != 0)
        return fail("%s: expected %s, got %s", question, want, line);
    return outcome;
}

enum outcome await_stats(struct driver *d, const char *text) {
    char line[LINE_MAX_LEN], padded[LINE_MAX_LEN + 2];
    for (;; usleep(POLL_US)) {
        enum outcome outcome = ask(d, line, "stats");
        if (outcome != DONE)
            return outcome;
        snprintf(padded, sizeof padded, " %s ", line);
        if (strstr(padded, text))
            return DONE;
    }
}

enum outcome expect_sum(const char *line, uint64_t len, const char *sum) {
    char want[LINE_MAX_LEN];
    snprintf(want, sizeof want, "%" PRIu64 " %s", len, sum);
    return strcmp(line, want) == 0 ? DONE : fail("expected %s, got %s", want, line);
}

/* Waits until neither side has a stream left except the one that asks. */
static enum outcome settle(struct driver *d) {
    enum outcome outcome = await_stats(d, " active=1 ");
    while (outcome == DONE && smuxb_session_num_streams(d->session) > 0)
        usleep(POLL_US);
    return outcome;
}

static char watchdog_text[LINE_MAX_LEN];

static void watchdog(int signal) {
    (void)signal;
    ssize_t ignored = write(STDOUT_FILENO, watchdog_text, strlen(watchdog_text));
    (void)ignored;
    _exit(1);
}

static const struct scenario *find_scenario(const char *name) {
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    usage("--run: unknown scenario %s", name);
}

int drive(const struct options *o, smuxb_session *session) {
    const struct scenario *scenario = find_scenario(o->run);
    snprintf(watchdog_text, sizeof watchdog_text, "FAIL %s not finished after %" PRIu64 " s\n",
             o->run, o->watchdog_s);
    signal(SIGALRM, watchdog);
    alarm((unsigned)o->watchdog_s);
    struct driver d = {.o = o, .session = session};
    enum outcome outcome = scenario->run(&d);
    if (outcome == DONE && !scenario->ends_with_carrier)
        outcome = settle(&d);
    smuxb_session_close(session);
    switch (outcome) {
    case DONE:
        printf("ok %s %s\n", o->run, d.details);
        return 0;
    case SKIPPED:
        printf("skip %s %s\n", o->run, failure);
        return EXIT_SKIPPED;
    default:
        printf("FAIL %s %s\n", o->run, failure);
        return 1;
    }
}
