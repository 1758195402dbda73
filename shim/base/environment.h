/* SPDX-License-Identifier: MIT */
/*
 * environment.h - the environment as it was when the program started.
 *
 * nginx and others clear their environment, or write their title over it, before they connect for
 * the first time. So the few variables that matter are copied when the library is loaded: memory
 * only, no system call. What a program sets for itself later has no effect. A relative
 * SMUXSHIM_CONFIG becomes absolute, also in the program's own environment. Under AT_SECURE
 * (set-user-id, file capabilities) there is nothing: the environment is the caller's, the
 * privileges are not.
 */
#ifndef SHIM_BASE_ENVIRONMENT_H
#define SHIM_BASE_ENVIRONMENT_H

#include <stddef.h>

/* Copies the variables. Call it once, before any other thread exists. */
void environment_capture(void);

/* The captured value, or NULL. Only for the variables in environment.c. */
const char *environment_get(const char *name);

#define ENVIRONMENT_MAX 16

/* Writes the captured variables except `without`, as "NAME=value" each, and a final NULL. Returns
 * their number, at most ENVIRONMENT_MAX. */
size_t environment_list(char **list, const char *without);

#endif
