/* SPDX-License-Identifier: MIT */
/*
 * conns.h - the helper's connections: what they share, their list, and their ids.
 */
#ifndef HELPER_CLIENT_CONNS_H
#define HELPER_CLIENT_CONNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/common/config.h"
#include "helper/client/upstream_pool.h"
#include "helper/net/reactor.h"

struct admin_clients;
struct conn;
struct name_table;

#define CONNS_IDS 16384

/* A position in the list, which stays valid while connections come and go. */
struct conns_cursor {
    struct conn *conn;     /* the next one; NULL at the end */
    struct list_link link; /* in conns.cursors */
};

/* What conns.tell reports. A connection that has found its route: BEGUN, then OPEN or FAILED unless
 * the program gives up first, and always ENDED, when it no longer counts. One that was refused
 * before it had a route: FAILED alone. */
enum conn_event { CONN_EVENT_BEGUN, CONN_EVENT_OPEN, CONN_EVENT_FAILED, CONN_EVENT_ENDED };

struct conns {
    /* Set by the helper. */
    struct reactor *reactor;
    const struct config *config; /* for connections that begin from now on */
    struct upstream_pool *upstreams;
    struct name_table *names;             /* NULL until the socket's place is known */
    uint32_t descriptors;                 /* at most */
    void (*emptied)(struct conns *conns); /* called when the last one has ended; may be NULL */

    /* NULL unless somebody listens (admin_events.c). `error`: 0, a negative errno or smux_error.
     * `why`: a text that is valid during the call, or NULL. */
    void (*tell)(struct conns *conns, const struct conn *conn, enum conn_event event, int error,
                 const char *why);
    struct admin_clients *listened_by; /* those that do */

    struct list all;             /* all, including requests without a route yet */
    struct conn *ids[CONNS_IDS]; /* those with an id, by its hash */
    uint64_t ids_seed;
    struct list cursors;
    uint32_t count;        /* with a route */
    uint64_t routed_total; /* since the start */
    uint64_t begun_total;  /* the same, plus questions about names and refused requests */
};

/* Without connections as yet, and all else zeroed. */
void conns_init(struct conns *conns);

/* ---- For conn.c ---- */

void conns_enter(struct conns *conns, struct conn *conn);
/* Removes it from the list. Cursors that point to it move to the next one. */
void conns_leave(struct conns *conns, struct conn *conn);

/* ---- For all ---- */

/* How many connections a user other than the helper's own and root may have: max-streams-per-user,
 * but at most a quarter of the descriptors. */
uint32_t conns_streams_per_user(const struct conns *conns);

/* Sets the connection's id, by which conns_find finds it. */
void conns_set_id(struct conns *conns, struct conn *conn, uint64_t id);

/* The connection with that id that belongs to user `uid`, or to anybody if `uid` is root. NULL if
 * there is none; *found then says whether another user has one. */
struct conn *conns_find(struct conns *conns, uint64_t id, uid_t uid, bool *found);

/* The connection that began last. NULL if there is none. */
struct conn *conns_first(const struct conns *conns);

/* Places the cursor, which is zeroed or has been ended, before the first connection. */
void conns_cursor_begin(struct conns *conns, struct conns_cursor *cursor);
/* Returns the connection at the cursor and moves the cursor to the next. NULL at the end. */
struct conn *conns_cursor_take(struct conns_cursor *cursor);
/* Harmless if the cursor has not begun. */
void conns_cursor_end(struct conns_cursor *cursor);

#endif
