/* SPDX-License-Identifier: MIT */
/*
 * ctl_client.h - asks the helper: its control socket, requests and answers (admin.h).
 */
#ifndef HELPER_CTL_CTL_CLIENT_H
#define HELPER_CTL_CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "helper/ctl/ctl.h"

/* Connects to the helper's control socket. Returns the descriptor; a negative errno after a line on
 * stderr if there is no helper, or without one if `quiet`. */
int ctl_connect_helper(const struct ctl_options *options, bool quiet);

/* Sends the request (takes the reference) and reads the answer. *fd, if not NULL, is set to the
 * descriptor that came with it, or -1. NULL, with a line on stderr, if the helper did not answer
 * with "ok": true. */
json_t *ctl_ask(int helper_fd, json_t *request, int *fd);

#endif
