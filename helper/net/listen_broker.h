/* SPDX-License-Identifier: MIT */
/*
 * listen_broker.h - opens listening sockets for a process that may not bind ports any more.
 *
 * A process that is about to enter its sandbox forks a broker first (subprocess.h), which keeps the
 * right to bind, reads nothing but the process's requests, and opens a socket only if the rule that
 * it was started with allows that: whoever has taken over the process gets no other ports than the
 * configuration names. The broker ends with its process. For the main thread only.
 */
#ifndef HELPER_NET_LISTEN_BROKER_H
#define HELPER_NET_LISTEN_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/common/config.h"

/* Forks the broker; from now on listen_broker_open asks it. `may` is called in the broker, for each
 * request. `mode`: its own sandbox. The process has no other threads yet. 0 or a negative errno. */
int listen_broker_start(enum config_sandbox mode,
                        bool (*may)(void *user, const struct config_address *address), void *user);

/* Whether there is one. */
bool listen_broker_is_there(void);

/* As listen_open (listen.h) without sharing: by the broker if there is one, else in this
 * process. -EACCES if the rule does not allow it, -EPIPE if the broker has gone. */
int listen_broker_open(const struct config_address *address, uint32_t unix_mode, const char **why);

#endif
