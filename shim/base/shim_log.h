/* SPDX-License-Identifier: MIT */
/*
 * shim_log.h - the shim's log, written only if SMUXSHIM_LOG asks for it.
 *
 * SMUXSHIM_LOG is the path of a file to append to, or "-" for stderr. The file is opened for each
 * line: the shim keeps no descriptor that a program could close or inherit. Preserves errno; no
 * heap.
 */
#ifndef SHIM_BASE_SHIM_LOG_H
#define SHIM_BASE_SHIM_LOG_H

#include <stdbool.h>

/* Is the log on? One load; lets callers skip preparing arguments. */
bool shim_log_wanted(void);

void shim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line on stderr, whatever SMUXSHIM_LOG says: for a broken configuration, once per process. */
void shim_complain(const char *text);

#endif
