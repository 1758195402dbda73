/*
 * opened.h - the hooks of calls that give a descriptor of a kind that epoll_registry.h wants to know.
 * libc first; no system call.
 */
#ifndef SHIM_OPENED_H
#define SHIM_OPENED_H

int shim_socket(int family, int type, int protocol);
int shim_epoll_create(int size);
int shim_epoll_create1(int flags);

/* libc has no function for it; made through syscall(2). */
int shim_io_uring_setup(unsigned n_entries, void *params);

#endif
