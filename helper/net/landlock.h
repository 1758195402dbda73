/* SPDX-License-Identifier: MIT */
/* landlock.h - files that a process may still open, by Linux's Landlock (5.13 and later). */
#ifndef HELPER_NET_LANDLOCK_H
#define HELPER_NET_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

/* A file, or a folder with all below it. One that does not exist is left out. */
struct landlock_rule {
    const char *path;
    bool write; /* also to write, create, rename and remove regular files, and to bind sockets */
};

/* Restricts the calling thread, and those that it starts, to these rules: nothing else can be
 * opened for reading or writing, executed, created, removed or renamed, whatever the mode of the
 * file says. What is open stays open; files without a path (pipes, sockets, memory) are not
 * concerned. Where the kernel can (6.7, 6.12) it can bind no TCP port, send no signal to other
 * processes, and reach no abstract socket of theirs. The process must have no new privileges.
 *
 * It may not look into other processes either (ptrace, /proc/PID/fd). Returns the version of
 * Landlock, at least 1, or a negative errno: -ENOSYS and -EOPNOTSUPP if this kernel has none. */
int landlock_restrict(const struct landlock_rule *rules, size_t count);

#endif
