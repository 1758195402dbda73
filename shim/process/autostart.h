/* SPDX-License-Identifier: MIT */
/*
 * autostart.h - starts the helper from inside the program, where no launcher did (or where the
 * helper that it started is gone).
 *
 * The program must not notice: the new process is not its child (no SIGCHLD, nothing for wait(2) to
 * find), has none of its descriptors, signal dispositions, masks and terminal, and only what
 * environment.h captured of its environment. If several processes start smux-helper at once, its
 * lock decides which one runs.
 */
#ifndef SHIM_PROCESS_AUTOSTART_H
#define SHIM_PROCESS_AUTOSTART_H

#include <stdbool.h>
#include <stdint.h>

/* Starts smux-helper for `socket_path`, which does not answer, and waits up to `limit_ms` (and
 * never longer than AUTOSTART_LIMIT_MS) until it does. True if it does, whoever started it. False
 * at once if the configuration says autostart = no or names no gateway, if the program runs with
 * raised privileges, and for AUTOSTART_PAUSE_MS after an attempt that failed: the reason is in
 * SMUXSHIM_LOG. Thread-safe; safe in signal handlers; changes errno. */
bool autostart_helper(const char *socket_path, uint32_t limit_ms);

#define AUTOSTART_LIMIT_MS 10000
#define AUTOSTART_PAUSE_MS 5000

#endif
