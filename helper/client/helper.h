/* SPDX-License-Identifier: MIT */
/*
 * helper.h - the helper, without its process (helper_process.h) and its control socket (admin.h).
 * It connects the parts, which do not know it, and drains them.
 */
#ifndef HELPER_CLIENT_HELPER_H
#define HELPER_CLIENT_HELPER_H

#include "core/common/config.h"
#include "helper/client/abandon_watch.h"
#include "helper/client/admission.h"
#include "helper/client/conns.h"
#include "helper/client/proxy_listeners.h"
#include "helper/client/upstream_pool.h"
#include "helper/net/reactor.h"

struct helper_upgrade;
struct shim_listener;

struct helper {
    struct reactor reactor;
    struct config *config;
    struct upstream_pool upstreams;
    struct conns conns;
    struct abandon_watches watches; /* of connects in progress */
    struct admission admission;
    struct shim_listener *local;
    struct proxy_listeners proxies;
    uint64_t began_us;
    bool draining;
    bool drained; /* it ends because of that */
    struct loop_timer drain_timer;
    /* Requests of smuxctl; set by helper_process.c, which runs the helper. */
    bool (*reload)(struct helper *helper, char *message, size_t size);
    void (*stop)(struct helper *helper);
    struct helper_upgrade *upgrade; /* NULL: it cannot be replaced */
    void (*give_way)(
        struct helper *helper); /* called when a drain begins, so that another helper can start */
};

/* Creates the loop and the upstreams. Takes `config`, which is malloc'ed. Returns false with a text
 * in *why on failure. */
bool helper_init(struct helper *helper, struct config *config, const char **why);
/* Reads the names that earlier helpers at that socket have given. False after logging what
 * failed. */
bool helper_load_names(struct helper *helper, const char *path);
void helper_fini(struct helper *helper);

/* Applies a new configuration; existing connections continue. Returns false, with nothing changed,
 * if memory is short. */
bool helper_reconfigure(struct helper *helper, struct config *config);

/* Accepts nothing more, lets another helper take its place, and stops when the last connection has
 * ended. */
void helper_drain(struct helper *helper);

#endif
