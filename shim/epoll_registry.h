/*
 * epoll_registry.h - epoll registrations made before connect, kept alive over the swap.
 *
 * Programs with an event loop add a socket to their epoll set first and connect it second. dup3
 * takes the socket away, and its registrations with it. So the epoll_ctl hook remembers what was
 * asked for, and the swap makes the same registrations for the new socket. Memory is a hint as
 * everywhere: EPOLL_CTL_DEL on the old socket says whether the registration existed.
 *
 * Two registrations per descriptor are remembered in place, more in a shared table; all of it is
 * untouched zero pages in a program that does not use epoll. No lock, no allocation.
 */
#ifndef SHIM_EPOLL_REGISTRY_H
#define SHIM_EPOLL_REGISTRY_H

#include <stdint.h>
#include <sys/epoll.h>

#define EPOLL_SETS_MAX 8 /* of one descriptor, restored by one swap; the rest is lost */

struct epoll_moved {
    int n;
    struct {
        int epfd;
        struct epoll_event event;
    } set[EPOLL_SETS_MAX];
};

/* After a successful EPOLL_CTL_ADD, MOD or DEL of `fd`. No system call. */
void epoll_registry_note(int epfd, int op, int fd, const struct epoll_event *event);

/* Takes the registrations of the socket that is still at `fd` away and describes them in *moved. 1
 * or 2 system calls for each; none if nothing was remembered. */
void epoll_registry_detach(int fd, struct epoll_moved *moved);

/* Registers what is at `fd` now, after the swap (or the old socket again, if there was none). */
void epoll_registry_attach(int fd, const struct epoll_moved *moved);

#endif
