/* SPDX-License-Identifier: MIT */
/*
 * proxy_listener.h - one section [socks] or [forward NAME]: its sockets, its limits, and how long
 * it lives. proxy_acceptor.c accepts there.
 */
#ifndef HELPER_CLIENT_PROXY_LISTENER_H
#define HELPER_CLIENT_PROXY_LISTENER_H

#include "core/common/config.h"
#include "helper/carrier/handshakes.h"
#include "helper/client/admission.h"
#include "helper/client/conns.h"
#include "helper/client/proxy_source.h"
#include "helper/net/acceptor.h"
#include "helper/relay/socks5.h"

struct login_file;

/* Of all listeners: connections that have not said yet where to. The oldest gives way. */
#define PROXY_HELLOS_MAX            1024
#define PROXY_HELLOS_PER_SOURCE_MAX 256

/* What all listeners share. */
struct proxy_shared {
    struct conns *conns;
    const struct admission *admission;
    struct handshakes hellos;
    int users_fd; /* peer_user_open, or a negative errno */
};

struct proxy_socket {
    struct proxy_listener *listener;
    struct acceptor acceptor; /* open while it listens */
    struct config_address address;
};

struct proxy_listener {
    struct proxy_shared *shared;
    struct config_listener config;
    char text[80]; /* "socks", "forward db" */
    struct proxy_socket socket[CONFIG_LISTEN_MAX];
    struct socks5_login login; /* asks `logins` */
    struct login_file *logins; /* NULL: nobody needs a password */
    struct proxy_sources sources;
    uint32_t connections; /* all that it has accepted and that have not ended */
    uint64_t accepted_total;
    bool retired;          /* no section is called so any more: it goes with its last connection */
    struct list_link link; /* of the owner */
    struct loop_garbage garbage;
};

/* Makes one without sockets. NULL if memory is short. */
struct proxy_listener *proxy_listener_new(struct proxy_shared *shared,
                                          const struct config_listener *config);

/* Takes a new configuration of the same section, and `logins`. */
void proxy_listener_configure(struct proxy_listener *listener, const struct config_listener *config,
                              struct login_file *logins);

/* Closes its sockets, and removes those of unix paths. It is freed with its last connection. */
void proxy_listener_retire(struct proxy_listener *listener);

/* Closes one of its sockets. Harmless if it is not open. */
void proxy_socket_close(struct proxy_socket *socket);

/* A connection of it has ended. */
void proxy_listener_leave(struct proxy_listener *listener);

#endif
