/* SPDX-License-Identifier: MIT */
/*
 * name_ask.h - asks the helper which address stands for a name, and which name for an address.
 *
 * The helper gives a synthetic address to a name that a route wants and that nobody here can
 * resolve (core/common/CONTROL.md, "Names"). Both functions ask anew each time: one connection to
 * the helper's socket, a question and an answer, about as much work as a failed connect. They wait
 * at most HELPER_NAME_WAIT_MS, take no lock and use no heap; many threads may call them at once.
 *
 * They return 0, an errno of struct helper_name_answer, EAGAIN if no helper answers and none can be
 * started, or the errno of a system call that lacked descriptors or memory.
 */
#ifndef SHIM_PROCESS_NAME_ASK_H
#define SHIM_PROCESS_NAME_ASK_H

#include "core/common/helper_protocol.h"
#include "shim/process/settings.h"

/* The address of `name` (a valid host name) in `family`, and the name as the helper keeps it. An
 * address that is not of this process's range is not accepted: EPROTO. */
int name_ask_address(const struct settings *settings, const char *name, int family,
                     struct endpoint *address, char kept[HELPER_HOST_NAME_MAX + 1]);

/* The name behind `address`. */
int name_ask_name(const struct settings *settings, const struct endpoint *address,
                  char name[HELPER_HOST_NAME_MAX + 1]);

#endif
