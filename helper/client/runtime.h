/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - the helper's folder, its lock, and going to the background.
 */
#ifndef HELPER_CLIENT_RUNTIME_H
#define HELPER_CLIENT_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

/* Makes sure that the folder of the socket `path` exists (if not, creates it, and its parent if
 * necessary, with mode 0711, or 0700 below /tmp), that only this user or root can create files in
 * it, and that no other user has done so. Otherwise returns false and a text. */
bool runtime_prepare(const char *path, char *why, size_t size);

/* Takes the lock next to `path`. Returns its descriptor, which must stay open; -EAGAIN if another
 * instance has the lock; or another negative errno. The kernel releases the lock when the process
 * ends, in whatever way. */
int runtime_lock(const char *path);

/* Forks and goes to the background. It does not return in the parent, which waits for
 * runtime_detached or the child's end, and exits with the child's status. In the child it returns
 * the descriptor for runtime_detached. Returns a negative errno if the fork fails. */
int runtime_detach(void);

/* The child is ready: lets the parent exit with 0 and, with quiet set, moves stderr to /dev/null.
 * */
void runtime_detached(int fd, bool quiet);

#endif
