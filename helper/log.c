/* log.c - see log.h. */
#include "helper/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *ident;
    char *path; /* NULL: stderr or syslog */
    bool to_syslog;
    int fd;
    int level;
    time_t second;   /* of the lines counted below */
    unsigned lines;  /* written in that second */
    unsigned missed; /* suppressed in that second */
} state = {.ident = "smux", .fd = STDERR_FILENO, .level = LOG_INFO};

static const struct {
    const char *name;
    int level;
} level_names[] = {
    {"error", LOG_ERR}, {"warn", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};

#define LEVEL_COUNT (sizeof level_names / sizeof *level_names)

static int open_file(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

int log_open(const char *ident, const char *target, int level) {
    bool to_syslog = strcmp(target, "syslog") == 0;
    bool to_stderr = strcmp(target, "stderr") == 0;
    char *path = NULL;
    int fd = STDERR_FILENO;
    if (!to_syslog && !to_stderr) {
        fd = open_file(target);
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
        openlog(ident, LOG_PID, LOG_DAEMON);
    return 0;
}

void log_reopen(void) {
    if (!state.path)
        return;
    int fd = open_file(state.path);
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

int log_level_from_name(const char *name) {
    for (size_t i = 0; i < LEVEL_COUNT; i++)
        if (strcmp(level_names[i].name, name) == 0)
            return level_names[i].level;
    return -1;
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

static void put_line(int level, const char *text) {
    char line[1400], stamp[32];
    struct timespec now;
    struct tm tm;
    if (state.to_syslog) {
        syslog(level, "%s", text);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    int len = snprintf(line, sizeof line, "%s.%03ldZ %s[%d] %s: %s\n", stamp, now.tv_nsec / 1000000,
                       state.ident, (int)getpid(), level_name(level), text);
    if (len >= (int)sizeof line) {
        len = sizeof line - 1;
        line[len - 1] = '\n';
    }
    /* A log that cannot be written has nobody to tell. */
    ssize_t written = write(state.fd, line, (size_t)len);
    (void)written;
}

/* True if another line may be written in this second. */
static bool admit_line(void) {
    time_t now = time(NULL);
    if (now != state.second) {
        unsigned missed = state.missed;
        state.second = now;
        state.lines = 0;
        state.missed = 0;
        if (missed) {
            char text[64];
            snprintf(text, sizeof text, "%u lines suppressed", missed);
            put_line(LOG_WARNING, text);
        }
    }
    if (state.lines >= LOG_LINES_PER_SECOND) {
        state.missed++;
        return false;
    }
    state.lines++;
    return true;
}

void log_at(int level, const char *format, ...) {
    int saved = errno;
    char text[1200];
    va_list args;
    if (!log_wants(level) || !admit_line())
        return;
    errno = saved;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* Names come from strangers: a line stays one line. */
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    put_line(level, text);
    errno = saved;
}
