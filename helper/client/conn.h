/* SPDX-License-Identifier: MIT */
/*
 * conn.h - one connection of an application: from its destination to the outcome, and then relayed.
 *
 * Who asks, and how the outcome is told, is the business of the two users: shim_request.c (the
 * shim's requests) and admin_connect.c (smuxctl connect). Each embeds a struct conn.
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
#include "helper/relay/relay.h"
#include "helper/relay/socks5.h"

struct account;
struct conn;
struct conn_opening;

/* A connection's life. What may follow which is the table in conn.c. */
enum conn_state {
    CONN_NEW,       /* no route yet */
    CONN_OPENING,   /* the outcome is not known */
    CONN_EAGER,     /* nor is it, but success was told (connect = eager); conn_start is to come */
    CONN_STARTED,   /* the same, and conn_start was called */
    CONN_SUCCEEDED, /* success was told; conn_start is to come */
    CONN_OPEN,      /* the application and the stream have each other, or what the relay has left */
    CONN_FAILED,    /* the failure was told; conn_end is to come */
    CONN_OVER       /* ops->ended was called */
};

struct conn_ops {
    /* The connect has succeeded (err 0, `local` as the target sees it, family 0 if unknown) or
     * failed. Called once; a second time with a failure if the success was told too early (connect
     * = eager) and conn_start has not been called since. On success the owner gives the application
     * its end and then calls conn_start; on failure it tells the application and then calls
     * conn_end. Either may happen later. */
    void (*outcome)(struct conn *conn, int err, const struct endpoint *local);
    /* Everything is closed; the owner discards the memory at the end of the turn. */
    void (*ended)(struct conn *conn);
};

struct conn {
    struct relay relay;
    struct conns *conns;
    const struct conn_ops *ops;
    struct conn_opening *opening;     /* CONN_OPENING, CONN_EAGER, CONN_STARTED */
    char gateway[ROUTE_NAME_MAX + 1]; /* empty before the route is known */
    struct conn *next, **at;          /* in conns */
    struct endpoint dest;
    char *name;                    /* the host name asked for; NULL if only the address is known */
    uint64_t id;                   /* as the outcome's name tells it; 0: none */
    struct conn *id_next, **id_at; /* those of the same hash */
    uint64_t began_us;
    struct account *account; /* of the user; NULL: nothing limits him */
    pid_t pid;
    uid_t uid;
    bool counted;  /* in conns->count: it has a route */
    uint8_t state; /* enum conn_state */
};

static inline bool conn_is_over(const struct conn *conn) {
    return conn->state == CONN_OVER;
}

/* conn_start was called. */
static inline bool conn_is_started(const struct conn *conn) {
    return conn->state == CONN_STARTED || conn->state == CONN_OPEN;
}

/* ---- Of conn.c alone, and its test ---- */

/* Needed until the outcome is known. */
struct conn_opening {
    struct conn *conn;
    struct upstream *upstream; /* lives as long as this waits for it */
    struct upstream_waiter waiter;
    const struct pump *pump; /* of the stream; valid while that is */
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct socks5_client socks;
    char gateway[ROUTE_NAME_MAX + 1];
    uint32_t timeout_ms;
    uint8_t connect, on_failure, handshake; /* of the route */
    uint8_t attempts;
    bool by_name; /* a name rule matched: the gateway resolves */
    bool direct;  /* on-failure = direct has been resorted to */
};

/* ---- For its owners ---- */

/* Prepares a connection and enters it in the list. */
void conn_init(struct conn *conn, struct conns *conns, const struct conn_ops *ops);

/* Whose it is. */
void conn_set_user(struct conn *conn, const struct ucred *cred, struct account *account);

/* Looks for the route to conn->dest / conn->name and opens a stream to it. The outcome comes later,
 * or from within this call. */
void conn_open(struct conn *conn);

/* The application has its end, `relay.watch` (or fd) is ours: relay. `residue`: one byte that is
 * not data lies unread in it. `events`: as in relay_attach. */
void conn_start(struct conn *conn, int fd, bool residue, uint32_t events);

/* The connect, whose outcome is not known yet, fails with `err`; `why` is for the log. */
void conn_fail(struct conn *conn, int err, const char *why);

/* Gives up: closes what is open, resets the stream. Harmless when it has ended. */
void conn_end(struct conn *conn, int error);

/* For `smuxctl status`. NULL if memory is short. */
json_t *conn_status(const struct conn *conn);

/* "db.internal (10.0.0.5:5432)" for logs. Returns out. */
char *conn_describe(const struct conn *conn, char *out, size_t size);
#define CONN_TEXT_SIZE 400

#endif
