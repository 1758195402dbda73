/* SPDX-License-Identifier: MIT */
/*
 * sockopt.h - setsockopt, getsockopt, ioctl and epoll_ctl. libc's call comes first where its answer
 * can be used; on a connection of ours the answer is then corrected to TCP's.
 */
#ifndef SHIM_HOOKS_SOCKOPT_H
#define SHIM_HOOKS_SOCKOPT_H

#include <sys/epoll.h>
#include <sys/socket.h>

#include "shim/hooks/hooks.h"

/* ioctl(2). `argument`: that of the request, ignored if the request has none. */
int shim_ioctl(int fd, unsigned long request, void *argument);

#endif
