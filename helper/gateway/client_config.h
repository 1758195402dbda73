/* SPDX-License-Identifier: MIT */
/*
 * client_config.h - the sections [client NAME] of gateway.conf: who a client is, and what it may.
 *
 *     [client laptop]
 *     identity = psk:laptop, pin:sha256//…, uid:1000
 *     allow = 10.0.0.0/8:5432
 *     max-connects-per-second = 50
 */
#ifndef HELPER_GATEWAY_CLIENT_CONFIG_H
#define HELPER_GATEWAY_CLIENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/common/key_table.h"
#include "core/common/routes.h"
#include "helper/carrier/carrier.h"
#include "helper/net/proxy_protocol.h"

/* Written caps: a list of destinations alone takes 80 KiB, and there are two. */
#define CLIENTS_MAX           256u
#define CLIENT_IDENTITIES_MAX 16u

/* Which targets are told, by a PROXY header, for whom a connection is. */
struct proxy_config {
    uint8_t version;      /* enum proxy_version */
    struct route_list to; /* no rule: all of them */
};

struct client_config {
    struct client_config *next;
    unsigned line; /* of the section's header */
    char name[ROUTE_NAME_MAX + 1];
    uint16_t n_identities;
    char identity[CLIENT_IDENTITIES_MAX][CARRIER_IDENTITY_MAX + 1]; /* as carriers have them */
    struct proxy_config proxy;        /* PROXY_NONE: that of [listen] counts */
    struct route_list allow;          /* no rule: that of [listen] counts */
    uint32_t max_streams;             /* of all its sessions of a worker; 0: none of its own */
    uint32_t max_connects_per_second; /* likewise */
    uint32_t max_bytes_per_second;    /* likewise, in each direction */
};

/* Read for user:NAME. */
#define ACCOUNTS_FILE "/etc/passwd"

extern const struct key_type key_destinations;  /* struct route_list */
extern const struct key_type key_proxy_version; /* v1 or v2; uint8_t */

/* What can be in [client NAME]. */
extern const struct key client_config_keys[];

/* Begins a section: puts one more behind the others. NULL, and a message, if the name is no name or
 * taken, or if there are too many. */
struct client_config *client_config_add(struct client_config **list, const char *name,
                                        unsigned line, struct ini_error *error);

/* The one of that name, or NULL. */
struct client_config *client_config_find(struct client_config *list, const char *name);

/* What can be checked only when all is known: everyone has an identity, and none belongs to two.
 * False, and a message with the line of the section. */
bool client_config_check(const struct client_config *list, struct ini_error *error);

/* Whose the peer of a carrier is: the client of the first identity that any section names, in the
 * order of the carrier's. NULL: nobody's. */
const struct client_config *client_config_of(const struct client_config *list,
                                             const struct carrier *carrier);

/* Frees all of them, and empties the list. */
void client_config_free(struct client_config **list);

#endif
