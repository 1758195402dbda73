/* SPDX-License-Identifier: MIT */
/*
 * fork_guard.h - delays forks while the shim has a temporary descriptor open.
 *
 * Between socket(2) and dup3(2) a fork in another thread would copy the temporary descriptor, and
 * the application's connection would stay open as long as the child keeps that copy. While the
 * guard is on, forks wait; while a fork is under way, the guard cannot be turned on. No blocking
 * call is made under the guard, so the wait takes some microseconds. Nevertheless it is bounded
 * (100 ms), because a signal handler may leave guarded code with siglongjmp and never turn the
 * guard off.
 */
#ifndef SHIM_BASE_FORK_GUARD_H
#define SHIM_BASE_FORK_GUARD_H

void fork_guard_open(void);
void fork_guard_close(void);

#endif
