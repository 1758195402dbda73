/* SPDX-License-Identifier: MIT */
/*
 * proxy_listeners.h - all sections [socks] and [forward NAME] of the configuration, at the start
 * and at each reload.
 *
 * A reload first makes a plan, which opens what is not open yet and changes nothing, and then
 * applies it, which cannot fail. Connections that have been accepted go on, whatever becomes of
 * their listener.
 */
#ifndef HELPER_CLIENT_PROXY_LISTENERS_H
#define HELPER_CLIENT_PROXY_LISTENERS_H

#include <jansson.h>

#include "helper/client/proxy_listener.h"

struct proxy_listeners {
    struct proxy_shared shared;
    struct list all; /* of struct proxy_listener, those that are not retired */
    bool stopped;    /* the helper drains: no reload opens anything */
    bool confined;   /* the process is in its sandbox: other ports only by a broker */
};

struct proxy_plan {
    int fd[CONFIG_LISTENERS_MAX][CONFIG_LISTEN_MAX]; /* -1: open already, or not to be opened */
    struct login_file *logins[CONFIG_LISTENERS_MAX];
};

/* `conns` and `admission` live as long as it. */
void proxy_listeners_init(struct proxy_listeners *listeners, struct conns *conns,
                          const struct admission *admission);
/* After all connections have ended. */
void proxy_listeners_fini(struct proxy_listeners *listeners);

/* Reads the password files and opens the sockets that the configuration names and that are not open
 * yet. `willing`: a socket that cannot be opened is a line in the log, and is left out. False, and
 * one line in `error`: the plan is empty. */
bool proxy_plan_make(struct proxy_plan *plan, struct proxy_listeners *listeners,
                     const struct config *config, bool willing, struct config_error *error);
/* Gives up what was made. */
void proxy_plan_drop(struct proxy_plan *plan);

/* Applies the plan that was made for this configuration. */
void proxy_listeners_apply(struct proxy_listeners *listeners, const struct config *config,
                           struct proxy_plan *plan);

/* At the start of the process: makes a plan and applies it. `willing`, for a helper that a program
 * needs: a port that somebody else has is left out. False after logging what failed. */
bool proxy_listeners_start(struct proxy_listeners *listeners, const struct config *config,
                           bool willing);

/* Accepts nothing more. */
void proxy_listeners_stop(struct proxy_listeners *listeners);

/* An array of the listeners, for `smuxctl status`. NULL if memory is short. */
json_t *proxy_listeners_status(const struct proxy_listeners *listeners);

#endif
