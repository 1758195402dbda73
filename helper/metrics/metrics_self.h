/* SPDX-License-Identifier: MIT */
/*
 * metrics_self.h - what a process holds and uses, as it and the kernel know it.
 */
#ifndef HELPER_METRICS_METRICS_SELF_H
#define HELPER_METRICS_METRICS_SELF_H

#include "helper/net/reactor.h"

/* Opens what is looked at later, from within a sandbox; nothing where there is no segment. */
void metrics_self_open(void);

/* Puts what the reactor holds into the slot of this process. */
void metrics_memory_look(const struct reactor *reactor);

/* The same for descriptors, memory, processor time, and the log. A few system calls. */
void metrics_self_look(void);

#endif
