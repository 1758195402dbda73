/* SPDX-License-Identifier: MIT */
/* log_line.c - see log_line.h. */
#include "helper/net/log_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* Behind the text: a newline, or a quotation mark, a brace and a newline. */
#define TAIL 8u
/* The most bytes that one member of the subject takes, escapes included, so that there is always
 * room for much of the message. */
#define MEMBER_MAX 400u

/* ---- Characters ---- */

static bool is_continuation(unsigned char byte) {
    return (byte & 0xc0) == 0x80;
}

/* Whether the second byte keeps the sequence short enough, no surrogate and at most U+10FFFF. */
static bool is_second(unsigned char first, unsigned char second) {
    switch (first) {
    case 0xc2:
        return second >= 0xa0 && second <= 0xbf; /* not one of the control characters of C1 */
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_continuation(second);
    }
}

/* The bytes of the printable character that begins here; 0 if there is none: a control character,
 * or no UTF-8. */
static size_t printable(const char *text) {
    const unsigned char *byte = (const unsigned char *)text;
    size_t len = byte[0] < 0xc2 ? 0 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    if (byte[0] >= 0x20 && byte[0] < 0x7f)
        return 1;
    if (len == 0 || byte[0] > 0xf4 || !is_second(byte[0], byte[1]))
        return 0;
    for (size_t i = 2; i < len; i++)
        if (!is_continuation(byte[i]))
            return 0;
    return len;
}

/* ---- Pieces ---- */

static size_t room(const struct log_line *line) {
    return line->len + TAIL < sizeof line->text ? sizeof line->text - TAIL - line->len : 0;
}

static void put_bytes(struct log_line *line, const char *bytes, size_t len) {
    if (len > room(line))
        return;
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static void put(struct log_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Only for short pieces of known length. */
static void put(struct log_line *line, const char *format, ...) {
    char piece[160];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof piece)
        put_bytes(line, piece, (size_t)len);
}

static void put_text(struct log_line *line, const char *text) {
    while (*text && room(line) > 4) {
        size_t len = printable(text);
        put_bytes(line, len ? text : "?", len ? len : 1);
        text += len ? len : 1;
    }
}

/* Characters that a string of JSON cannot hold as they are: control characters are escaped, and a
 * byte that is no UTF-8 becomes the replacement character. */
static void put_escaped(struct log_line *line, const char *text, size_t len, size_t max) {
    const char *end = text + len;
    size_t full = line->len + (max < room(line) ? max : room(line));
    while (text < end && line->len + 6 <= full) {
        unsigned char byte = (unsigned char)*text;
        size_t bytes = printable(text);
        if (byte == '"' || byte == '\\')
            put(line, "\\%c", byte);
        else if (bytes > 0)
            put_bytes(line, text, bytes);
        else if (byte < 0x80)
            put(line, "\\u%04x", byte);
        else
            put(line, "\\ufffd");
        text += bytes ? bytes : 1;
    }
}

static void put_member(struct log_line *line, const char *name, const char *text, size_t len) {
    put(line, ",\"%s\":\"", name);
    put_escaped(line, text, len, MEMBER_MAX);
    put_bytes(line, "\"", 1);
}

static void put_optional(struct log_line *line, const char *name, const char *text) {
    if (text && *text)
        put_member(line, name, text, strlen(text));
}

static void put_number(struct log_line *line, const char *name, unsigned number) {
    if (number > 0)
        put(line, ",\"%s\":%u", name, number);
}

/* ---- Time and level ---- */

static const struct {
    const char *name;
    int level;
} level_names[] = {
    {"error", LOG_ERR}, {"warn", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};

const char *log_level_name(int level) {
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (level_names[i].level == level)
            return level_names[i].name;
    return "error";
}

void log_stamp_of(char out[LOG_STAMP_SIZE], const struct timespec *when, int digits) {
    struct tm tm;
    char fraction[16];
    gmtime_r(&when->tv_sec, &tm);
    size_t len = strftime(out, LOG_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(fraction, sizeof fraction, "%09ld", when->tv_nsec);
    snprintf(out + len, LOG_STAMP_SIZE - len, ".%.*sZ", digits, fraction);
}

/* ---- Text ---- */

static void put_part(struct log_line *line, const char *kind, const char *text) {
    if (!text)
        return;
    put(line, "%s", kind);
    put_text(line, text);
    put(line, ": ");
}

static void put_subject(struct log_line *line, const struct log_event *event) {
    const struct log_subject *about = event->about;
    put_part(line, "", about->listener);
    put_part(line, "", about->from);
    if (about->pid > 0 && !about->from)
        put(line, "pid %d%s", (int)about->pid, about->has_uid ? ", " : ": ");
    if (about->has_uid && !about->from)
        put(line, "uid %u: ", about->uid);
    put_part(line, "gateway ", about->gateway);
    put_part(line, "", about->peer);
    if (about->stream > 0)
        put(line, "stream %u: ", about->stream);
}

void log_line_message(struct log_line *line, const struct log_event *event) {
    if (event->about)
        put_subject(line, event);
    put_text(line, event->message);
}

void log_line_text(struct log_line *line, const struct log_event *event) {
    char stamp[LOG_STAMP_SIZE];
    log_stamp_of(stamp, &event->when, 3);
    put(line, "%s %.40s[%d] %s: ", stamp, event->program, (int)event->pid,
        log_level_name(event->level));
    log_line_message(line, event);
}

/* ---- JSON ---- */

#define VIA    " via "
#define CLIENT " ("

/* The parts of "ADDRESS via BALANCER (CLIENT)". */
static void put_peer(struct log_line *line, const char *peer) {
    const char *end = peer + strlen(peer);
    const char *client = strstr(peer, CLIENT);
    const char *via = strstr(peer, VIA);
    const char *address_end = client ? client : end;
    if (via && via < address_end) {
        put_member(line, "peer", peer, (size_t)(via - peer));
        put_member(line, "via", via + strlen(VIA), (size_t)(address_end - via) - strlen(VIA));
    } else {
        put_member(line, "peer", peer, (size_t)(address_end - peer));
    }
    if (client && end[-1] == ')')
        put_member(line, "client", client + strlen(CLIENT),
                   (size_t)(end - client) - strlen(CLIENT) - 1);
}

static void put_members(struct log_line *line, const struct log_event *event) {
    const struct log_subject *about = event->about;
    put_optional(line, "listener", about->listener);
    put_optional(line, "from", about->from);
    if (!about->from)
        put_number(line, "from_pid", (unsigned)about->pid);
    if (about->has_uid && !about->from)
        put(line, ",\"from_uid\":%u", about->uid);
    put_optional(line, "gateway", about->gateway);
    if (about->peer)
        put_peer(line, about->peer);
    put_number(line, "stream", about->stream);
    put_optional(line, "destination", about->destination);
    put_optional(line, "file", about->file);
    put_number(line, "line", about->line);
}

void log_line_json(struct log_line *line, const struct log_event *event) {
    char stamp[LOG_STAMP_SIZE];
    log_stamp_of(stamp, &event->when, 6);
    put(line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%.40s\",\"pid\":%d", stamp,
        log_level_name(event->level), event->program, (int)event->pid);
    if (event->about)
        put_members(line, event);
    put(line, ",\"message\":\"");
    put_escaped(line, event->message, strlen(event->message), sizeof line->text);
    memcpy(line->text + line->len, "\"}", 2); /* TAIL is kept free for it */
    line->len += 2;
}
