/* SPDX-License-Identifier: MIT */
/*
 * successor.h - a daemon replaced by the program that is installed now: its successor, which has
 * the same listening sockets before this process stops to accept. predecessor.h is the other end.
 *
 * The successor is started with the command line and the environment of this process, in the same
 * control group and namespaces and with the same privileges, whatever this process has given up
 * since (sandbox.h, privileges.h): a child starts it, which was forked before. It finds the sockets
 * as those of a service manager (passed_sockets.h), says "ready" over a channel when it could
 * accept, and accepts when it has been told to go on. Until then this process goes on accepting; if
 * the successor fails, or says nothing, that is all it does.
 *
 * A queued connection is lost when the last descriptor of its listening socket is closed, so all of
 * them are passed. One successor per process, for the main thread.
 */
#ifndef HELPER_NET_SUCCESSOR_H
#define HELPER_NET_SUCCESSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/net/log.h"

/* How long a successor may take until it is ready. */
#ifndef SUCCESSOR_READY_US /* tests build with a shorter one */
#define SUCCESSOR_READY_US 30000000u
#endif

/* How often to look at one that is not ready. */
#define SUCCESSOR_LOOK_US 20000u
/* ... and at one that this process has given way to. */
#define SUCCESSOR_LOOK_LATER_US 250000u

/* What is said about it is not lost among the lines of many connections. */
extern struct log_kind successor_lines;

struct successor {
    pid_t pid;   /* 0: there is none */
    int channel; /* valid while there is one */
    uint64_t begun_us;
    bool ready;
};

/* What it gets; the descriptors stay open here. */
struct successor_gift {
    const int *listeners; /* at most PASSED_SOCKETS_MAX */
    int count;
    int lock;       /* a file that is locked; -1: none */
    bool activated; /* the listeners are a service manager's, which keeps them */
};

/* The variable that a successor finds its predecessor by. */
#define SUCCESSOR_VARIABLE "SMUX_PREDECESSOR"
/* Its value are numbers separated by colons: this one, 1 if the sockets are a service manager's,
 * and the descriptors of the lock (or -1), of the channel, and of the channels to those that the
 * predecessor has itself replaced. It changes when that does. */
#define SUCCESSOR_VERSION 1

/* What goes over the channel, a byte each. */
enum successor_message {
    SUCCESSOR_SAYS_READY = 'R',
    SUCCESSOR_MAY_GO_ON = 'G',
    SUCCESSOR_MUST_END = 'N',
    SUCCESSOR_SAYS_END = 'T' /* it ends itself: do not keep it waiting */
};

/* The command line to start it with: argv[0] is looked up as it was for this process, but a
 * relative path counts from today's working directory. To be called at the start; false if memory
 * is short. `argv` is kept. */
bool successor_program(char *const argv[]);

/* Whether that is the file that this process runs; false if it cannot be found out. */
bool successor_program_is_same(void);

/* Forks the child that will start it: before this process gives up its privileges, and while it has
 * no other threads. 0 or a negative errno. A process that gives up nothing need not call it. */
int successor_prepare(void);
/* To be called after SIGCHLD. True, once, if that child has ended: there can be no successor. */
bool successor_cannot_start(void);

/* Starts one; the caller looks at it from now on. NULL, or a text (static) that says why not. */
const char *successor_start(struct successor *successor, const struct successor_gift *gift);

enum successor_news {
    SUCCESSOR_NO_NEWS,
    SUCCESSOR_IS_READY, /* the caller decides: successor_go() */
    SUCCESSOR_ENDS      /* the caller, which drains, must come to an end */
};

/* What has happened since the last call. A successor that has ended before it was ready, or was not
 * in time, is gone afterwards, and that was logged. */
enum successor_news successor_look(struct successor *successor);

/* It is ready, and the service manager, if there is one, is told that it is the main process from
 * now on (service_notify.h): it accepts. The caller stops to. */
void successor_go(struct successor *successor);

/* Ends one that was not told to go on. Harmless if there is none. */
void successor_give_up(struct successor *successor);

/* In a child of this process that does other work: nothing of it is left there. */
void successor_forget(struct successor *successor);

#endif
