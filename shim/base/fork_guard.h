/* SPDX-License-Identifier: MIT */
/*
 * fork_guard.h - keeps forks out of the moment in which the shim has a descriptor of its own.
 *
 * Between socket(2) and dup3(2) a fork in another thread would copy the temporary descriptor, and
 * the application's connection would stay open for as long as the child lives. While the guard is
 * on, forks wait; while a fork is under way, the guard cannot be turned on. No blocking call is
 * made under the guard, so the wait takes some microseconds. It is bounded all the same, because a
 * signal handler may leave with siglongjmp and never come back.
 */
#ifndef SHIM_BASE_FORK_GUARD_H
#define SHIM_BASE_FORK_GUARD_H

void fork_guard_open(void);
void fork_guard_close(void);

#endif
