/* SPDX-License-Identifier: MIT */
/*
 * helper_socket.h - the connection to the helper, made inside the program without passing its
 * hooks.
 */
#ifndef SHIM_PROCESS_HELPER_SOCKET_H
#define SHIM_PROCESS_HELPER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Does what helper_place_connect (helper_place.h) does, with calls that are no cancellation points.
 * Returns 0 or an errno. */
int helper_socket_connect(int fd, const char *path);

/* The errno with which the helper has refused this connection without reading its request
 * (core/common/CONTROL.md, "Refusal"); 0 if it has not. 1 system call. */
int helper_socket_refusal(int fd);

/* An exchange that waits for the helper inside a call of the program which cannot say EINTR:
 * signals neither end nor renew it. `fd` is a blocking AF_UNIX stream socket that belongs to the
 * exchange, and `until_ms` comes from helper_exchange_until(). */

/* The CLOCK_MONOTONIC time, in milliseconds, at which an exchange that may take wait_ms ends. */
int64_t helper_exchange_until(uint32_t wait_ms);
/* helper_socket_connect. EAGAIN: the helper had no room in time. */
int helper_exchange_connect(int fd, const char *path, int64_t until_ms);
/* Connects to the helper that listens at `name`. 0 or an errno. */
int helper_exchange_connect_to(int fd, const void *name, socklen_t len, int64_t until_ms);
/* Sends `len` bytes, the whole of msg, for which a new socket has room: it does not wait. */
bool helper_exchange_send(int fd, const struct msghdr *msg, size_t len);
/* What recv(2) returns; -1 with EAGAIN when the time is over. */
ssize_t helper_exchange_receive(int fd, void *data, size_t len, int64_t until_ms);

#endif
