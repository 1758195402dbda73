/* SPDX-License-Identifier: MIT */
/*
 * number.h - numbers in text, without libc's strtoul and its relatives: since glibc 2.38 the
 * headers redirect these to other functions, so a library built there could not be loaded with any
 * older libc.
 */
#ifndef CORE_COMMON_NUMBER_H
#define CORE_COMMON_NUMBER_H

#include <limits.h>

static inline unsigned number_digit(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return UINT_MAX;
}

/* The number at the start of `text`, after blanks, in a base up to 16 (lower case). 0 if there are
 * no digits, ULLONG_MAX if it is too large. *end: what follows it; `end` may be NULL. */
static inline unsigned long long number_read(const char *text, unsigned base, const char **end) {
    unsigned long long n = 0;
    while (*text == ' ' || *text == '\t')
        text++;
    for (; number_digit(*text) < base; text++) {
        unsigned digit = number_digit(*text);
        n = n > (ULLONG_MAX - digit) / base ? ULLONG_MAX : n * base + digit;
    }
    if (end)
        *end = text;
    return n;
}

#endif
