/* SPDX-License-Identifier: MIT */
/*
 * answers.h - trapped calls that ask about a socket or set its options. Each is answered at once,
 * and let go if the socket is not ours.
 */
#ifndef SHIM_TRAP_ANSWERS_H
#define SHIM_TRAP_ANSWERS_H

#include "shim/trap/call.h"

void answer_getpeername(const struct trap_call *call);
void answer_getsockname(const struct trap_call *call);
void answer_getsockopt(const struct trap_call *call);
void answer_setsockopt(const struct trap_call *call);

#endif
