/* SPDX-License-Identifier: MIT */
/* log.c - see log.h. */
#include "helper/net/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "helper/net/file_broker.h"

/* Users whose lines are counted separately in one second; these are enough to use up the lines of
 * all users. */
#define USERS_MAX 64

struct user_budget {
    unsigned uid;
    struct log_budget budget;
};

static struct {
    const char *ident;
    char *path; /* NULL: stderr or syslog */
    bool to_syslog, to_journal;
    int fd;
    int level;
    enum config_log_format format;
    struct log_budget own, users; /* of the process, and of all users together */
    struct log_kind *kinds;       /* of which a line was written or suppressed */
    struct user_budget user[USERS_MAX];
    uint64_t suppressed;
} state = {.ident = "smux", .fd = STDERR_FILENO, .level = LOG_INFO};

/* Whether this is the stream that systemd has opened to its journal. */
static bool is_journal(int fd) {
    const char *stream = getenv("JOURNAL_STREAM");
    char own[48];
    struct stat st;
    if (!stream || fstat(fd, &st) < 0)
        return false;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(own, stream) == 0;
}

int log_open(const char *ident, const char *target, int level, enum config_log_format format) {
    bool to_syslog = strcmp(target, "syslog") == 0;
    bool to_stderr = strcmp(target, "stderr") == 0;
    char *path = NULL;
    int fd = STDERR_FILENO;
    if (!to_syslog && !to_stderr) {
        fd = file_open(target, FILE_APPEND);
        if (fd < 0)
            return fd;
        path = strdup(target);
    }
    if (state.path)
        close(state.fd);
    free(state.path);
    state.ident = ident;
    state.level = level;
    state.format = format;
    state.path = path;
    state.fd = fd;
    state.to_syslog = to_syslog;
    state.to_journal = to_stderr && is_journal(fd);
    if (to_syslog)
        openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
    return 0;
}

void log_reopen(void) {
    if (!state.path)
        return;
    int fd = file_open(state.path, FILE_APPEND);
    if (fd < 0) {
        log_about(LOG_ERR, ABOUT(.file = state.path), "log file %s: cannot be opened again: %s",
                  state.path, strerror(-fd));
        return;
    }
    close(state.fd);
    state.fd = fd;
}

void log_set_level(int level) {
    state.level = level;
}

void log_set_format(enum config_log_format format) {
    state.format = format;
}

bool log_wants(int level) {
    return level <= state.level;
}

void log_stamp(char out[LOG_STAMP_SIZE]) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    log_stamp_of(out, &now, 3);
}

/* A log that cannot be written is not reported anywhere. */
static void put_event(const struct log_event *event) {
    struct log_line line = {.len = 0};
    if (state.to_journal)
        line.len = (size_t)sprintf(line.text, "<%d>", event->level);
    if (state.format == CONFIG_LOG_JSON)
        log_line_json(&line, event);
    else if (state.to_journal || state.to_syslog)
        log_line_message(&line, event);
    else
        log_line_text(&line, event);
    if (state.to_syslog) {
        syslog(event->level, "%.*s", (int)line.len, line.text);
        return;
    }
    line.text[line.len++] = '\n';
    ssize_t written = write(state.fd, line.text, line.len);
    (void)written;
}

static void put_line(int level, const struct log_subject *about, const char *text) {
    struct log_event event = {
        .level = level, .program = state.ident, .pid = getpid(), .about = about, .message = text};
    clock_gettime(CLOCK_REALTIME, &event.when);
    put_event(&event);
}

/* ---- Budgets ---- */

/* Begins a new second. True if something was suppressed in the old one: *missed lines. */
static bool roll(struct log_budget *budget, uint64_t now, unsigned *missed) {
    *missed = budget->missed;
    if (budget->second == now)
        return false;
    *budget = (struct log_budget){.second = now};
    return *missed > 0;
}

static bool spend(struct log_budget *budget, unsigned limit) {
    bool any = budget->lines < limit;
    state.suppressed += !any;
    *(any ? &budget->lines : &budget->missed) += 1;
    return any;
}

uint64_t log_suppressed(void) {
    return state.suppressed;
}

