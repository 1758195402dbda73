/* SPDX-License-Identifier: MIT */
/* access_log.c - see access_log.h. */
#include "helper/gateway/access_log.h"

#include <errno.h>
#include <paths.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "helper/net/file_broker.h"
#include "helper/net/log.h"

static struct {
    const char *ident;
    char *path; /* NULL: syslog, or nothing */
    bool to_syslog;
    int fd; /* -1: not open */
    struct loop *loop;
    struct loop_timer timer;
    char *lines; /* ACCESS_LOG_ROOM bytes */
    size_t len;
    bool failing;         /* the last write did not take all, */
    int error;            /* for this reason */
    off_t cut_at;         /* where a line in the file was cut short; 0: none is */
    uint64_t lost_ever;   /* lines */
    uint64_t lost;        /* of them, since the log said so last, */
    uint64_t lost_before; /* and before that, as long as writing fails */
    uint64_t told_us;     /* when that was */
    bool cut;             /* the first line of those that are left has been begun */
} state = {.fd = -1};

/* ---- Opening ---- */

static int open_syslog(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int open_target(void) {
    return state.to_syslog ? open_syslog() : file_open(state.path, FILE_APPEND);
}

int access_log_open(const char *ident, const char *target) {
    if (!*target)
        return 0;
    state.ident = ident;
    state.to_syslog = strcmp(target, "syslog") == 0;
    state.path = state.to_syslog ? NULL : strdup(target);
    if (!state.to_syslog && !state.path)
        return -ENOMEM;
    int fd = open_target();
    if (fd < 0)
        return fd;
    state.fd = fd;
    return 0;
}

bool access_log_is_open(void) {
    return state.fd >= 0;
}

/* ---- Writing ---- */

static void lose(unsigned lines) {
    state.lost += lines;
    state.lost_ever += lines;
}

uint64_t access_log_lost(void) {
    return state.lost_ever;
}

static void tell_lost(void) {
    log_error("access log: %llu lines lost: %s", (unsigned long long)state.lost,
              strerror(state.error));
    state.lost_before += state.lost;
    state.lost = 0;
    state.told_us = loop_clock_us();
}

static void note_failure(int error) {
    state.failing = true;
    state.error = error;
}

/* What is written now is in the target, and goes from the front. */
static void advance(size_t n) {
    state.len -= n;
    memmove(state.lines, state.lines + n, state.len);
}

static size_t first_line(void) {
    char *end = memchr(state.lines, '\n', state.len);
    return end ? (size_t)(end + 1 - state.lines) : state.len;
}

/* A datagram for each line, without the newline. */
static void write_syslog(void) {
    char line[ACCESS_LOG_LINE_MAX + 64];
    size_t done = 0;
    while (done < state.len && !state.failing) {
        const char *text = state.lines + done, *end = memchr(text, '\n', state.len - done);
        int total = snprintf(line, sizeof line, "<%d>%s[%d]: %.*s", LOG_DAEMON | LOG_INFO,
                             state.ident, (int)getpid(), (int)(end - text), text);
        if (send(state.fd, line, (size_t)total, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            note_failure(errno);
        else
            done = (size_t)(end + 1 - state.lines);
    }
    advance(done);
}

/* The daemon may have been started anew. */
static void connect_again(void) {
    int fd = open_syslog();
    if (fd < 0)
        return;
    close(state.fd);
    state.fd = fd;
    state.failing = false;
    write_syslog();
}

/* The rest of a line that was cut short goes behind its beginning if nobody has written since. If
 * somebody has, the line is lost: its beginning is closed off. */
static void mend_cut(void) {
    struct stat file;
    if (!state.cut)
        return;
    state.cut = false;
    if (state.cut_at < 0 || fstat(state.fd, &file) < 0 || file.st_size == state.cut_at)
        return;
    advance(first_line() - 1);
    lose(1);
}

static void write_file(void) {
    mend_cut();
    ssize_t n = write(state.fd, state.lines, state.len);
    if (n < 0) {
        note_failure(errno);
        return;
    }
    bool whole = n == 0 || state.lines[n - 1] == '\n';
    advance((size_t)n);
    if (state.len == 0)
        return;
    state.cut = !whole;
    state.cut_at = lseek(state.fd, 0, SEEK_CUR);
    note_failure(ENOSPC);
}

static void on_due(struct loop_timer *timer);

static void arm(uint64_t after_us) {
    if (!state.timer.armed)
        loop_timer_set(state.loop, &state.timer, loop_now_us(state.loop) + after_us, on_due);
}

static void flush_lines(void) {
    bool failed = state.failing;
    state.failing = false;
    if (state.len > 0 && state.to_syslog)
        write_syslog();
    else if (state.len > 0)
        write_file();
    if (state.failing && state.to_syslog && state.error != EAGAIN)
        connect_again();
    if (state.failing) {
        if (state.lost > 0 && loop_clock_us() - state.told_us >= ACCESS_LOG_TELL_US)
            tell_lost();
        return;
    }
    if (state.lost > 0 || failed)
        log_error("access log: it is written again; %llu lines were lost",
                  (unsigned long long)(state.lost + state.lost_before));
    state.lost = state.lost_before = 0;
}

static void on_due(struct loop_timer *timer) {
    int saved = errno;
    (void)timer;
    flush_lines();
    if (state.failing)
        arm(ACCESS_LOG_RETRY_US);
    errno = saved;
}

int access_log_start(struct loop *loop) {
    if (state.fd < 0)
        return 0;
    state.loop = loop;
    state.lines = malloc(ACCESS_LOG_ROOM);
    return state.lines ? 0 : -ENOMEM;
}

void access_log_reopen(void) {
    int saved = errno;
    if (state.fd < 0)
        return;
    if (state.len > 0)
        flush_lines();
    int fd = open_target();
    if (fd < 0) {
        log_about(LOG_ERR, ABOUT(.file = state.path), "access log %s: cannot be opened again: %s",
                  state.path ? state.path : "syslog", strerror(-fd));
    } else {
        close(state.fd);
        state.fd = fd;
        if (state.cut) /* the rest of the line is of no use in the new file */
            advance(first_line());
        lose(state.cut);
        state.cut = false;
    }
    errno = saved;
}

void access_log_stop(void) {
    if (!state.lines)
        return;
    loop_timer_clear(state.loop, &state.timer);
    flush_lines();
    if (state.failing)
        for (; state.len > 0; advance(first_line()))
            lose(1);
    if (state.lost > 0)
        tell_lost();
    free(state.lines);
    state.lines = NULL;
}

/* ---- Lines ---- */

struct line {
    size_t len;
    bool full;
    char text[ACCESS_LOG_LINE_MAX];
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct line *line, const char *format, ...) {
    size_t room = sizeof line->text - line->len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->len, room, format, args);
    va_end(args);
    line->full |= n < 0 || (size_t)n >= room;
    if (!line->full)
        line->len += (size_t)n;
}

/* Every byte that is not a visible one of ASCII or a blank is written as \u00XX: the line stays
 * one, and is UTF-8 whatever the text is. */
static void put_text(struct line *line, const char *key, const char *text, size_t len) {
    put(line, ",\"%s\":\"", key);
    for (size_t i = 0; i < len && text[i]; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '"' || byte == '\\')
            put(line, "\\%c", byte);
        else
            put(line, byte < 0x20 || byte >= 0x7f ? "\\u%04x" : "%c", byte);
    }
    put(line, "\"");
}

static void put_time(struct line *line) {
    char stamp[LOG_STAMP_SIZE];
    log_stamp(stamp);
    put(line, "{\"time\":\"%s\"", stamp);
}

static void put_optional(struct line *line, const char *key, const char *text) {
    if (text && *text)
        put_text(line, key, text, SIZE_MAX);
    else
        put(line, ",\"%s\":null", key);
}

static void put_entry(struct line *line, const struct access_entry *entry) {
    char dialled[ENDPOINT_TEXT_SIZE] = "";
    if (entry->dialled && entry->dialled->family)
        endpoint_text(entry->dialled, dialled, sizeof dialled);
    put_time(line);
    put_optional(line, "client", entry->client);
    put_optional(line, "identity", entry->identity);
    put_text(line, "source", entry->source, strcspn(entry->source, " "));
    put(line, ",\"stream\":%u", entry->stream);
    put_optional(line, "destination", entry->destination);
    put_optional(line, "dialled", dialled);
    put_text(line, "outcome", entry->outcome, SIZE_MAX);
    put(line, ",\"bytes_to_target\":%llu,\"bytes_from_target\":%llu,\"duration_ms\":%llu.%03u",
        (unsigned long long)entry->bytes_to_target, (unsigned long long)entry->bytes_from_target,
        (unsigned long long)(entry->duration_us / 1000), (unsigned)(entry->duration_us % 1000));
    put_text(line, "reason", entry->reason, SIZE_MAX);
    put(line, "}\n");
}

void access_log_lose(void) {
    lose(1);
    if (!state.failing)
        state.error = ENOMEM;
    if (state.lines)
        arm(ACCESS_LOG_PAUSE_US);
}

void access_log_add(const struct access_entry *entry) {
    struct line line = {.len = 0};
    int saved = errno;
    if (!state.lines)
        return;
    put_entry(&line, entry);
    if (state.len + line.len > ACCESS_LOG_ROOM && !state.failing)
        flush_lines();
    if (line.full || state.len + line.len > ACCESS_LOG_ROOM) {
        access_log_lose();
    } else {
        memcpy(state.lines + state.len, line.text, line.len);
        state.len += line.len;
        if (state.len >= ACCESS_LOG_BATCH && !state.failing)
            flush_lines();
        arm(state.failing ? ACCESS_LOG_RETRY_US : ACCESS_LOG_PAUSE_US);
    }
    errno = saved;
}
