/* SPDX-License-Identifier: MIT */
/*
 * environment.h - the environment variables of the shim, as they were when the program started.
 *
 * nginx and others clear their environment, or write their process title over it, before they first
 * connect. So the few variables that matter are copied into static memory when the library is
 * loaded, without a system call. What a program later sets for itself has no effect. A relative
 * SMUXSHIM_CONFIG is made absolute, in the program's own environment too. Under AT_SECURE
 * (set-user-ID programs, file capabilities) nothing is captured, because an unprivileged caller may
 * have chosen the environment of the privileged program.
 */
#ifndef SHIM_BASE_ENVIRONMENT_H
#define SHIM_BASE_ENVIRONMENT_H

#include <stddef.h>

/* Copies the variables. Call it once, before any other thread exists. */
void environment_capture(void);

/* The captured value, or NULL. Knows only the variables listed in environment.c. */
const char *environment_get(const char *name);

#define ENVIRONMENT_MAX 16

/* Fills `list` with the captured variables except `without`, each as "NAME=value", and a final
 * NULL. Returns their number, at most ENVIRONMENT_MAX; the NULL is not counted. */
size_t environment_list(char **list, const char *without);

#endif
