/* SPDX-License-Identifier: MIT */
/*
 * export.h - how an exported function is defined.
 *
 * Each is defined under a name of its own with an assembler label, because libc's headers declare
 * the same functions with attributes and transparent unions that differ from libc to libc.
 */
#ifndef SHIM_HOOKS_EXPORT_H
#define SHIM_HOOKS_EXPORT_H

#include <stdarg.h>
#include <stdbool.h>

#include "shim/base/libc.h"

/* Has hook_start been called? It does all the initialization there is: it looks up the next
 * definitions (libc.h) and captures some variables (environment.h). No system call, except for a
 * relative SMUXSHIM_CONFIG. */
extern bool hook_started;
void hook_start(void);

#define EXPORT(type, name, params)                                                                 \
    __attribute__((visibility("default"))) type hook_##name params __asm__(#name);                 \
    type hook_##name params

/* Needed because another library's constructor may run before ours. */
#define READY                                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!hook_started, 0))                                                    \
            hook_start();                                                                          \
    } while (0)

/* A function with at most one optional argument, as wide as a pointer; `call` uses it as
 * `argument`. */
#define EXPORT_OPTIONAL(name, type, request, call)                                                 \
    EXPORT(int, name, (int fd, type request, ...)) {                                               \
        va_list args;                                                                              \
        va_start(args, request);                                                                   \
        void *argument = va_arg(args, void *);                                                     \
        va_end(args);                                                                              \
        READY;                                                                                     \
        return call;                                                                               \
    }

#endif
