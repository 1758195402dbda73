/* SPDX-License-Identifier: MIT */
/*
 * inherited.h - resets what a daemon has inherited from the program that happened to start it.
 *
 * A helper is started by the first program that needs one, and serves others after it. Nothing of
 * the first one may constrain it: limits, priorities, descriptors, signals, the process that waits
 * for it.
 */
#ifndef HELPER_NET_INHERITED_H
#define HELPER_NET_INHERITED_H

/* For every daemon: soft limits become the hard ones (root lifts these as well), and SIGXFSZ and
 * SIGXCPU are ignored, so that a file that may not grow is an error (EFBIG) like a full disk. */
void inherited_lift_limits(void);

/* For a daemon that goes to the background, before it has threads and descriptors of its own:
 * closes all descriptors but 0 to 2; every signal has its default and none is blocked; umask, nice
 * value, scheduling policy, I/O priority, CPU affinity, memory policy, timer slack and OOM score
 * are as for any daemon; the working directory is /. */
void inherited_reset(void);

/* Once the log is open: one line that names what could not be reset, if anything. */
void inherited_log(void);

/* If this process will end with, or is waited for by, somebody other than the machine's init or the
 * user's systemd: a static text that says so; else NULL. Valid once the starting process has ended.
 * */
const char *inherited_birthplace(void);

/* For every daemon, because it has the data of many programs in its memory: no core dumps, and no
 * access to its memory for other processes of the same user (ptrace, /proc/PID/mem). Does nothing
 * under sanitizers, which look into their own process that way. */
void inherited_forbid_dumps(void);

#endif
