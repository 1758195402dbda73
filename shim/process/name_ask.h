/* SPDX-License-Identifier: MIT */
/*
 * name_ask.h - asks the helper which address stands for a name, and which name for an address.
 *
 * The helper assigns a synthetic address to a name that a route matches and this host cannot
 * resolve (core/common/CONTROL.md, "Names"). Nothing is cached here: each call makes one connection
 * to the helper's socket, for a question and an answer, which costs about as much as a failed
 * connect. Each waits at most HELPER_NAME_WAIT_MS in all, whatever signals come. No lock, no heap;
 * any number of threads may call them at once.
 *
 * Both return 0, an errno of struct helper_name_answer, EAGAIN if no helper answers and none can be
 * started, or the errno of a system call that ran out of descriptors or memory.
 */
#ifndef SHIM_PROCESS_NAME_ASK_H
#define SHIM_PROCESS_NAME_ASK_H

#include "core/common/helper_protocol.h"
#include "shim/process/settings.h"

/* The address of `name` (a valid host name) in `family`, and the name as the helper keeps it.
 * Returns EPROTO if the address is not in this process's range of synthetic addresses. */
int name_ask_address(const struct settings *settings, const char *name, int family,
                     struct endpoint *address, char kept[HELPER_HOST_NAME_MAX + 1]);

/* The name that `address` stands for. */
int name_ask_name(const struct settings *settings, const struct endpoint *address,
                  char name[HELPER_HOST_NAME_MAX + 1]);

#endif
