/* SPDX-License-Identifier: MIT */
/* log.c - see log.h. */
#include "helper/net/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    bool to_syslog;
    int fd;
    int level;
    struct log_budget own, users; /* of the process, and of all users together */
    struct log_kind *kinds;       /* of which a line was written or suppressed */
    struct user_budget user[USERS_MAX];
} state = {.ident = "smux", .fd = STDERR_FILENO, .level = LOG_INFO};

static const struct {
    const char *name;
    int level;
} level_names[] = {
    {"error", LOG_ERR}, {"warn", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};

#define LEVEL_COUNT (sizeof level_names / sizeof *level_names)

int log_open(const char *ident, const char *target, int level) {
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
    state.path = path;
    state.fd = fd;
    state.to_syslog = to_syslog;
    if (to_syslog)
        openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
    return 0;
}

void log_reopen(void) {
    if (!state.path)
        return;
    int fd = file_open(state.path, FILE_APPEND);
    if (fd < 0) {
        log_error("log file %s cannot be opened again: %s", state.path, strerror(-fd));
        return;
    }
    close(state.fd);
    state.fd = fd;
}

void log_set_level(int level) {
    state.level = level;
}

static const char *level_name(int level) {
    for (size_t i = 0; i < LEVEL_COUNT; i++)
        if (level_names[i].level == level)
            return level_names[i].name;
    return "error";
}

bool log_wants(int level) {
    return level <= state.level;
}

void log_stamp(char out[LOG_STAMP_SIZE]) {
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t len = strftime(out, LOG_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, LOG_STAMP_SIZE - len, ".%03ldZ", now.tv_nsec / 1000000);
}

static void put_line(int level, const char *text) {
    char line[1400], stamp[LOG_STAMP_SIZE];
    if (state.to_syslog) {
        syslog(level, "%s", text);
        return;
    }
    log_stamp(stamp);
    int len = snprintf(line, sizeof line, "%s %s[%d] %s: %s\n", stamp, state.ident, (int)getpid(),
                       level_name(level), text);
    if (len >= (int)sizeof line) {
        len = sizeof line - 1;
        line[len - 1] = '\n';
    }
    /* A log that cannot be written is not reported anywhere. */
    ssize_t written = write(state.fd, line, (size_t)len);
    (void)written;
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
    *(any ? &budget->lines : &budget->missed) += 1;
    return any;
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
        put_line(LOG_WARNING, text);
    }
    if (roll(&state.users, now, &missed)) {
        snprintf(text, sizeof text, "%u lines about users suppressed", missed);
        put_line(LOG_WARNING, text);
    }
    for (struct log_kind *kind = state.kinds; kind; kind = kind->next) {
        if (!roll(&kind->budget, now, &missed))
            continue;
        snprintf(text, sizeof text, "%u lines suppressed: %s", missed, kind->what);
        put_line(LOG_WARNING, text);
    }
    if (roll(&state.own, now, &missed)) {
        snprintf(text, sizeof text, "%u lines suppressed", missed);
        put_line(LOG_WARNING, text);
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

static void log_text(int level, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void log_text(int level, const char *format, va_list args) {
    char text[1200];
    vsnprintf(text, sizeof text, format, args);
    /* Names come from untrusted peers, so control characters are replaced: a line stays one
     * line. */
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    put_line(level, text);
}

void log_at(int level, const char *format, ...) {
    int saved = errno;
    va_list args;
    if (!log_wants(level))
        return;
    begin_line();
    if (spend(&state.own, LOG_LINES_PER_SECOND)) {
        errno = saved;
        va_start(args, format);
        log_text(level, format, args);
        va_end(args);
    }
    errno = saved;
}

static bool admit_kind(struct log_kind *kind) {
    if (!kind->known) {
        kind->known = true;
        kind->next = state.kinds;
        state.kinds = kind;
    }
    return spend(&kind->budget, LOG_KIND_LINES_PER_SECOND);
}

void log_few(struct log_kind *kind, int level, const char *format, ...) {
    int saved = errno;
    va_list args;
    if (!log_wants(level))
        return;
    begin_line();
    if (admit_kind(kind)) {
        errno = saved;
        va_start(args, format);
        log_text(level, format, args);
        va_end(args);
    }
    errno = saved;
}

void log_of(unsigned uid, int level, const char *format, ...) {
    int saved = errno;
    va_list args;
    if (!log_wants(level))
        return;
    begin_line();
    if (admit_user(uid)) {
        errno = saved;
        va_start(args, format);
        log_text(level, format, args);
        va_end(args);
    }
    errno = saved;
}
