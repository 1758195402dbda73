/* SPDX-License-Identifier: MIT */
/*
 * export.h - how an exported function is defined.
 *
 * Under a name of its own with an assembler label, because libc's headers declare the same
 * functions with attributes and transparent unions that differ from libc to libc.
 */
#ifndef SHIM_HOOKS_EXPORT_H
#define SHIM_HOOKS_EXPORT_H

#include <stdbool.h>

#include "shim/base/libc.h"

/* Has hook_bind_all been called? It looks the next definitions up (libc.h); no system call. */
extern bool hook_bound;
void hook_bind_all(void);

#define EXPORT(type, name, params)                                                                 \
    __attribute__((visibility("default"))) type hook_##name params __asm__(#name);                 \
    type hook_##name params

/* Another library's constructor may come before ours. */
#define READY                                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!hook_bound, 0))                                                      \
            hook_bind_all();                                                                       \
    } while (0)

#endif
