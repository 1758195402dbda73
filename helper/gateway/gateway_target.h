/* SPDX-License-Identifier: MIT */
/*
 * gateway_target.h - one stream at the gateway, and the connection that it asked for.
 */
#ifndef HELPER_GATEWAY_GATEWAY_TARGET_H
#define HELPER_GATEWAY_GATEWAY_TARGET_H

#include "helper/gateway/access_record.h"
#include "helper/gateway/gateway_session.h"
#include "helper/net/dial.h"
#include "helper/net/resolver.h"
#include "helper/relay/relay_count.h"
#include "helper/relay/socks5.h"

/* The states of a target. The table in gateway_target.c says which may follow which. */
enum target_state {
    TARGET_REQUEST,   /* the client has not said yet where to connect, or nothing if it need not */
    TARGET_RESOLVING, /* a name is being looked up */
    TARGET_DIALLING,  /* connects are under way */
    TARGET_RELAYING,  /* the connection is established; the relay has states of its own */
    TARGET_OVER       /* the relay has ended; the memory is freed at the end of the turn */
};

struct target;

/* Needed until the connection is established or has failed, and then discarded. */
struct opening {
    struct target *target;
    struct socks5_server socks;
    struct resolver_query query; /* TARGET_RESOLVING */
    struct dial dial;            /* TARGET_DIALLING */
    struct loop_timer timer;     /* for the request or a plain client's first byte; for the name */
    uint64_t deadline_us;        /* of the connection, the look-up of the name included */
    struct loop_garbage garbage;
    bool greeting_sent;
    bool plain; /* the client makes no request: the target is the configuration's */
};

struct target {
    struct relay relay;
    struct relay_limit limit;        /* the client's, if it has one */
    struct gateway_session *session; /* gone before the target only if the relay is over */
    struct opening *opening;         /* until TARGET_RELAYING */
    struct metrics_flow flow;
    uint64_t dialled_us;          /* when TARGET_DIALLING began */
    struct access_record *record; /* NULL: there is no access log, or no memory */
    uint8_t state;                /* enum target_state */
    struct loop_timer probes;     /* when the socket gets its keep-alive */
    struct loop_garbage garbage;
};

/* A stream of the session has been opened by the client: serve it. */
void gateway_target_accept(struct gateway_session *session, smux_stream *stream);

/* The session belongs to another client from now on, whose limits apply to its streams. */
void gateway_targets_follow(struct gateway_session *session);

#endif
