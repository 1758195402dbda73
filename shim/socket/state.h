/* SPDX-License-Identifier: MIT */
/*
 * state.h - what the kernel says about a descriptor: is it ours, and what is the state of its
 * connect?
 *
 * Nothing is remembered: every answer comes from the names of the socket (core/common/CONTROL.md),
 * so every process that holds the descriptor gets the same answer. All functions but shim_received
 * preserve errno, and all are safe in signal handlers.
 */
#ifndef SHIM_SOCKET_STATE_H
#define SHIM_SOCKET_STATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/common/helper_protocol.h"

enum shim_kind {
    SHIM_FOREIGN,    /* not ours: libc's answer stands */
    SHIM_CONNECTING, /* TCP's SYN_SENT */
    SHIM_FAILED,     /* outcome.err is the errno */
    SHIM_CONNECTED,  /* outcome.dest and .local are its addresses; it may have ended since */
};

struct shim_state {
    enum shim_kind kind;
    struct helper_outcome outcome; /* for SHIM_FAILED and SHIM_CONNECTED; zero otherwise */
};

/* 1 system call if there is an outcome or the socket is not AF_UNIX; 3 while connecting. */
struct shim_state shim_state_read(int fd);

/* Is it ours at all? 1 system call. Clears a stale hint. */
bool shim_is_ours(int fd);

/* Returns and clears the socket's pending error, an errno, as reading SO_ERROR does. 1 system
 * call. */
int shim_take_error(int fd);

/* The errno that TCP would report where the kernel reports ECONNRESET: the outcome's if the connect
 * failed, ECONNRESET if it had succeeded. */
int shim_reset_errno(const struct shim_state *state);

/* Takes and returns the result of a receive from `fd`. If it failed with ECONNRESET because the
 * connect had failed, errno becomes that of the connect. A system call only after ECONNRESET. */
ssize_t shim_received(int fd, ssize_t result);

/* Is the descriptor in blocking mode? 1 system call. */
bool shim_is_blocking(int fd);

/* The events that poll(2) reports for the descriptor at this moment; 0 if none. 1 system call. */
short shim_poll_now(int fd, short events);

/* Does poll(2) report POLLHUP: has the helper closed its end, or have both directions ended? 1
 * system call. */
bool shim_is_hung_up(int fd);

#endif
