/* SPDX-License-Identifier: MIT */
/*
 * resolver.h - host names to addresses, without blocking (c-ares in the event loop).
 *
 * /etc/hosts, resolv.conf and numeric names work as usual. One resolver per event loop. The number
 * of queries under way is limited, in total and for each client; the others wait, and the clients
 * take turns: one that asks a silent name server for a thousand names delays only itself.
 */
#ifndef HELPER_NET_RESOLVER_H
#define HELPER_NET_RESOLVER_H

#include <stdbool.h>

#include "core/common/endpoint.h"
#include "helper/net/dns_srv.h"
#include "helper/net/loop.h"

/* The most addresses of one name; a connect times out before it has tried so many. */
#define RESOLVER_ADDRESSES_MAX 16

struct resolver;
struct resolver_client;
struct resolver_ticket;

struct resolver_query {
    /* Called once, never from within resolver_start: error 0 and the addresses, in the order to try
     * them; or a negative errno and none. */
    void (*done)(struct resolver_query *query, int error, const struct endpoint *addresses,
                 int count);
    /* The same for the records of a service, in place of `done`. */
    void (*found)(struct resolver_query *query, int error, const struct dns_srv *records,
                  int count);
    uint32_t ttl_s; /* in both: how long the answer may be used, in seconds, as its sender says */
    const char *name;
    uint16_t port;
    struct resolver_client *client; /* not NULL while it waits for its turn */
    struct list_link waits;         /* in the client's `waiting` */
    struct resolver_ticket *ticket; /* not NULL while under way */
};

/* `absolute`: names are looked up as they are, without the search domains of resolv.conf, and no
 * file is opened later except /etc/hosts (hosts.h). `servers`: name servers in place of those of
 * resolv.conf, "ADDRESS:PORT,..."; NULL or empty: those. NULL, and a text in *why, if the library
 * cannot start. */
struct resolver *resolver_new(struct loop *loop, bool absolute, const char *servers,
                              const char **why);
/* The caller has freed its clients. Pending queries end with -ECANCELED. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* How many queries wait for their turn, and how many are under way. */
struct resolver_load {
    unsigned waiting, under_way;
};
struct resolver_load resolver_load(const struct resolver *resolver);

/* Makes a client, whose queries are counted together. NULL if memory is short. */
struct resolver_client *resolver_client_new(struct resolver *resolver);
/* Frees a client that has no pending query. NULL is fine. */
void resolver_client_free(struct resolver_client *client);

/* Looks up `name`, which stays the caller's and must remain valid until the query ends. Every
 * address gets `port`. A name that does not exist gives -EHOSTUNREACH, a silent name server
 * -ETIMEDOUT. */
void resolver_start(struct resolver_client *client, struct resolver_query *query, const char *name,
                    uint16_t port,
                    void (*done)(struct resolver_query *query, int error,
                                 const struct endpoint *addresses, int count));
/* Looks up the SRV records of `name`, as it is, in the same way. At least one is found, or there is
 * an error. */
void resolver_start_service(struct resolver_client *client, struct resolver_query *query,
                            const char *name,
                            void (*found)(struct resolver_query *query, int error,
                                          const struct dns_srv *records, int count));
/* Cancels the query: its function will not be called. Harmless if it is not pending. */
void resolver_cancel(struct resolver_query *query);

#endif
