/* SPDX-License-Identifier: MIT */
/* conns.c - see conns.h. */
#include "helper/client/conns.h"

#include <stddef.h>
#include <string.h>

#include "helper/client/conn.h"

/* ---- Ids ---- */

/* Users choose ids, so the hash is keyed: they must not be able to predict it. */
static struct conn **id_bucket(struct conns *conns, uint64_t id) {
    uint64_t h = (id ^ conns->ids_seed) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 29) * (conns->ids_seed | 1);
    return &conns->ids[(h >> 32) % CONNS_IDS];
}

void conns_set_id(struct conns *conns, struct conn *conn, uint64_t id) {
    struct conn **bucket = id_bucket(conns, id);
    conn->id = id;
    conn->id_next = *bucket;
    conn->id_at = bucket;
    if (conn->id_next)
        conn->id_next->id_at = &conn->id_next;
    *bucket = conn;
}

static void forget_id(struct conn *conn) {
    if (!conn->id_at)
        return;
    *conn->id_at = conn->id_next;
    if (conn->id_next)
        conn->id_next->id_at = conn->id_at;
    conn->id_at = NULL;
}

struct conn *conns_find(struct conns *conns, uint64_t id, uid_t uid, bool *found) {
    *found = false;
    for (struct conn *conn = *id_bucket(conns, id); conn; conn = conn->id_next) {
        if (conn->id != id)
            continue;
        *found = true;
        if (uid == conn->uid || uid == 0)
            return conn;
    }
    return NULL;
}

/* ---- The list ---- */

uint32_t conns_streams_per_user(const struct conns *conns) {
    uint32_t configured = conns->config->helper.max_streams_per_user;
    uint32_t share = conns->descriptors / 4;
    return configured < share ? configured : share;
}

void conns_init(struct conns *conns) {
    memset(conns, 0, sizeof *conns);
    list_init(&conns->all);
    list_init(&conns->cursors);
}

static struct conn *conn_of(struct list_link *link) {
    return link ? container_of(link, struct conn, link) : NULL;
}

struct conn *conns_first(const struct conns *conns) {
    return conn_of(list_first(&conns->all));
}

static struct conn *conn_behind(const struct conn *conn) {
    return conn_of(list_next(&conn->conns->all, &conn->link));
}

void conns_enter(struct conns *conns, struct conn *conn) {
    list_prepend(&conns->all, &conn->link);
    conn->number = ++conns->begun_total;
}

void conns_leave(struct conns *conns, struct conn *conn) {
    list_for_each(link, &conns->cursors) {
        struct conns_cursor *cursor = container_of(link, struct conns_cursor, link);
        if (cursor->conn == conn)
            cursor->conn = conn_behind(conn);
    }
    list_remove(&conn->link);
    forget_id(conn);
}

void conns_cursor_begin(struct conns *conns, struct conns_cursor *cursor) {
    cursor->conn = conns_first(conns);
    list_prepend(&conns->cursors, &cursor->link);
}

struct conn *conns_cursor_take(struct conns_cursor *cursor) {
    struct conn *conn = cursor->conn;
    if (conn)
        cursor->conn = conn_behind(conn);
    return conn;
}

void conns_cursor_end(struct conns_cursor *cursor) {
    list_remove(&cursor->link);
}
