/* SPDX-License-Identifier: MIT */
/*
 * trap.h - the second way to intercept a program's calls: a filter of system calls (seccomp) brings
 * the few that matter to a supervisor process. It reaches every program, static ones too, and all
 * that it starts; libraries need not be preloaded.
 */
#ifndef SHIM_TRAP_TRAP_H
#define SHIM_TRAP_TRAP_H

#include <stdbool.h>
#include <stddef.h>

enum trap_start {
    TRAP_STARTED,
    TRAP_IMPOSSIBLE, /* nothing was changed, and `why` says what is missing */
    TRAP_BROKEN,     /* the filter is installed and nobody answers: this process must not go on */
};

/* Puts this process, which is about to exec the program, under the trap. Its environment has the
 * shim's variables by now (shim/base/environment.h). Single-threaded. Sets no_new_privs, so that
 * set-user-ID programs below run without their privileges. */
enum trap_start trap_start(char *why, size_t size);

#endif
