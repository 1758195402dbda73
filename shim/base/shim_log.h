/* SPDX-License-Identifier: MIT */
/*
 * shim_log.h - the shim's log, written only if SMUXSHIM_LOG asks for it.
 *
 * SMUXSHIM_LOG is the path of a file to append to, or "-" for stderr. The file is opened anew for
 * each line, so the shim keeps no descriptor that the program could close or a child inherit. Both
 * writers preserve errno and use no heap.
 */
#ifndef SHIM_BASE_SHIM_LOG_H
#define SHIM_BASE_SHIM_LOG_H

#include <stdbool.h>

/* Is the log on? Lets callers skip preparing the arguments of a line. */
bool shim_log_wanted(void);

void shim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes one line to stderr, whatever SMUXSHIM_LOG says: for a problem that makes every routed
 * connect fail, which callers report once per process. */
void shim_complain(const char *text);

#endif
