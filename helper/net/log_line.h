/* SPDX-License-Identifier: MIT */
/*
 * log_line.h - what a line of the log looks like, as text and as JSON. No I/O, no state.
 *
 * Texts may hold anything, as peers choose much of them. What comes out is one line of valid UTF-8
 * without control characters, of at most LOG_LINE_MAX bytes: what is too long is cut.
 */
#ifndef HELPER_NET_LOG_LINE_H
#define HELPER_NET_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* What a line is about. A text line says it before the message, in the order of these fields:
 * "gateway main: 10.0.0.2:7443: stream 3: "; in JSON each is a member. NULL or 0: not known. */
struct log_subject {
    const char *listener; /* of a proxy, through which a program came */
    const char *from;     /* its address, if pid and uid are unknown */
    pid_t pid;            /* of the program that has asked for something; in JSON "from_pid" */
    unsigned uid;         /* of its user; in JSON "from_uid" */
    bool has_uid;
    const char *gateway;
    const char *peer; /* of a carrier: an address, which " via BALANCER" or " (CLIENT)" may follow;
                         in JSON these are "via" and "client" */
    uint32_t stream;
    /* The message says these by itself, and a line of JSON has them as members, too. */
    const char *destination;
    const char *file;
    unsigned line; /* of the file */
};

struct log_event {
    int level; /* syslog's */
    struct timespec when;
    const char *program;
    pid_t pid;
    const struct log_subject *about; /* NULL: nothing in particular */
    const char *message;
};

#define LOG_LINE_MAX 4096

/* A line; `text` is not terminated. */
struct log_line {
    size_t len;
    char text[LOG_LINE_MAX];
};

/* Each appends to the line, without a newline, and leaves room for one. */

/* The subject and the message: what a log that knows time, program and level by itself is told. */
void log_line_message(struct log_line *line, const struct log_event *event);
/* The same behind time, program, pid and level. */
void log_line_text(struct log_line *line, const struct log_event *event);
/* An object with the members time, level, program, pid, those of the subject, and message. */
void log_line_json(struct log_line *line, const struct log_event *event);

/* A time of the day, with this many digits (up to 6) behind the point of the second:
 * 2026-11-30T05:57:07.123Z. */
#define LOG_STAMP_SIZE 32
void log_stamp_of(char out[LOG_STAMP_SIZE], const struct timespec *when, int digits);

/* error, warn, info or debug. */
const char *log_level_name(int level);

#endif
