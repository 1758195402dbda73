/* SPDX-License-Identifier: MIT */
/*
 * helper.h - what the parts of smux-helper share.
 */
#ifndef HELPER_CLIENT_HELPER_H
#define HELPER_CLIENT_HELPER_H

#include "core/common/config.h"
#include "helper/client/abandon_watch.h"
#include "helper/client/accounts.h"
#include "helper/client/admission.h"
#include "helper/client/conn.h"
#include "helper/client/upstreams.h"
#include "helper/net/reactor.h"
#include "helper/net/resolver.h"

struct gateway;
struct gateway_config;
struct shim_listener;
struct admin;
struct name_table;

#define HELPER_IDS 16384

struct helper {
    struct reactor reactor;
    struct resolver *resolver;
    struct resolver_client *lookups; /* of all upstreams */
    struct config *config;
    struct upstreams upstreams;     /* of the helper's own user and root; all of `to` is there */
    struct gateway *direct_gateway; /* in this process, for on-failure = direct */
    struct gateway_config *direct_config;
    struct shim_listener *local;
    struct admin *control;
    struct name_table *names; /* NULL until the socket's place is known */
    struct admission admission;
    struct accounts accounts;
    struct conn *conns;           /* all, requests without a route yet included */
    struct conn *ids[HELPER_IDS]; /* those with an id, by its hash */
    uint64_t ids_seed;
    struct abandon_watches pendings; /* connects under way */
    uint32_t descriptors;            /* at most */
    uint32_t conn_count;             /* with a route */
    uint64_t conns_total;
    uint64_t begun_total; /* the same, with questions about names and what was refused */
    uint64_t began_us;
    bool draining;
    struct loop_timer drain_timer;
    /* Asked for by smuxctl: set by whoever runs the helper (helper_process.c). */
    bool (*reload)(struct helper *helper, char *message, size_t size);
    void (*stop)(struct helper *helper);
    void (*give_way)(struct helper *helper); /* at the beginning of a drain: another may start */
};

/* Creates the loop, the resolver and the upstreams. Takes `config` (malloc'ed). False and a text.
 * */
bool helper_init(struct helper *helper, struct config *config, const char **why);
void helper_fini(struct helper *helper);

/* Takes a new configuration; connections that exist go on. False, with nothing changed, if memory
 * is short. */
bool helper_reconfigure(struct helper *helper, struct config *config);

/* Does the address stand for a host name (name_table.h)? Never if no route has a name. */
bool helper_is_synthetic(const struct helper *helper, const struct endpoint *address);

/* How many connections a user may have who is neither the helper's own nor root:
 * max-streams-per-user, and no more than a quarter of what there are descriptors for. */
uint32_t helper_streams_per_user(const struct helper *helper);

/* The user's upstream for a gateway's name; `account` NULL: the helper's own user's. NULL if there
 * is none, or memory is short. */
struct upstream *helper_upstream(struct helper *helper, struct account *account,
                                 const char *gateway);

/* The user's upstream that connects directly from this machine. NULL if memory or descriptors are
 * short. */
struct upstream *helper_direct(struct helper *helper, struct account *account);

/* The sessions of all, for `smuxctl status`. */
void helper_status(const struct helper *helper, json_t *list);

/* Accepts nothing more, lets another helper take the place, and stops when the last connection has
 * ended. */
void helper_drain(struct helper *helper);

/* A connection has ended: drain may be complete. */
void helper_conn_gone(struct helper *helper);

#endif
