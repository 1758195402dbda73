/*
 * resolver.h - host names to addresses, without blocking (c-ares in the event loop).
 *
 * /etc/hosts, resolv.conf and numeric names work as usual. One resolver per event loop.
 */
#ifndef HELPER_RESOLVER_H
#define HELPER_RESOLVER_H

#include <stdbool.h>

#include "helper/loop.h"
#include "shim/control_endpoint.h"

/* More addresses of a name than anybody tries before the connect times out. */
#define RESOLVER_ADDRESSES_MAX 16

struct resolver;

struct resolver_query {
    /* Called once, perhaps from within resolver_start: error 0 and the addresses, in the order to try
     * them; or an errno and none. */
    void (*done)(struct resolver_query *query, int error, const struct shim_endpoint *addresses,
                 int count);
    struct resolver_ticket *ticket; /* not NULL while pending */
};

/* NULL, and a text in *why, if the library cannot start. */
struct resolver *resolver_new(struct loop *loop, const char **why);
/* Pending queries end with ECANCELED. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Looks `name` up; every address gets `port`. A name that does not exist is EHOSTUNREACH, a silent
 * name server ETIMEDOUT. */
void resolver_start(struct resolver *resolver, struct resolver_query *query, const char *name,
                    uint16_t port,
                    void (*done)(struct resolver_query *query, int error,
                                 const struct shim_endpoint *addresses, int count));
/* `done` will not be called. Harmless when nothing is pending. */
void resolver_cancel(struct resolver_query *query);

#endif
