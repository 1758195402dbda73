/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - the helper's place on the machine: its folder, its lock, and going to the background.
 */
#ifndef HELPER_CLIENT_RUNTIME_H
#define HELPER_CLIENT_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

/* Makes sure that the folder of the socket `path` exists (created with mode 0711, or 0700 below
 * /tmp, if need be together with the one around it), that nobody but this user or root can put
 * anything in it, and that nobody else has. False and a text otherwise. */
bool runtime_prepare(const char *path, char *why, size_t size);

/* Takes the lock next to `path`. Returns its descriptor, to be kept open; -EAGAIN if another
 * instance has it; or another negative errno. The kernel drops it with the process, however that
 * ends. */
int runtime_lock(const char *path);

/* Forks and goes to the background. In the parent it does not return: it waits for
 * runtime_detached or the child's end, and exits with the child's status. In the child it returns
 * the descriptor for runtime_detached, or a negative errno if there could be no child. */
int runtime_detach(void);

/* The child is ready: lets the parent exit with 0 and, with quiet set, moves stderr to /dev/null.
 * */
void runtime_detached(int fd, bool quiet);

#endif
