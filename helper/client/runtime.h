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

/* Becomes the only helper at `path`: takes the lock next to it. Returns its descriptor, which must
 * stay open; -EEXIST if another helper serves there; or another negative errno, and a text. The
 * kernel releases the lock when the last thread of the process has ended, in whatever way.
 *
 * Blocks for some seconds while it is open whether there is another: while one is starting, which
 * has the lock but does not listen yet; and after one was killed, which has lock and sockets until
 * its last thread has ended. That one does not answer, and then leaves the lock. With `passed` set
 * the socket there is this process's own, which does not count as another helper's. */
int runtime_become(const char *path, bool passed, char *why, size_t size);

/* Forks and goes to the background. It does not return in the parent, which waits for
 * runtime_detached or the child's end, and exits with the child's status. In the child it returns
 * the descriptor for runtime_detached. Returns a negative errno if the fork fails. */
int runtime_detach(void);

/* The child is ready: lets the parent exit with 0 and, with quiet set, moves stderr to /dev/null.
 * */
void runtime_detached(int fd, bool quiet);

#endif
