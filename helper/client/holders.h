/* SPDX-License-Identifier: MIT */
/*
 * holders.h - finds out from /proc which other process has a socket open.
 *
 * The kernel does not tell a process that it holds the last copy of a socket. While a connect is in
 * progress, the helper holds a copy of the application's socket (core/common/CONTROL.md), so it
 * would never notice that the application has closed its own. Therefore it searches now and then,
 * and only if a connect takes long. The time of a search grows with the number of descriptors on
 * the machine, so it does not run in the event loop (abandon_watch.c).
 *
 * Not found are copies in processes that may not be inspected (of other users, or not dumpable) and
 * copies in flight in an SCM_RIGHTS message.
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

/* Does process `pid` have the socket with this inode number open? *fd is the descriptor to check
 * first (-1: none), and is set to the one where the socket was found. One system call if it is
 * still there. */
enum holders_verdict holders_in_process(pid_t pid, uint64_t inode, int *fd);

/* Sets the process whose copies do not count: the helper, if another process searches for it. */
void holders_skip(pid_t pid);

struct holders_wanted {
    uint64_t inode;
    bool found;
};

/* Searches all processes except this one, and the one to skip, for all of these sockets, sorts them
 * by inode and sets `found`. False if there is no /proc. Takes milliseconds on a busy machine. */
bool holders_anywhere(struct holders_wanted *wanted, size_t count);

/* After holders_anywhere: was this socket found? True if it was not searched for. */
bool holders_found(const struct holders_wanted *wanted, size_t count, uint64_t inode);

/* A socket to search for. */
struct holders_target {
    pid_t pid; /* the process that has it, or had it */
    int fd;    /* its last known descriptor, updated by the search; -1: unknown */
    uint64_t inode;
    bool gone; /* the answer: no process has it open */
};

#define HOLDERS_TARGETS_MAX 256

/* Searches for up to HOLDERS_TARGETS_MAX of them: first at their last descriptors, then in their
 * processes, each process once, and then everywhere. */
void holders_look(struct holders_target *targets, size_t count);

#endif
