/*
 * opened.h - the hooks of calls that give a descriptor of a kind that epoll_registry.h wants to know.
 * libc first; no system call.
 */
#ifndef SHIM_OPENED_H
#define SHIM_OPENED_H

int shim_socket(int family, int type, int protocol);

#endif
