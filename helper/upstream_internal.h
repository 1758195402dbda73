/*
 * upstream_internal.h - what upstream*.c share. See upstream.h.
 */
#ifndef HELPER_UPSTREAM_INTERNAL_H
#define HELPER_UPSTREAM_INTERNAL_H

#include "helper/dial.h"
#include "helper/upstream.h"

enum link_state { LINK_IDLE, LINK_RESOLVING, LINK_DIALLING, LINK_UP, LINK_PAUSE };

struct upstream_session;

/* One of the connections kept up. */
struct link {
    struct upstream *upstream;
    uint8_t state;    /* enum link_state */
    uint16_t address; /* index of the one being tried */
    struct resolver_query query;
    struct dial dial;
    struct loop_watch watch;
    struct loop_timer timer; /* pause */
    uint32_t pause_ms;
    uint64_t reconnects;
    struct upstream_session *session; /* LINK_UP */
    char error[200];                  /* of the last attempt or session */
};

/* A session outlives its link's interest in it while it drains. */
struct upstream_session {
    struct upstream *upstream;
    struct link *link; /* NULL: draining */
    struct pump *pump;
    struct upstream_session *next, **at;
    struct loop_timer
        timer; /* until it counts as established; looks whether it may end, while draining */
    struct loop_garbage garbage;
    bool established; /* the peer has said hello, or has kept the connection for a while */
};

struct upstream {
    struct reactor *reactor;
    struct resolver_client *names;
    struct config_gateway config;
    struct upstream_session *sessions;
    struct upstream_waiter *first_waiter, *last_waiter;
    uint64_t streams_past, bytes_in_past, bytes_out_past; /* of sessions that ended */
    bool plain; /* some route has handshake = none: the peer may be any smux server */
    bool retired;
    struct loop_garbage garbage;
    int link_count;
    struct link links[];
};

/* Starts to connect, at the address link->address. */
void upstream_link_connect(struct link *link);
/* The session has ended: pause, then connect anew. `heard`: its peer was one that speaks smux; if not,
 * its address has failed, and the next one is tried. */
void upstream_link_lost(struct link *link, bool heard, const char *why);
/* Gives up whatever is under way; a session drains. */
void upstream_link_stop(struct link *link);
/* Somebody waits now: long pauses end soon. */
void upstream_hurry(struct upstream *upstream);

/* Makes a session of the carrier, which it takes over. NULL if memory is short. */
struct upstream_session *upstream_session_new(struct link *link, struct carrier *carrier);
/* The session gets no more streams and ends with its last one; its link may connect anew. */
void upstream_session_detach(struct upstream_session *session);

/* There is a session: those who wait get their streams. */
void upstream_serve_waiters(struct upstream *upstream);
void upstream_fail_waiters(struct upstream *upstream, int error, bool impatient_only);

#endif
