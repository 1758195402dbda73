/* SPDX-License-Identifier: MIT */
/*
 * predecessor.h - the process that this one replaces, and that has started it for that
 * (successor.h). Its listening sockets are found by passed_sockets.h.
 *
 * It ends after its last connection. Those that it has itself replaced may still have some, and are
 * predecessors as well. A process that is stopped stops them, and waits for their end: whoever
 * stops the one stops all.
 */
#ifndef HELPER_NET_PREDECESSOR_H
#define HELPER_NET_PREDECESSOR_H

#include <stdbool.h>
#include <stddef.h>

/* Looks for it and removes the variable from the environment. Before descriptors are opened, and
 * before passed_sockets_find. False, and one line in `why`, if there is one with which this program
 * cannot do: of another version. */
bool predecessor_find(char *why, size_t size);

/* Whether there was one at the start. */
bool predecessor_was_found(void);

/* The file that it has locked, which is locked for this process, too: the caller's. -1: none. */
int predecessor_take_lock(void);

/* Says that this process is ready, and waits until the predecessor has told the service manager.
 * False if that has given this process up, which must end. One that has died has not; without a
 * predecessor, nothing is done. */
bool predecessor_agrees(void);

/* More are forgotten: they are not stopped. */
#define PREDECESSORS_MAX 32

/* Whether one is still there. */
bool predecessor_is_there(void);

/* This process ends, and so must they. */
void predecessor_end(void);

/* The channels to them, for a successor of this process. Returns their number. */
int predecessor_channels(int out[PREDECESSORS_MAX]);

/* They are a successor's now; or, in a child, the parent's. */
void predecessor_forget(void);

#endif
