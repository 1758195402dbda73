/* SPDX-License-Identifier: MIT */
/* trap.c - see trap.h. */
#include "shim/trap/trap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/trap/filter.h"
#include "shim/trap/handshake.h"
#include "shim/trap/supervisor.h"

/* Starts the supervisor, as no child of this process: the program must not find one that it has not
 * started. Returns the socket to it, or the negative of an errno. */
static int start_supervisor(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    pid_t between = fork();
    if (between == 0) {
        setsid();
        pid_t supervisor = fork();
        if (supervisor == 0) {
            close(pair[0]);
            supervisor_run(pair[1]);
        }
        _exit(supervisor < 0);
    }
    int err = between < 0 ? errno : 0, status = 1;
    close(pair[1]);
    while (between > 0 && waitpid(between, &status, 0) < 0 && errno == EINTR)
        ;
    if (err == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        err = EAGAIN;
    if (err == 0)
        return pair[0];
    close(pair[0]);
    return -err;
}

/* What the kernel's answer to the installation means. */
static const char *why_no_filter(int err) {
    return err == EBUSY ? "the program is under another supervisor of system calls already"
                        : strerror(err);
}

enum trap_start trap_start(char *why, size_t size) {
    if (!filter_is_possible()) {
        snprintf(why, size,
                 "this kernel cannot trap system calls: expected Linux 5.9 or later with "
                 "seccomp, on x86-64 or arm64");
        return TRAP_IMPOSSIBLE;
    }
    int supervisor = start_supervisor();
    if (supervisor < 0) {
        snprintf(why, size, "the supervisor cannot be started: %s", strerror(-supervisor));
        return TRAP_IMPOSSIBLE;
    }
    int err = handshake_ask(supervisor), listener = -1;
    if (err) {
        snprintf(why, size, "the supervisor may not inspect the program (ptrace): %s",
                 strerror(err));
    } else if ((listener = filter_install()) < 0) {
        snprintf(why, size, "the filter of system calls cannot be installed: %s",
                 why_no_filter(-listener));
    } else if (!handshake_give(supervisor, listener)) {
        snprintf(why, size, "the supervisor has ended");
        close(supervisor);
        return TRAP_BROKEN;
    }
    close(supervisor);
    return listener < 0 ? TRAP_IMPOSSIBLE : TRAP_STARTED;
}
