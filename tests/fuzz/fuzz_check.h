/* SPDX-License-Identifier: MIT
 *
 * Common code of the parsers' fuzzers: a check that works with NDEBUG, too, input flush against the
 * end of its memory, and the rule for messages.
 */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly that size (one more with a terminator), so that sanitizers see an overread. */
static inline char *fuzz_copy(const uint8_t *data, size_t size, int terminated) {
    char *copy = malloc(size + (terminated ? 1 : 0) + (size == 0));
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    if (terminated)
        copy[size] = 0;
    return copy;
}

/* A mistake must be reported in one line that is not empty. */
static inline void fuzz_check_message(const char *text, size_t size) {
    MUST(memchr(text, 0, size));
    MUST(strlen(text) > 5);
    MUST(!strpbrk(text, "\r\n"));
}

#endif
