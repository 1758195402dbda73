/* SPDX-License-Identifier: MIT */
/*
 * conn.h - one connection of an application: from its destination to the outcome, and then the
 * relay.
 *
 * Its users receive the request and report the outcome: shim_request.c (requests of the shim),
 * proxy_client.c ([socks], [forward]) and admin_connect.c (smuxctl connect). Each embeds a struct
 * conn.
 */
#ifndef HELPER_CLIENT_CONN_H
#define HELPER_CLIENT_CONN_H

#include <jansson.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/common/endpoint.h"
#include "core/common/routes.h"
#include "helper/client/conns.h"
#include "helper/client/upstream.h"
#include "helper/net/log_line.h"
#include "helper/relay/relay_count.h"
#include "helper/relay/socks5.h"

struct account;
struct conn;
struct conn_opening;

/* The states of a connection. The table in conn.c says which may follow which. */
enum conn_state {
    CONN_NEW,     /* no route yet */
    CONN_OPENING, /* the outcome is not known */
    CONN_EAGER,   /* the same, but success was reported (connect = eager); conn_start comes next */
    CONN_STARTED, /* as CONN_EAGER, and conn_start was called */
    CONN_SUCCEEDED, /* success was reported; conn_start comes next */
    CONN_OPEN,      /* application and stream are connected, as far as the relay still runs */
    CONN_FAILED,    /* the failure was reported; conn_end comes next */
    CONN_OVER       /* ops->ended was called */
};

struct conn_ops {
    /* The connect has succeeded (error 0; `local` is the address that the target sees, family 0 if
     * unknown) or failed (error: a negative errno). Called once, or twice if success was reported
     * early (connect = eager) and the connect fails before conn_start is called. On success the
     * owner gives the application its end and then calls conn_start; on failure it tells the
     * application and then calls conn_end. Both calls may come later. */
    void (*outcome)(struct conn *conn, int error, const struct endpoint *local);
    /* Why the connect fails, a text that is valid during the call. Called before the failure is
     * reported. May be NULL. */
    void (*why)(struct conn *conn, const char *text);
    /* Everything has been closed; the owner frees the memory at the end of the turn. */
    void (*ended)(struct conn *conn);
};

struct conn {
    struct relay relay;
    struct conns *conns;
    const struct conn_ops *ops;
    struct conn_opening *opening;     /* CONN_OPENING, CONN_EAGER, CONN_STARTED */
    char gateway[ROUTE_NAME_MAX + 1]; /* empty before the route is known */
    struct list_link link;            /* in conns->all */
    struct endpoint dest;
    char *name;                    /* the requested host name; NULL if only the address is known */
    uint64_t number;               /* 1, 2, 3, ... since the helper's start, for smuxctl */
    uint64_t id;                   /* the id in the outcome's name; 0: none */
    struct conn *id_next, **id_at; /* connections with the same hash */
    uint64_t began_us;
    struct account *account;     /* of the user; NULL: no limits */
    const struct relay_end *end; /* what the application's end is; the default: relay_end_app */
    const char *from; /* its address, if it came by TCP: the owner's text. NULL: `pid` is known */
    const char *via;  /* the listener's section: the owner's text; NULL: the shim's, or smuxctl's */
    struct metrics_flow flow;
    pid_t pid;
    uid_t uid;        /* (uid_t)-1: not known */
    uint8_t unrouted; /* enum route_on_failure: what becomes of it if no route leads there */
    bool counted;     /* in conns->count: it has a route */
    uint8_t state;    /* enum conn_state */
};

static inline bool conn_is_over(const struct conn *conn) {
    return conn->state == CONN_OVER;
}

/* conn_start was called. */
static inline bool conn_is_started(const struct conn *conn) {
    return conn->state == CONN_STARTED || conn->state == CONN_OPEN;
}

/* ---- For conn.c and its test only ---- */

/* Needed until the outcome is known. */
struct conn_opening {
    struct conn *conn;
    struct upstream *upstream; /* lives as long as this waits for it */
    struct upstream_waiter waiter;
    const struct pump *pump; /* of the stream; valid as long as the stream */
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct socks5_client socks;
    char route[ROUTE_NAME_MAX + 1], gateway[ROUTE_NAME_MAX + 1];
    uint32_t timeout_ms;
    uint8_t connect, on_failure, handshake; /* of the route */
    uint8_t attempts;
    bool by_name; /* a name rule matched: the gateway resolves */
    bool direct;  /* on-failure = direct is in use */
};

/* ---- For its owners ---- */

/* Prepares a connection and enters it in the list. */
void conn_init(struct conn *conn, struct conns *conns, const struct conn_ops *ops);

/* Sets the user that the connection belongs to. */
void conn_set_user(struct conn *conn, const struct ucred *cred, struct account *account);

/* Finds the route for conn->dest or conn->name and opens a stream. `outcome` is called later, or
 * during this call. */
void conn_open(struct conn *conn);

/* Starts the relay: the application has its end, and the helper's end is `relay.watch` (or fd).
 * `residue`: one byte in it is unread and is not data. `events`: as in relay_attach. */
void conn_start(struct conn *conn, int fd, bool residue, uint32_t events);

/* Makes the connect, whose outcome is not yet known, fail with the negative errno `error`; `why` is
 * for the log. */
void conn_fail(struct conn *conn, int error, const char *why);

/* Aborts the connection: closes what is open and resets the stream. `error`: 0 or a negative
 * errno. Harmless if it has ended. */
void conn_end(struct conn *conn, int error);

/* For smuxctl: whose connection it is, and its age. NULL if memory is short. */
json_t *conn_identity(const struct conn *conn);
/* The same with its state, and what it waits for. */
json_t *conn_status(const struct conn *conn);

/* Whose connection it is, for lines of the log. `destination` may be NULL. */
struct log_subject conn_subject(const struct conn *conn, const char *destination);

/* "db.internal (10.0.0.5:5432)" for logs. Returns out. */
char *conn_describe(const struct conn *conn, char *out, size_t size);
#define CONN_TEXT_SIZE 400

#endif
