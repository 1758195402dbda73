/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - what a process may still do once it has started.
 *
 * Whoever takes over a process by what it sends to it has the process's rights. So a daemon gives
 * up what its work does not need before it reads the first byte of a stranger's: no new privileges,
 * a list of system calls (system_calls.h), and files only where Landlock (landlock.h) lets it. A
 * sandbox does not keep it from doing its work for somebody else: it may connect anywhere, and
 * everything that is in its memory is in the intruder's hands.
 *
 * A build with sanitizers, and a run under valgrind, have no sandbox: these look into their own
 * process with calls that are not on the list.
 */
#ifndef HELPER_NET_SANDBOX_H
#define HELPER_NET_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/common/config.h"
#include "helper/net/landlock.h"
#include "helper/net/system_calls.h"

struct sandbox {
    enum sandbox_role role;
    enum config_sandbox mode;
    bool syslog; /* it logs to syslog, whose socket may have to be connected again */
    const struct landlock_rule *files; /* what Landlock leaves; NULL and 0: nothing */
    size_t file_count;
};

/* Restricts this process for good, all of its threads, and says so in one line of the log, with
 * what this kernel or this build does not offer. Never fails: what is missing is a warning.
 * The mode CONFIG_SANDBOX_LOG forbids nothing, and has the kernel log (audit) each system call that
 * the list does not have. */
void sandbox_enter(const struct sandbox *sandbox);

/* Is this a process that sandbox_enter would leave alone? NULL, or a static text that says why. */
const char *sandbox_is_off(enum config_sandbox mode);

#endif
