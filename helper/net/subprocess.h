/* SPDX-License-Identifier: MIT */
/*
 * subprocess.h - a child that does for its process what the process itself may do no longer
 * (sandbox.h), and that talks to nobody else.
 */
#ifndef HELPER_NET_SUBPROCESS_H
#define HELPER_NET_SUBPROCESS_H

#include <sys/types.h>

struct subprocess {
    int socket; /* the process's end: AF_UNIX, SOCK_SEQPACKET, blocking; -1: there is none */
    pid_t pid;
};

/* Forks a child called `name` (15 bytes), which calls `run` with its end of the socket and exits
 * when that returns, and is killed when the process ends. It has no other descriptor than the
 * socket and 0 to 2, which are /dev/null: a port would outlive the process. It may gain no
 * privileges. The process has no other threads yet. 0 or a negative errno. */
int subprocess_start(struct subprocess *child, const char *name,
                     void (*run)(int socket, void *user), void *user);

/* Every child from now on calls `forget` first, to free and wipe what it was forked with and must
 * not have: secrets. Only what has no thread and no descriptor may be touched. */
void subprocess_forgets(void (*forget)(void));

#endif
