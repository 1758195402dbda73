/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - the process that answers trapped calls, one for a launch.
 *
 * It is no child of the program and has no terminal. It ends when the last process under the
 * filter has ended. If it is killed, trapped calls fail with ENOSYS.
 */
#ifndef SHIM_TRAP_SUPERVISOR_H
#define SHIM_TRAP_SUPERVISOR_H

/* Runs in a process of its own, forked from the launcher. `launcher`: a socket over which it is
 * asked for access and gets the listener (trap.c). */
_Noreturn void supervisor_run(int launcher);

#endif
