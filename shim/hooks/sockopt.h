/* SPDX-License-Identifier: MIT */
/*
 * sockopt.h - setsockopt, getsockopt, ioctl and epoll_ctl: libc first, TCP's answer where libc's
 * cannot be TCP's.
 */
#ifndef SHIM_HOOKS_SOCKOPT_H
#define SHIM_HOOKS_SOCKOPT_H

#include <sys/epoll.h>
#include <sys/socket.h>

int shim_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int shim_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int shim_ioctl(int fd, unsigned long request, void *argument);
int shim_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);

#endif
