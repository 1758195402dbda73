/* SPDX-License-Identifier: MIT */
/*
 * by_number.h - hooked calls made through syscall(2).
 *
 * Some runtimes avoid libc's wrappers but call its syscall function. The numbers of hooked calls go
 * to their hooks; everything else goes to libc's syscall with all six arguments unchanged.
 */
#ifndef SHIM_HOOKS_BY_NUMBER_H
#define SHIM_HOOKS_BY_NUMBER_H

long shim_syscall(long number, const long args[6]);

#endif
