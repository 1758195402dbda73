/* SPDX-License-Identifier: MIT */
/*
 * signals.h - signals as events of the loop (signalfd). One per process.
 */
#ifndef HELPER_NET_SIGNALS_H
#define HELPER_NET_SIGNALS_H

#include <signal.h>

#include "helper/net/loop.h"

struct signals {
    struct loop_watch watch;
    void (*fn)(struct signals *signals, int signo);
};

/* Blocks SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 and SIGCHLD and reports them to fn; ignores
 * SIGPIPE. 0 or a negative errno. */
int signals_start(struct signals *signals, struct loop *loop,
                  void (*fn)(struct signals *signals, int signo));
void signals_stop(struct signals *signals);

/* Sets `set` to these signals. */
void signals_reported(sigset_t *set);

/* Blocks (true) or unblocks the signals that signals_start reports: a program blocks them before it
 * is ready, so that none is lost, and unblocks them for children. */
void signals_block(int block);

#endif
