/* SPDX-License-Identifier: MIT */
/*
 * number.h - numbers in text, without libc's strtoul and its kin: since glibc 2.38 its headers put
 * other functions in their place, which make a library that was built there useless to every libc
 * before.
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

/* The number at the beginning of `text`, behind blanks, in a base up to 16 (lower case): 0 without
 * digits, ULLONG_MAX if it is too large. *end: what follows it; NULL if that does not matter. */
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
