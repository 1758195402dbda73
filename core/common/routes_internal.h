/* SPDX-License-Identifier: MIT */
/* routes_internal.h - shared by routes*.c only: pieces of text, and reporting. */
#ifndef CORE_COMMON_ROUTES_INTERNAL_H
#define CORE_COMMON_ROUTES_INTERNAL_H

#include "core/common/routes.h"

/* Part of a text, not terminated. */
struct slice {
    const char *at;
    size_t len;
};

#define SHIM_RULE_HOST_SIZE 264 /* "*" + 255 bytes of name, or a bracketed IPv6 network */

/* Formats the error; always returns false. */
bool route_fail(struct route_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Removes blanks and commas at both ends. */
struct slice route_slice_trim(struct slice s);

/* Takes the next word, separated by blanks and commas, from *rest; false at the end. */
bool route_slice_next_word(struct slice *rest, struct slice *word);

bool route_slice_equals(struct slice s, const char *text);

/* Appends one destination as a rule of `route`. */
bool route_add_rule(struct route_list *list, uint8_t route, struct slice word,
                    struct route_error *error);

#endif
