/* SPDX-License-Identifier: MIT */
/*
 * helper.h - the whole of smux-helper but its process (helper_process.h) and its control socket
 * (admin.h): puts the parts together, which do not know it, and drains it.
 */
#ifndef HELPER_CLIENT_HELPER_H
#define HELPER_CLIENT_HELPER_H

#include "core/common/config.h"
#include "helper/client/abandon_watch.h"
#include "helper/client/admission.h"
#include "helper/client/conns.h"
#include "helper/client/upstream_pool.h"
#include "helper/net/reactor.h"

struct shim_listener;

struct helper {
    struct reactor reactor;
    struct config *config;
    struct upstream_pool upstreams;
    struct conns conns;
    struct abandon_watches watches; /* over connects under way */
    struct admission admission;
    struct shim_listener *local;
    uint64_t began_us;
    bool draining;
    struct loop_timer drain_timer;
    /* Asked for by smuxctl: set by whoever runs the helper (helper_process.c). */
    bool (*reload)(struct helper *helper, char *message, size_t size);
    void (*stop)(struct helper *helper);
    void (*give_way)(struct helper *helper); /* at the beginning of a drain: another may start */
};

/* Creates the loop and the upstreams. Takes `config` (malloc'ed). False and a text. */
bool helper_init(struct helper *helper, struct config *config, const char **why);
void helper_fini(struct helper *helper);

/* Takes a new configuration; connections that exist go on. False, with nothing changed, if memory
 * is short. */
bool helper_reconfigure(struct helper *helper, struct config *config);

/* Accepts nothing more, lets another helper take the place, and stops when the last connection has
 * ended. */
void helper_drain(struct helper *helper);

#endif
