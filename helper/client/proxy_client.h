/* SPDX-License-Identifier: MIT */
/*
 * proxy_client.h - one accepted connection of [socks] or [forward NAME]: its request, if it has to
 * say one, then the connection to the destination (conn.h), and the answer.
 *
 * Bytes that the client sends behind its request, before it has the answer, stay in its socket
 * until the relay reads them.
 */
#ifndef HELPER_CLIENT_PROXY_CLIENT_H
#define HELPER_CLIENT_PROXY_CLIENT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/common/endpoint.h"
#include "helper/carrier/handshakes.h"
#include "helper/client/conn.h"
#include "helper/net/resolver.h"
#include "helper/relay/connect_request.h"

struct account;
struct proxy_listener;
struct proxy_source;

/* Who is at the other end. */
struct proxy_peer {
    bool is_unix;
    struct endpoint address;       /* not if `is_unix` */
    struct ucred cred;             /* uid -1: not known; pid 0 if not `is_unix` */
    char text[ENDPOINT_TEXT_SIZE]; /* for logs */
};

/* Serves the connection. Takes over `fd` and `account` (NULL for a user without limits). Otherwise
 * returns why not, a static text, and the caller keeps both. */
const char *proxy_client_new(struct proxy_listener *listener, int fd, const struct proxy_peer *peer,
                             struct account *account);

/* ---- For proxy_client.c and its test only ---- */

/* The states. The table in proxy_client.c says which may follow which. */
enum proxy_state {
    PROXY_READING,   /* the client has not said all of its request */
    PROXY_RESOLVING, /* a name is being looked up here, because addresses decide the route */
    PROXY_OPENING,   /* the outcome is not known */
    PROXY_OPEN,      /* the client has its connection */
    PROXY_OVER       /* everything is closed; the memory is freed at the end of the turn */
};

/* Needed until the client has its connection. */
struct proxy_opening {
    struct proxy_client *client;
    struct handshake hello;  /* PROXY_READING, of TCP */
    struct loop_timer timer; /* PROXY_READING, PROXY_RESOLVING */
    bool heard;              /* a byte of the request has arrived */
    struct resolver_query query;
    struct connect_request request; /* of [socks] */
};

struct proxy_client {
    struct conn conn;
    struct proxy_listener *listener;
    struct proxy_source *source;   /* NULL: a unix socket */
    struct proxy_opening *opening; /* NULL when PROXY_OPEN */
    struct loop_garbage garbage;
    char from[ENDPOINT_TEXT_SIZE];
    uint8_t state;    /* enum proxy_state */
    uint8_t protocol; /* enum connect_protocol; CONNECT_UNKNOWN: a fixed port */
    bool read;        /* the request is complete */
};

#endif
