/* SPDX-License-Identifier: MIT */
/*
 * holders.h - who else has a socket open, found out by looking into /proc.
 *
 * The kernel tells nobody that one holds the last copy of a socket. While a connect is under way
 * the helper holds a copy of the application's socket (core/common/CONTROL.md), so it would
 * never see that the application has closed its own; it looks, now and then, and only when a
 * connect takes long. A look may take as long as there are descriptors in the machine, so it is not
 * for the event loop (abandon_watch.c).
 *
 * Not seen: copies in processes that may not be inspected (of other users, or not dumpable), and
 * those on their way in an SCM_RIGHTS message.
 */
#ifndef HELPER_CLIENT_HOLDERS_H
#define HELPER_CLIENT_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum holders_verdict {
    HOLDERS_FOUND,
    HOLDERS_NONE,
    HOLDERS_UNKNOWN /* the process may not be inspected, or there is no /proc */
};

/* Does process `pid` have the socket of that inode number open? *fd is the descriptor to look at
 * first, -1: none; it is set to where the socket was found. One system call if it is still there.
 * */
enum holders_verdict holders_in_process(pid_t pid, uint64_t inode, int *fd);

struct holders_wanted {
    uint64_t inode;
    bool found;
};

/* Looks through all processes but this one for all of these sockets, sorts them by inode and sets
 * `found`. False if there is no /proc. Takes milliseconds on a busy machine. */
bool holders_anywhere(struct holders_wanted *wanted, size_t count);

/* After holders_anywhere: was this one found? True if it was not looked for. */
bool holders_found(const struct holders_wanted *wanted, size_t count, uint64_t inode);

/* One that is looked for. */
struct holders_target {
    pid_t pid; /* who has it, or has had it */
    int fd;    /* at which number it was last; the look updates it; -1: unknown */
    uint64_t inode;
    bool gone; /* the answer: nobody has it open */
};

#define HOLDERS_TARGETS_MAX 256

/* Looks for up to HOLDERS_TARGETS_MAX of them: where they were; in the process itself, each process
 * once; everywhere. */
void holders_look(struct holders_target *targets, size_t count);

#endif
