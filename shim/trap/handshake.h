/* SPDX-License-Identifier: MIT */
/*
 * handshake.h - how launcher and supervisor come together, over a pair of connected sockets.
 *
 *     supervisor                         launcher, which becomes the program
 *     its process id            -------->
 *                               <--------  its process id, and a descriptor's number
 *     0, or why it has no access -------->
 *                               <--------  the listener (SCM_RIGHTS), once the filter is installed
 *     0: it answers             -------->
 *
 * So the filter is not installed before it is known that the supervisor can do its work. Every
 * message is one int or two; blocking, for two processes of which either may be killed.
 */
#ifndef SHIM_TRAP_HANDSHAKE_H
#define SHIM_TRAP_HANDSHAKE_H

#include <stdbool.h>

/* The supervisor's side: up to the listener, which is returned; -1 if there is none. Then its last
 * message. */
int handshake_take(int launcher);
void handshake_ready(int launcher, bool ready);

/* The launcher's side: allows the supervisor to inspect this process, and asks whether it can.
 * Returns 0 or an errno. */
int handshake_ask(int supervisor);

/* Hands the listener over, closes it, and waits until the supervisor answers calls. */
bool handshake_give(int supervisor, int listener);

#endif
