/* SPDX-License-Identifier: MIT */
/*
 * gateway_session.h - a client's carrier at the gateway: its deadlines, its end, and its streams,
 * each of which becomes a target (gateway_target.h).
 *
 * Who may have a session has been decided before, by gateway_place.h.
 */
#ifndef HELPER_GATEWAY_GATEWAY_SESSION_H
#define HELPER_GATEWAY_GATEWAY_SESSION_H

#include "helper/carrier/handshakes.h"
#include "helper/gateway/gateway_client.h"
#include "helper/gateway/gateway_config.h"
#include "helper/net/own_addresses.h"
#include "helper/net/reactor.h"
#include "helper/net/resolver.h"
#include "helper/relay/pump.h"

enum gateway_source_kind {
    GATEWAY_SOURCE_NONE, /* made by the program itself: no limits, no deadlines */
    GATEWAY_SOURCE_V4,
    GATEWAY_SOURCE_V6,
    GATEWAY_SOURCE_USER
};

struct gateway_source {
    uint32_t kind;           /* enum gateway_source_kind */
    uint8_t id[8];           /* the address, its /64, or the uid */
    struct endpoint address; /* of the carrier's other end; family 0: it has none */
    uint64_t since_us;       /* when it was accepted, by the loop's clock; 0: now */
};

struct gateway_session;

/* A gateway's sessions, and what all of them need. The gateway sets all, and initialises the
 * list. */
struct gateway_sessions {
    struct reactor *reactor;
    const struct gateway_config *config; /* of streams and sessions that begin from now on */
    struct resolver *resolver;
    struct own_addresses own;                   /* of this host */
    struct list all;                            /* the last one first */
    struct handshakes handshakes;               /* those of `all` whose peers are strangers */
    struct gateway_client *clients;             /* those that have had a session */
    struct metrics_series *flows, *sessions_of; /* where what is nobody's in particular counts */
    void (*ended)(struct gateway_sessions *sessions); /* one of them, which has left the list */
};

struct gateway_session {
    struct gateway_sessions *sessions;
    struct pump *pump;
    struct resolver_client *names; /* NULL until it asks for one */
    struct gateway_source source;
    struct gateway_client *client; /* NULL: nobody in particular, or not known yet */
    struct metrics_series *peer;   /* in which it is counted; NULL: in none */
    uint64_t rtt_us;               /* as the metrics have seen it last */
    uint32_t targets;              /* of its streams */
    uint16_t address_len;          /* of the carrier's peer, whose name comes behind it */
    bool known;                    /* it has been admitted */
    uint8_t failing;               /* enum metrics_stranger, if this side ends it; else 0 */
    struct handshake handshake;    /* in sessions->handshakes while the peer is a stranger */
    uint64_t used_us;              /* when its last stream was opened, at first when it began */
    bool leaving;                  /* it has given up its place */
    bool asked;                    /* in a drain: to open no more streams */
    uint64_t idle_us;              /* in a drain: since when it has no stream; 0: it has */
    struct loop_timer timer;       /* of its deadlines */
    struct list_link link;         /* in sessions->all */
    struct loop_garbage garbage;
};

/* Begins a session on a carrier that was not started yet. `source` NULL: the client is this process
 * itself, and has no deadlines. 0 or a negative errno (the carrier then stays the caller's). */
int gateway_session_new(struct gateway_sessions *sessions, struct carrier *carrier,
                        const struct gateway_source *source);

/* Where its connections count. */
static inline struct metrics_series *gateway_session_flows(const struct gateway_session *session) {
    return session->client ? session->client->flows : session->sessions->flows;
}

/* The configuration has changed: determines whose session it is now. One that is nobody's any more
 * ends. */
void gateway_session_know(struct gateway_session *session);

/* Ends a session without streams. `kindly`: the client is told to open no more, and has a moment to
 * find another carrier for those that are on the way. */
void gateway_session_dismiss(struct gateway_session *session, bool kindly);

#endif
