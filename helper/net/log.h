/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line per event: who, what, why. Never payload.
 *
 * Levels are syslog's (LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG). The log is the process's: set up
 * once by log_open, before any thread exists. errno survives every call.
 *
 * The lines of all programs use the same words for the same thing: a gateway, a carrier, a session,
 * a stream, a client ([client NAME]), a route, a program and its connect; a session begins and
 * ends, a carrier is refused or closed. Whom a line is about is not said in the message but in the
 * subject: log_about(LOG_INFO, ABOUT(.peer = carrier->peer), "session begins"). What failed comes
 * first and then the reason, behind a colon: "cannot be read: Permission denied".
 */
#ifndef HELPER_NET_LOG_H
#define HELPER_NET_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#include "core/common/key_table.h"
#include "helper/net/log_line.h"

/* `target` is "stderr", "syslog" or the path of a file, opened for appending. `ident` must outlive
 * the log. Lines to a stderr that is systemd's journal (JOURNAL_STREAM) begin with their priority,
 * "<N>", and leave out what the journal notes by itself. Returns 0, or a negative errno if the file
 * cannot be opened (the old target stays). */
int log_open(const char *ident, const char *target, int level, enum config_log_format format);

/* Opens the target file again, after it has been rotated away. */
void log_reopen(void);

void log_set_level(int level);
void log_set_format(enum config_log_format format);

/* Writes the time of day as log lines begin with it: 2026-11-30T05:57:07.123Z. */
void log_stamp(char out[LOG_STAMP_SIZE]);

/* True if lines of this level are written; lets callers skip texts that are costly to make. */
bool log_wants(int level);

/* Writes a line. Beyond LOG_LINES_PER_SECOND in a second, lines are only counted and their number
 * is logged afterwards, so that a hostile client cannot fill a disk. */
void log_at(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The subject of a line, for the calls below: ABOUT(.gateway = name, .peer = peer). */
#define ABOUT(...) (&(const struct log_subject){__VA_ARGS__})

/* The same for a line that is about something. */
void log_about(int level, const struct log_subject *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a line that a local user, about->uid, has caused. Each user may cause a small number
 * of lines per second, and all users together half as many as the process itself; these do not
 * count against the process's own limit. Lines of the process's own user count as the process's. */
void log_of(int level, const struct log_subject *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines of one second. */
struct log_budget {
    uint64_t second;
    unsigned lines;  /* written in it */
    unsigned missed; /* suppressed in it */
};

/* A kind of line that anybody on the network can cause. Static; `what` is set, the rest zeroed. */
struct log_kind {
    const char *what; /* the lines say, for that of how many were suppressed */
    struct log_budget budget;
    struct log_kind *next;
    bool known;
};

/* The same for a line of such a kind: a few per second, and then only how many more there were.
 * They do not count against the process's own limit. */
void log_few(struct log_kind *kind, int level, const struct log_subject *about, const char *format,
             ...) __attribute__((format(printf, 4, 5)));

/* How many lines were suppressed since the start, of all kinds. */
uint64_t log_suppressed(void);

#define LOG_LINES_PER_SECOND       500
#define LOG_KIND_LINES_PER_SECOND  25
#define LOG_USERS_LINES_PER_SECOND 250
#define LOG_USER_LINES_PER_SECOND  50

#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_wants(LOG_DEBUG))                                                                  \
            log_at(LOG_DEBUG, __VA_ARGS__);                                                        \
    } while (0)

#endif
