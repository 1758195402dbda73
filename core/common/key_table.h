/* SPDX-License-Identifier: MIT */
/*
 * key_table.h - the keys of a section of a configuration, as a table.
 *
 * A row describes a key completely: its name, the field that it sets, its type and range, its
 * default, and whether a running program can apply a change. Defaults, parsing, messages and the
 * comparison at a reload all use the table, so that a new key is one new row:
 *
 *     {KEY(config_gateway, "dial-timeout", dial_timeout_ms, key_duration),
 *      .min = 1, .by_default = "10s"},
 *
 * A table ends with a row without a name. Nothing here allocates or keeps state.
 */
#ifndef CORE_COMMON_KEY_TABLE_H
#define CORE_COMMON_KEY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/ini.h"

struct key;

/* The type of a value. `section` is the struct that the key's row belongs to. */
struct key_type {
    /* Sets the field. If the text is not a value of the type or is out of range, returns false with
     * "KEY: expected WHAT, not "VALUE"" in error->text. */
    bool (*set)(const struct key *key, void *section, const char *value, struct ini_error *error);
    /* Whether both sections have the same value. */
    bool (*equal)(const struct key *key, const void *a, const void *b);
};

struct key {
    const char *name;
    const struct key_type *type;
    size_t offset, size;    /* of the field, in the section's struct */
    uint32_t min, max;      /* of numbers, durations (ms) and sizes; max 0: no limit */
    const char *by_default; /* as written in a file; NULL: the field is zero */
    bool restart;           /* a change takes effect only after a restart */
};

/* The first four fields of a row: the key `key` sets `field` of `struct section`. */
#define KEY(section, key, field, key_type_)                                                        \
    .name = (key), .type = &(key_type_), .offset = offsetof(struct section, field),                \
    .size = sizeof((struct section *)0)->field

/* Fields of unsigned types with 1, 2 or 4 bytes. */
extern const struct key_type key_number;
extern const struct key_type key_size;       /* bytes: 65536, 64k, 4m */
extern const struct key_type key_duration;   /* milliseconds: 500ms, 10s, 2m */
extern const struct key_type key_mode;       /* a file mode, octal; uint32_t */
extern const struct key_type key_bool;       /* bool */
extern const struct key_type key_path;       /* an absolute path; char [256] */
extern const struct key_type key_pins;       /* sha256//BASE64, ...; char [n], single commas */
extern const struct key_type key_log_level;  /* syslog's number of error, warn, info or debug */
extern const struct key_type key_log_format; /* text or json, uint8_t */

/* What a line of the log looks like (helper/net/log_line.h). */
enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };

/* For types defined beside a table. The first two write error->text and return false. */
bool key_fail(struct ini_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool key_expected(const struct key *key, const char *expected, const char *value,
                  struct ini_error *error);
bool key_equal_bytes(const struct key *key, const void *a, const void *b);
bool key_equal_text(const struct key *key, const void *a, const void *b);
static inline void *key_field(const struct key *key, void *section) {
    return (char *)section + key->offset;
}
/* Copies a text into the field; false if it is too long. */
bool key_copy_text(const struct key *key, void *section, const char *text);

/* Copies the next element of a list separated by commas or blanks, and moves *rest past it. False
 * at the end of the list. *fits: whether it fitted; if not, `out` is left alone. */
bool key_next_element(const char **rest, char *out, size_t size, bool *fits);

/* Sets every field of the table to its default. The section must be zero. */
void keys_default(const struct key *keys, void *section);

/* Sets one key. For an unknown one, the message lists the known keys. `where` is appended to its
 * name in the message: "" or " in [SECTION]". */
bool keys_set(const struct key *keys, void *section, const char *name, const char *value,
              const char *where, struct ini_error *error);

/* The first key, starting at `keys`, whose value differs; NULL if there is none. */
const struct key *keys_changed(const struct key *keys, const void *a, const void *b);

#endif
