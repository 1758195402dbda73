/* SPDX-License-Identifier: MIT */
/*
 * epoll_registry.h - epoll registrations made before connect, kept alive over the swap.
 *
 * Programs with an event loop add a socket to their epoll set first and connect it second. dup3
 * replaces the socket and so drops its registrations. So the epoll_ctl hook remembers them, and the
 * swap makes the same ones for the new socket. What is remembered is a hint, as everywhere:
 * EPOLL_CTL_DEL on the old socket says whether the registration existed, and where the memory may
 * be incomplete (without HINT_TCP; epoll_sets.h) the kernel is asked for the others.
 *
 * Only TCP sockets are remembered, in a short list for each descriptor. The lists' nodes are
 * untouched zero pages in a program that does not use them; each stays with its descriptor number
 * and is used again there, so that memory and time do not grow with the number of calls. No lock,
 * no allocation but whole tables (hint_far_table).
 */
#ifndef SHIM_SOCKET_EPOLL_REGISTRY_H
#define SHIM_SOCKET_EPOLL_REGISTRY_H

#include "shim/socket/epoll_sets.h"

/* After a successful socket(): forgets what was remembered of the number. `tcp`: it is a TCP
 * socket. No system call. */
void epoll_registry_opened(int fd, bool tcp);

/* After a successful EPOLL_CTL_ADD, MOD or DEL of `fd`. No system call. */
void epoll_registry_note(int epfd, int op, int fd, const struct epoll_event *event);

/* Removes the registrations of the socket that is still at `fd` and describes them in *moved. One
 * system call for each that is remembered, more for one with EPOLLONESHOT; asking the kernel costs
 * what epoll_sets.h says. Returns 0, or EMFILE, ENFILE or ENOMEM if the kernel could not be asked;
 * *moved then holds what was removed, for attach. */
int epoll_registry_detach(int fd, struct epoll_moved *moved);

/* Registers what is at `fd` now, after the swap (or the old socket again, if there was none). */
void epoll_registry_attach(int fd, const struct epoll_moved *moved);

#endif
