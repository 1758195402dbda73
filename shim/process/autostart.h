/* SPDX-License-Identifier: MIT */
/*
 * autostart.h - starts the helper from inside the program, where no launcher has done so or where
 * the helper that it started has ended.
 *
 * The program must not notice: the new process is not its child (no SIGCHLD, nothing for wait(2) to
 * find), inherits none of its descriptors, its signal dispositions and mask or its terminal, and of
 * its environment only what environment.h captured. If several processes start smux-helper at once,
 * its lock decides which one runs.
 */
#ifndef SHIM_PROCESS_AUTOSTART_H
#define SHIM_PROCESS_AUTOSTART_H

#include <stdbool.h>
#include <stdint.h>

/* Starts smux-helper for `socket_path`, where no helper answers, and waits until one does: at most
 * `limit_ms`, and never longer than AUTOSTART_LIMIT_MS. Returns true if a helper answers, whichever
 * process started it. Returns false at once if the configuration has no routes, no gateway or
 * autostart = no, if the program runs with raised privileges, and for AUTOSTART_PAUSE_MS after a
 * failed attempt. The reason for a failure is written to SMUXSHIM_LOG. Thread-safe; safe in signal
 * handlers; changes errno. */
bool autostart_helper(const char *socket_path, uint32_t limit_ms);

#define AUTOSTART_LIMIT_MS 10000
#define AUTOSTART_PAUSE_MS 5000

#endif
