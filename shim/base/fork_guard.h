/* SPDX-License-Identifier: MIT */
/*
 * fork_guard.h - the moment in which the shim has a descriptor of its own.
 *
 * Between socket(2) and dup3(2) a fork in another thread would copy the temporary descriptor, and
 * the application's connection would stay open for as long as the child lives. While a window is
 * open forks wait, and while a fork is being made windows do not open. No call that blocks is made
 * inside a window, so the wait is some microseconds; it is bounded all the same, because a signal
 * handler may leave a window with siglongjmp and never come back.
 */
#ifndef SHIM_BASE_FORK_GUARD_H
#define SHIM_BASE_FORK_GUARD_H

void fork_guard_open(void);
void fork_guard_close(void);

#endif
