/* SPDX-License-Identifier: MIT */
/*
 * epoll_sets.h - the epoll sets of this process, and what the kernel says is registered in them.
 *
 * The registry (epoll_registry.h) remembers registrations that went through epoll_ctl. This file
 * finds the others: it lists the numbers that have been epoll sets, asks kcmp(2) whether one holds
 * a descriptor, and reads from /proc/self/fdinfo how. Signal safe; no lock, no allocation.
 */
#ifndef SHIM_SOCKET_EPOLL_SETS_H
#define SHIM_SOCKET_EPOLL_SETS_H

#include <stdbool.h>
#include <sys/epoll.h>

#define EPOLL_SETS_MAX 64 /* of one descriptor, that one swap restores; more are lost */

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

/* Has an epoll set's descriptor ever been copied? Then a set may have several numbers.
 * */
bool epoll_sets_have_copies(void);

/* Notes that an io_uring was set up, which can register without epoll_ctl; and whether one ever
 * was. No system call.
 * */
void epoll_sets_note_ring(void);
bool epoll_sets_have_ring(void);

/* How `fd` is registered in the set: 0 and *event, ENOENT if it is not or /proc does not tell, or
 * an errno for want of descriptors or memory. 3 system calls, and one for each 4 KiB of the set's
 * list. */
int epoll_sets_read(int epfd, int fd, struct epoll_event *event);

/* Removes one registration, known to be `event`, and appends it to *moved, which must have room.
 * False if there is none. 1 system call. */
bool epoll_sets_move(int epfd, int fd, struct epoll_event event, struct epoll_moved *moved);

/* Removes every registration of `fd` from the listed sets or, with `all`, from those in
 * /proc/self/fd, and appends it to *moved. Returns 0, or EMFILE, ENFILE or ENOMEM. One system call,
 * one more for each candidate, 5 or more for one that holds `fd`; with `all` 3 or more besides. */
int epoll_sets_take(int fd, bool all, struct epoll_moved *moved);

#endif
