/*
 * environment.h - the environment as it was when the program started.
 *
 * nginx and others clear their environment, or write their title over it, before they connect for
 * the first time. So the few variables that matter are copied when the library is loaded: memory
 * only, no system call. What a program sets for itself later does not count.
 */
#ifndef SHIM_ENVIRONMENT_H
#define SHIM_ENVIRONMENT_H

/* Copies the variables. To be called once, before any other thread exists. */
void environment_capture(void);

/* The captured value, or NULL. Only for the variables in environment.c. */
const char *environment_get(const char *name);

#endif
