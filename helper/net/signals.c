/* SPDX-License-Identifier: MIT */
/* signals.c - see signals.h. */
#include "helper/net/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

void signals_reported(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGCHLD);
}

void signals_block(int block) {
    sigset_t set;
    signals_reported(&set);
    sigprocmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void on_signal(struct loop_watch *watch, uint32_t events) {
    struct signals *signals = container_of(watch, struct signals, watch);
    struct signalfd_siginfo info;
    (void)events;
    while (watch->open && read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        signals->fn(signals, (int)info.ssi_signo);
}

int signals_start(struct signals *signals, struct loop *loop, void (*fn)(struct signals *, int)) {
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    signals_block(1);
    signals_reported(&set);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    signals->fn = fn;
    int error = loop_watch_add(loop, &signals->watch, fd, EPOLLIN | LOOP_LEVEL, on_signal);
    if (error)
        close(fd);
    return error;
}

void signals_stop(struct signals *signals) {
    loop_watch_close(&signals->watch);
}
