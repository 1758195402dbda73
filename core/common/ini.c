/* SPDX-License-Identifier: MIT */
/* ini.c - see ini.h. */
#include "core/common/ini.h"

#include <stdio.h>
#include <string.h>

struct reader {
    char *at, *end; /* what is left of the text */
    unsigned line;  /* of the line last taken */
    ini_handler *handler;
    void *ctx;
    struct ini_error *error;
    const char *section;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static char *skip_blanks(char *s) {
    while (is_blank(*s))
        s++;
    return s;
}

static void trim_end(char *s) {
    size_t len = strlen(s);
    while (len && is_blank(s[len - 1]))
        s[--len] = '\0';
}

/* Cuts off a comment: '#' or ';' at the start of the line or after a blank. */
static void cut_comment(char *s) {
    for (char *c = s; *c; c++)
        if ((*c == '#' || *c == ';') && (c == s || is_blank(c[-1]))) {
            *c = '\0';
            break;
        }
    trim_end(s);
}

static bool fail(struct reader *r, unsigned line, const char *what, const char *found) {
    snprintf(r->error->text, sizeof r->error->text, "%s, not \"%.80s\"", what, found);
    r->error->line = line;
    return false;
}

/* Takes the next line, terminated and without its comment; NULL at the end of the text. */
static char *take_line(struct reader *r) {
    if (r->at >= r->end)
        return NULL;
    char *line = r->at;
    char *newline = memchr(line, '\n', (size_t)(r->end - line));
    char *stop = newline ? newline : r->end;
    *stop = '\0';
    r->at = stop + 1;
    r->line++;
    cut_comment(line);
    return line;
}

static bool is_continuation(char *line) {
    char *text = skip_blanks(line);
    return text > line && *text && !strchr("#;[", *text) && !strchr(text, '=');
}

/* Appends the continuation lines that follow to `value`. This happens in place, because lines only
 * move towards the front of the text. */
static void join_continuations(struct reader *r, char *value) {
    while (r->at < r->end) {
        struct reader ahead = *r;
        char peek[2] = {*r->at, '\0'};
        if (!is_blank(peek[0]))
            return;
        char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
        char *stop = newline ? newline : r->end;
        char kept = *stop;
        *stop = '\0';
        bool more = is_continuation(r->at);
        *stop = kept;
        if (!more)
            return;
        char *line = skip_blanks(take_line(&ahead));
        size_t have = strlen(value);
        if (have)
            value[have++] = ' ';
        memmove(value + have, line, strlen(line) + 1);
        *r = ahead;
    }
}

static bool emit(struct reader *r, const char *key, const char *value, unsigned line) {
    struct ini_item item = {r->section, key, value, line};
    if (r->handler(r->ctx, &item, r->error))
        return true;
    r->error->line = line;
    return false;
}

/* "[ gateway   main ]" -> "gateway main", in place. */
static bool read_header(struct reader *r, char *line) {
    char *close = strchr(line, ']');
    if (!close || *skip_blanks(close + 1))
        return fail(r, r->line, "expected a section header such as [route NAME]", line);
    *close = '\0';
    char *in = skip_blanks(line + 1), *out = line;
    r->section = out;
    while (*in) {
        if (is_blank(*in)) {
            in = skip_blanks(in);
            if (*in)
                *out++ = ' ';
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
    return emit(r, NULL, NULL, r->line);
}

static bool read_key(struct reader *r, char *key) {
    unsigned line = r->line;
    char *equals = strchr(key, '=');
    if (!equals || equals == key)
        return fail(r, line, "expected KEY = VALUE or [SECTION]", key);
    *equals = '\0';
    trim_end(key);
    char *value = skip_blanks(equals + 1);
    join_continuations(r, value);
    return emit(r, key, value, line);
}

/* Text quoted from the file must neither break the line nor send control characters to a
 * terminal. */
static void hide_controls(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = '?';
}

bool ini_read(char *text, size_t len, ini_handler *handler, void *ctx, struct ini_error *error) {
    struct reader r = {text, text + len, 0, handler, ctx, error, ""};
    error->line = 0;
    error->text[0] = '\0';
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        r.at += 3; /* a byte order mark, which some editors write */
    if (memchr(text, '\0', len)) {
        snprintf(error->text, sizeof error->text, "expected text, not a zero byte");
        for (const char *c = text; *c; c++)
            error->line += *c == '\n';
        error->line++;
        return false;
    }
    for (char *line; (line = take_line(&r));) {
        line = skip_blanks(line);
        if (!*line)
            continue;
        if (*line == '[' ? !read_header(&r, line) : !read_key(&r, line)) {
            hide_controls(error->text);
            return false;
        }
    }
    return true;
}

/* Reads decimal digits. Returns what follows them, or NULL if there are none or the value exceeds
 * UINT32_MAX. */
static const char *take_decimal(const char *s, uint64_t *out) {
    if (*s < '0' || *s > '9')
        return NULL;
    for (*out = 0; *s >= '0' && *s <= '9'; s++) {
        *out = *out * 10 + (uint64_t)(*s - '0');
        if (*out > UINT32_MAX)
            return NULL;
    }
    return s;
}

struct unit {
    const char *suffix;
    uint32_t factor;
};

/* A decimal number followed by exactly one of the units; the result must be at most INT32_MAX. */
static bool take_scaled(const char *text, const struct unit *unit, uint32_t *out) {
    uint64_t number;
    const char *suffix = take_decimal(text, &number);
    if (!suffix)
        return false;
    for (; unit->suffix; unit++)
        if (strcmp(suffix, unit->suffix) == 0 && number * unit->factor <= INT32_MAX) {
            *out = (uint32_t)(number * unit->factor);
            return true;
        }
    return false;
}

bool ini_duration_ms(const char *text, uint32_t *out) {
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return true;
    }
    return take_scaled(text, units, out);
}

bool ini_size(const char *text, uint32_t *out) {
    static const struct unit units[] = {{"", 1},        {"k", 1 << 10}, {"K", 1 << 10},
                                        {"m", 1 << 20}, {"M", 1 << 20}, {"g", 1 << 30},
                                        {"G", 1 << 30}, {NULL, 0}};
    return take_scaled(text, units, out);
}

bool ini_number(const char *text, uint32_t min, uint32_t max, uint32_t *out) {
    uint64_t number;
    const char *end = take_decimal(text, &number);
    if (!end || *end || number < min || number > max)
        return false;
    *out = (uint32_t)number;
    return true;
}

bool ini_bool(const char *text, bool *out) {
    static const char *const yes[] = {"yes", "true", "on", "1", NULL};
    static const char *const no[] = {"no", "false", "off", "0", NULL};
    for (size_t i = 0; yes[i]; i++)
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    return false;
}

bool ini_mode(const char *text, uint32_t *out) {
    uint32_t mode = 0;
    if (!*text)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '7' || mode > 0777)
            return false;
        mode = mode * 8 + (uint32_t)(*c - '0');
    }
    if (mode > 0777)
        return false;
    *out = mode;
    return true;
}
