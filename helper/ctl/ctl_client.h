/* SPDX-License-Identifier: MIT */
/*
 * ctl_client.h - requests to the helper over its control socket, and its answers (admin.h).
 */
#ifndef HELPER_CTL_CTL_CLIENT_H
#define HELPER_CTL_CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "helper/ctl/ctl.h"

/* Connects to the helper's control socket. Returns the descriptor, or a negative errno if no helper
 * answers, after a line on stderr unless `quiet`. */
int ctl_connect_helper(const struct ctl_options *options, bool quiet);

/* The same for a path of its own: 0 or more is the descriptor. Prints nothing. */
int ctl_connect_socket(const char *path);

/* Asks the helper to do something, and prints a line on stderr if it does not. Returns the exit
 * status. */
int ctl_simple(const struct ctl_options *options, const char *command);

/* Sends the request (takes the reference). */
bool ctl_send(int helper_fd, json_t *request);

/* Sends the request (takes the reference) and returns the answer, whatever it is; NULL if there is
 * none. *fd as below. */
json_t *ctl_exchange(int helper_fd, json_t *request, int *fd);

/* ctl_ask over a connection of its own. NULL, after a line on stderr, also if no helper answers. */
json_t *ctl_ask_helper(const struct ctl_options *options, json_t *request, int *fd);

/* Sends the request (takes the reference) and returns the answer. *fd, unless `fd` is NULL, is set
 * to the descriptor that came with the answer, or -1. Returns NULL, after a line on stderr, if the
 * helper did not answer with "ok": true. */
json_t *ctl_ask(int helper_fd, json_t *request, int *fd);

#endif
