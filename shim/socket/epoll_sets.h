/* SPDX-License-Identifier: MIT */
/*
 * epoll_sets.h - the epoll sets of this process, and what the kernel says is registered in them.
 *
 * The registry (epoll_registry.h) remembers registrations that went through epoll_ctl. This file
 * finds the others: it keeps a list of the numbers that have been epoll sets, asks kcmp(2) whether
 * a set holds a descriptor, and reads the registration from /proc/self/fdinfo. Safe in signal
 * handlers; no lock, no allocation.
 */
#ifndef SHIM_SOCKET_EPOLL_SETS_H
#define SHIM_SOCKET_EPOLL_SETS_H

#include <stdbool.h>
#include <sys/epoll.h>

#define EPOLL_SETS_MAX                                                                             \
    64 /* registrations of one descriptor that a swap can restore; more are lost */

/* Registrations of one descriptor that were removed from their sets. */
struct epoll_moved {
    int n;
    struct {
        int epfd;
        struct epoll_event event;
    } set[EPOLL_SETS_MAX];
};

/* `epfd` is an epoll set. No system call. */
void epoll_sets_note(int epfd);

/* `to` is a copy of `from`. No system call. */
void epoll_sets_copied(int from, int to);

/* Has an epoll set's descriptor ever been copied? If so, a set may have several numbers. */
bool epoll_sets_have_copies(void);

/* Notes that an io_uring has been set up, which can register descriptors without epoll_ctl; and
 * says whether one ever was. No system call. */
void epoll_sets_note_ring(void);
bool epoll_sets_have_ring(void);

/* Reads how `fd` is registered in the set. Returns 0 and *event; ENOENT if it is not registered or
 * /proc cannot be read; or EMFILE, ENFILE or ENOMEM. 3 system calls, and one for each 4 KiB of the
 * set's fdinfo. */
int epoll_sets_read(int epfd, int fd, struct epoll_event *event);

/* Removes the registration of `fd` in the set, known to be `event`, and appends it to *moved, which
 * must have room. False if `fd` is not registered there. 1 system call. */
bool epoll_sets_move(int epfd, int fd, struct epoll_event event, struct epoll_moved *moved);

/* Removes every registration of `fd` from the sets known here or, with `all`, from those found in
 * /proc/self/fd, and appends it to *moved. Returns 0, or EMFILE, ENFILE or ENOMEM. One system call,
 * one more for each candidate, 5 or more for one that holds `fd`; with `all`, at least 3 in
 * addition. */
int epoll_sets_take(int fd, bool all, struct epoll_moved *moved);

#endif