/* Logs how much was suppressed before this second. */
static void begin_second(uint64_t now) {
    char text[80];
    unsigned missed;
    if (state.own.second == now)
        return;
    for (struct user_budget *user = state.user; user < state.user + USERS_MAX; user++) {
        if (!roll(&user->budget, now, &missed))
            continue;
        snprintf(text, sizeof text, "%u lines about uid %u suppressed", missed, user->uid);
        put_line(LOG_WARNING, NULL, text);
    }
    if (roll(&state.users, now, &missed)) {
        snprintf(text, sizeof text, "%u lines about users suppressed", missed);
        put_line(LOG_WARNING, NULL, text);
    }
    for (struct log_kind *kind = state.kinds; kind; kind = kind->next) {
        if (!roll(&kind->budget, now, &missed))
            continue;
        snprintf(text, sizeof text, "%u lines suppressed: %s", missed, kind->what);
        put_line(LOG_WARNING, NULL, text);
    }
    if (roll(&state.own, now, &missed)) {
        snprintf(text, sizeof text, "%u lines suppressed", missed);
        put_line(LOG_WARNING, NULL, text);
    }
}

/* Finds the user's budget, or a place for it that nobody uses in this second. NULL if there is
 * none. */
static struct user_budget *find_user(unsigned uid) {
    struct user_budget *unused = NULL;
    for (struct user_budget *user = state.user; user < state.user + USERS_MAX; user++) {
        bool used = user->budget.lines > 0;
        if (used && user->uid == uid)
            return user;
        if (!used)
            unused = user;
    }
    if (unused)
        unused->uid = uid;
    return unused;
}

static void begin_line(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    begin_second((uint64_t)now.tv_sec + 1); /* 0: never */
}

static bool admit_user(unsigned uid) {
    if (uid == geteuid())
        return spend(&state.own, LOG_LINES_PER_SECOND);
    struct user_budget *user = find_user(uid);
    return user ? spend(&user->budget, LOG_USER_LINES_PER_SECOND) &&
                      spend(&state.users, LOG_USERS_LINES_PER_SECOND)
                : spend(&state.users, 0);
}

/* ---- Lines ---- */

#define MESSAGE_MAX 1200

static void log_text(int level, const struct log_subject *about, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void log_text(int level, const struct log_subject *about, const char *format, va_list args) {
    char text[MESSAGE_MAX];
    if (vsnprintf(text, sizeof text, format, args) >= MESSAGE_MAX)
        memcpy(text + sizeof text - sizeof "...", "...", sizeof "...");
    put_line(level, about, text);
}

static void log_own(int level, const struct log_subject *about, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void log_own(int level, const struct log_subject *about, const char *format, va_list args) {
    int saved = errno;
    begin_line();
    if (spend(&state.own, LOG_LINES_PER_SECOND)) {
        errno = saved;
        log_text(level, about, format, args);
    }
    errno = saved;
}

void log_at(int level, const char *format, ...) {
    va_list args;
    if (!log_wants(level))
        return;
    va_start(args, format);
    log_own(level, NULL, format, args);
    va_end(args);
}

void log_about(int level, const struct log_subject *about, const char *format, ...) {
    va_list args;
    if (!log_wants(level))
        return;
    va_start(args, format);
    log_own(level, about, format, args);
    va_end(args);
}

static bool admit_kind(struct log_kind *kind) {
    if (!kind->known) {
        kind->known = true;
        kind->next = state.kinds;
        state.kinds = kind;
    }
    return spend(&kind->budget, LOG_KIND_LINES_PER_SECOND);
}

void log_few(struct log_kind *kind, int level, const struct log_subject *about, const char *format,
             ...) {
    int saved = errno;
    va_list args;
    if (!log_wants(level))
        return;
    begin_line();
    if (admit_kind(kind)) {
        errno = saved;
        va_start(args, format);
        log_text(level, about, format, args);
        va_end(args);
    }
    errno = saved;
}

void log_of(int level, const struct log_subject *about, const char *format, ...) {
    int saved = errno;
    va_list args;
    if (!log_wants(level))
        return;
    begin_line();
    if (admit_user(about->uid)) {
        errno = saved;
        va_start(args, format);
        struct log_subject whole = *about;
        whole.has_uid = true;
        log_text(level, &whole, format, args);
        va_end(args);
    }
    errno = saved;
}
