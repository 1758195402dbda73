/* SPDX-License-Identifier: MIT */
/*
 * ini.h - reading INI text, and the values in it.
 *
 * This is not a library's code because the usual one lacks three things that matter here: the
 * handler must know the line number, long lines (lists of destinations) must not be cut, and the
 * shim must read without allocating, with any libc.
 *
 *     # comment            ; comment          (also at the end of a line, after a blank)
 *     [section NAME]
 *     key = value
 *         more value       an indented line without '=' continues the value; joined by one blank
 *
 * Nothing here allocates or keeps state.
 */
#ifndef CORE_COMMON_INI_H
#define CORE_COMMON_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One key and value. `section` is the text between the brackets with blanks squeezed, or "" before
 * the first header. `key` is NULL for the header itself, so that empty sections are seen. */
struct ini_item {
    const char *section;
    const char *key;
    const char *value;
    unsigned line; /* of the key, counted from 1 */
};

/* One line, with room for the names of all keys of a section. */
#define INI_ERROR_MAX 1100

struct ini_error {
    unsigned line;
    char text[INI_ERROR_MAX];
};

/* Handles an item. On a mistake writes error->text and returns false; the reader adds the line. */
typedef bool ini_handler(void *ctx, const struct ini_item *item, struct ini_error *error);

/* Calls `handler` for every header and key of `text`. Stops at the first mistake. `text` is
 * modified in place and must have room for a terminator at text[len], so that no buffer is needed
 * on a stack that may be small. The strings of an item are valid during the call only. */
bool ini_read(char *text, size_t len, ini_handler *handler, void *ctx, struct ini_error *error);

/* Values. Each returns false and leaves *out alone unless the text is exactly one value. The
 * INI_EXPECTED_ macros are the phrases for "expected …" in messages. */
bool ini_duration_ms(const char *text, uint32_t *out); /* 500ms, 10s, 2m, 1h; 0; up to 24 days */
bool ini_size(const char *text, uint32_t *out);        /* 65536, 64k, 4m, 1g; below 2^31 */
bool ini_number(const char *text, uint32_t min, uint32_t max, uint32_t *out);
bool ini_bool(const char *text, bool *out);     /* yes no true false on off 1 0 */
bool ini_mode(const char *text, uint32_t *out); /* octal file mode, 0 to 0777 */

#define INI_EXPECTED_DURATION "a duration such as 500ms, 10s or 2m"
#define INI_EXPECTED_SIZE     "a size in bytes such as 65536, 64k or 4m"
#define INI_EXPECTED_BOOL     "yes or no"
#define INI_EXPECTED_MODE     "an octal mode such as 0660"

#endif
