/* SPDX-License-Identifier: MIT */
/*
 * number_variable.h - numbers in environment variables, as a service manager sets them.
 */
#ifndef HELPER_NET_NUMBER_VARIABLE_H
#define HELPER_NET_NUMBER_VARIABLE_H

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/common/number.h"

/* False if the variable is not set, or is not a decimal number from 0 to `max`, which is less than
 * ULLONG_MAX. */
static inline bool number_variable(const char *name, unsigned long long max,
                                   unsigned long long *number) {
    const char *text = getenv(name), *end;
    if (!text || number_digit(*text) >= 10)
        return false;
    *number = number_read(text, 10, &end);
    return *end == '\0' && *number <= max;
}

#endif
