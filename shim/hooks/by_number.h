/* SPDX-License-Identifier: MIT */
/*
 * by_number.h - the hooked calls made through syscall(2).
 *
 * Runtimes that avoid libc's wrappers still call this one. Only the numbers of hooked calls are
 * looked at; everything else goes to libc's syscall with all six arguments as they are.
 */
#ifndef SHIM_HOOKS_BY_NUMBER_H
#define SHIM_HOOKS_BY_NUMBER_H

long shim_syscall(long number, const long args[6]);

#endif
