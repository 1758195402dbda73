/* SPDX-License-Identifier: MIT */
/* conns.c - see conns.h. */
#include "helper/client/conns.h"

#include <stddef.h>

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

void conns_enter(struct conns *conns, struct conn *conn) {
    conn->next = conns->first;
    conn->at = &conns->first;
    if (conn->next)
        conn->next->at = &conn->next;
    conns->first = conn;
    conns->begun_total++;
}

void conns_leave(struct conns *conns, struct conn *conn) {
    for (struct conns_cursor *cursor = conns->cursors; cursor; cursor = cursor->next)
        if (cursor->conn == conn)
            cursor->conn = conn->next;
    *conn->at = conn->next;
    if (conn->next)
        conn->next->at = conn->at;
    forget_id(conn);
}

void conns_cursor_begin(struct conns *conns, struct conns_cursor *cursor) {
    cursor->conn = conns->first;
    cursor->next = conns->cursors;
    cursor->at = &conns->cursors;
    if (cursor->next)
        cursor->next->at = &cursor->next;
    conns->cursors = cursor;
}

struct conn *conns_cursor_take(struct conns_cursor *cursor) {
    struct conn *conn = cursor->conn;
    if (conn)
        cursor->conn = conn->next;
    return conn;
}

void conns_cursor_end(struct conns_cursor *cursor) {
    if (!cursor->at)
        return;
    *cursor->at = cursor->next;
    if (cursor->next)
        cursor->next->at = cursor->at;
    cursor->at = NULL;
}
