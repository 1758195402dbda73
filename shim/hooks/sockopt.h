/* SPDX-License-Identifier: MIT */
/*
 * sockopt.h - setsockopt, getsockopt, ioctl and epoll_ctl: libc first, TCP's answer where libc's
 * cannot be TCP's.
 */
#ifndef SHIM_HOOKS_SOCKOPT_H
#define SHIM_HOOKS_SOCKOPT_H

#include <sys/epoll.h>
#include <sys/socket.h>

#include "shim/hooks/hooks.h"

/* The hook of ioctl(2), with the argument that the request has, or anything if it has none. */
int shim_ioctl(int fd, unsigned long request, void *argument);

#endif
