/* SPDX-License-Identifier: MIT */
/*
 * gateway_client.h - the clients that have had sessions at this gateway, and what each has used of
 * what its section (client_config.h) grants. A client's account outlives its sessions: who comes
 * back finds it as it was.
 */
#ifndef HELPER_GATEWAY_GATEWAY_CLIENT_H
#define HELPER_GATEWAY_GATEWAY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/gateway/client_config.h"
#include "helper/metrics/metrics.h"
#include "helper/net/rate.h"

struct gateway_client {
    const struct client_config *config; /* of now; NULL: the configuration knows it no more */
    uint32_t sessions, streams;
    uint64_t connects_full_us; /* when it may begin a whole second's connections at once again */
    struct rate from_targets, to_targets;       /* bytes */
    struct metrics_series *flows, *sessions_of; /* where its connections and sessions count */
    struct gateway_client *next;
    char name[ROUTE_NAME_MAX + 1];
};

/* The account of a section, made if need be. NULL: out of memory. */
struct gateway_client *gateway_client_get(struct gateway_client **list, struct loop *loop,
                                          const struct client_config *config);

/* The sections are these from now on: accounts follow them by name. */
void gateway_clients_follow(struct gateway_client **list, struct client_config *configs);

/* Frees the accounts; no session may refer to one. */
void gateway_clients_free(struct gateway_client **list);

/* May it have its newest stream, which is counted already, connected now? NULL: yes, and that has
 * been counted as well; else the limit that stands against it. `client` NULL: no limit does. */
const char *gateway_client_admit(struct gateway_client *client, uint64_t now_us);

#endif
