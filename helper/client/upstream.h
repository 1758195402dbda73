/* SPDX-License-Identifier: MIT */
/*
 * upstream.h - keeps up the sessions to one gateway.
 *
 * It connects when the first stream is requested. From then on it keeps the sessions, and connects
 * again when one is lost. Its addresses (backends.h) are those of the configuration, and those that
 * name servers say (upstream_names.c). One that has failed is left out for a jittered and growing
 * pause; one that accepts a connection and closes it before a gateway has said anything (a load
 * balancer whose backend is down) has failed like one that refuses. While there is no session,
 * whoever asks for a stream waits, with a timeout of its own. `balance` says which address gets the
 * next session, and which session the next stream (upstream_balance.c).
 *
 * A gateway that has stopped answering (upstream_silence.c) gets no more streams if there is
 * another one, and whoever still waits for an answer there is told.
 */
#ifndef HELPER_CLIENT_UPSTREAM_H
#define HELPER_CLIENT_UPSTREAM_H

#include <jansson.h>

#include "core/common/config.h"
#include "helper/net/reactor.h"
#include "helper/net/resolver.h"
#include "helper/relay/pump.h"

struct upstream;
struct tls_context;

struct upstream_waiter {
    /* The stream that was asked for, and error 0; or a negative errno: there is none now (only if
     * `impatient`, when the upstream goes away, or when memory is short). Never called from within
     * upstream_open. */
    void (*ready)(struct upstream_waiter *waiter, int error, struct pump *pump,
                  smux_stream *stream);
    /* The gateway that has the stream has stopped answering, and there is another one: whoever may
     * do so gives the stream up, and asks for another one. Called at most once for a stream, and
     * not after upstream_cancel, which says that it has been answered. May be NULL. */
    void (*silent)(struct upstream_waiter *waiter);
    struct upstream *upstream; /* NULL when not waiting */
    struct list_link link;     /* in the upstream's waiters, or in its session's */
    bool impatient; /* fail as soon as an attempt to connect has failed (on-failure = direct) */
    /* The loss of the stream could not be repaired: open it on an established session only. */
    bool cautious;
};

/* Copies `config`. NULL if memory is short. Does not connect yet. `plain`: the peer may be any smux
 * server, not only one of our gateways. */
struct upstream *upstream_new(struct reactor *reactor, struct resolver_client *names,
                              const struct config_gateway *config, bool plain);

/* The same with a session on `carrier`, which it starts and takes over, and no way to connect
 * again. NULL: the carrier stays the caller's. */
struct upstream *upstream_new_connected(struct reactor *reactor, struct resolver_client *names,
                                        const struct config_gateway *config,
                                        struct carrier *carrier);

/* Carriers that begin from now on prove and expect what `context` says, to which it keeps a
 * reference. NULL: none can be made to tls:// addresses. */
void upstream_use_tls(struct upstream *upstream, struct tls_context *context);

/* Opens no more streams; waiters fail with -ECANCELED. Sessions with streams go on until those have
 * ended. The upstream frees itself once its last session has ended. */
void upstream_retire(struct upstream *upstream);

/* True if it has no session and no way to get one again: retire it. */
bool upstream_is_lost(const struct upstream *upstream);

/* How much of everything upstreams have. */
struct upstream_load {
    uint32_t alive, dead; /* upstreams; dead: the last attempts have failed */
    uint32_t waiters;
    uint64_t queued; /* bytes, to be sent */
};
/* Adds what this one has, and tells the metrics its round-trip times. */
void upstream_look(const struct upstream *upstream, struct upstream_load *load);

/* Streams alive on all its sessions, those of closed connections that still flush included. */
uint32_t upstream_streams(const struct upstream *upstream);

/* Writes what the carriers accept now: the last data of closed connections. */
void upstream_flush(struct upstream *upstream);

/* Ends everything at once and frees it. Not from within an event. */
void upstream_free(struct upstream *upstream);

/* Opens a stream now if there is a session: returns 0 with *pump and *stream set. Otherwise queues
 * the waiter and returns -EAGAIN; or another negative errno if a stream cannot be had at all. */
int upstream_open(struct upstream *upstream, struct upstream_waiter *waiter, struct pump **pump,
                  smux_stream **stream);
/* Stops waiting, for a stream or for an answer to it. Harmless when not waiting. */
void upstream_cancel(struct upstream_waiter *waiter);

/* Sends a ping, on a session that it has. 0; -EAGAIN: none is established yet, but one may soon be;
 * or another negative errno: the last attempt has failed, and upstream_last_error says how. */
int upstream_ping(struct upstream *upstream);

/* What was heard last of the gateway. */
struct upstream_answer {
    uint64_t at_us; /* when */
    uint64_t rtt_us;
    int version;
    bool extensions;               /* it answers pings */
    const struct carrier *carrier; /* valid until the end of this turn */
};
/* False if no session is established. */
bool upstream_answer(const struct upstream *upstream, struct upstream_answer *answer);

const struct config_gateway *upstream_config(const struct upstream *upstream);

/* Why there is no session, for logs: a static or the upstream's text. */
const char *upstream_last_error(const struct upstream *upstream);

/* An array of the sessions, for `smuxctl status`. NULL if memory is short. */
json_t *upstream_status(const struct upstream *upstream);
/* The same of the addresses. */
json_t *upstream_addresses(const struct upstream *upstream);

#endif
