/* SPDX-License-Identifier: MIT */
/*
 * epoll_registry.h - carries epoll registrations made before connect over the swap.
 *
 * Programs with an event loop often add a socket to their epoll set before they connect it. dup3
 * replaces the socket and so drops its registrations. So the epoll_ctl hook remembers them, and the
 * swap makes the same ones for the new socket. What is remembered is only a hint: EPOLL_CTL_DEL on
 * the old socket says whether the registration existed, and where the registry may be incomplete
 * (HINT_TCP is not set; epoll_sets.h), the kernel is asked for the others.
 *
 * Only TCP sockets are remembered, in a short list for each descriptor. The nodes are zero pages,
 * not touched in a program that needs none. A node stays with its descriptor number and is reused
 * there, so memory and time do not grow with the number of calls. No lock; only whole tables are
 * allocated (hint_far_table).
 */
#ifndef SHIM_SOCKET_EPOLL_REGISTRY_H
#define SHIM_SOCKET_EPOLL_REGISTRY_H

#include "shim/socket/epoll_sets.h"

/* After a call that has returned the new descriptor `fd`: forgets what was remembered of the
 * number. `tcp`: it is a new TCP socket. No system call. */
void epoll_registry_opened(int fd, bool tcp);

/* Records a successful EPOLL_CTL_ADD, MOD or DEL of `fd`. No system call. */
void epoll_registry_note(int epfd, int op, int fd, const struct epoll_event *event);

/* Before the swap: removes the registrations of the socket at `fd` and describes them in *moved.
 * One system call for each that is remembered, more for one with EPOLLONESHOT; asking the kernel
 * costs what epoll_sets.h says. Returns 0, or EMFILE, ENFILE or ENOMEM if the kernel could not be
 * asked; *moved then describes those already removed, to be attached again. */
int epoll_registry_detach(int fd, struct epoll_moved *moved);

/* After the swap: registers the socket that is now at `fd` (the old one, if the swap failed). */
void epoll_registry_attach(int fd, const struct epoll_moved *moved);

#endif
