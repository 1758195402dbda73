/* SPDX-License-Identifier: MIT */
/*
 * upstream_internal.h - what upstream*.c share. See upstream.h.
 */
#ifndef HELPER_CLIENT_UPSTREAM_INTERNAL_H
#define HELPER_CLIENT_UPSTREAM_INTERNAL_H

#include "helper/carrier/carrier_dial.h"
#include "helper/carrier/carrier_tls.h"
#include "helper/client/upstream.h"
#include "helper/metrics/metrics_flow.h"

/* The states of a link. The table in upstream_link.c says which may follow which. */
enum link_state {
    LINK_IDLE,     /* it dials when a stream is asked for */
    LINK_DIALLING, /* a carrier is being dialled */
    LINK_UP,       /* it has a session */
    LINK_PAUSE,    /* it dials when its timer expires */
    LINK_OVER      /* it has been stopped, or has no address and has lost its session */
};

/* The states of a session. The table in upstream_session.c says which may follow which. */
enum session_state {
    SESSION_NEW,         /* the peer has said nothing yet */
    SESSION_ESTABLISHED, /* it has said hello, or is taken for a server without one */
    SESSION_DRAINING,    /* no more streams; it ends with its last one */
    SESSION_OVER         /* its pump has ended; the memory is freed at the end of the turn */
};

struct upstream_session;

/* What a session reports to its link. Each call may lead to the session's upstream being freed, at
 * the end of the turn. */
struct upstream_session_ops {
    /* The gateway accepts no more streams. Only called while the session has a link. */
    void (*goaway)(struct upstream_session *session);
    /* It is established. Only called while the session has a link. */
    void (*established)(struct upstream_session *session);
    /* It has left the list. `heard`: its peer does speak smux. */
    void (*ended)(struct upstream_session *session, bool heard, const char *why);
};

/* What a link reports to its upstream. */
struct upstream_ops {
    void (*usable)(struct upstream *upstream); /* there is a session, or an established one */
    void (*failed)(struct upstream *upstream); /* an attempt to connect has failed */
    void (*link_over)(struct upstream *upstream);
    void (*session_ended)(struct upstream *upstream);
};

/* An address, and why it has failed. */
#define LINK_ERROR_SIZE (CONFIG_URL_MAX + CARRIER_WHY_SIZE + 60)

/* One of the connections that an upstream keeps up. */
struct link {
    struct upstream *upstream;
    uint8_t state;            /* enum link_state */
    uint16_t address;         /* index of the one being tried */
    struct carrier_dial dial; /* LINK_DIALLING */
    struct loop_timer timer;  /* LINK_PAUSE */
    uint32_t pause_ms;
    uint64_t reconnects;
    struct upstream_session *session; /* LINK_UP */
    char error[LINK_ERROR_SIZE];      /* of the last attempt or session */
};

/* A session outlives its link's interest in it while it drains. */
struct upstream_session {
    struct upstream *upstream;
    const struct upstream_session_ops *ops;
    struct link *link; /* NULL once draining or over */
    uint8_t state;     /* enum session_state */
    struct pump *pump;
    struct metrics_series *peer; /* in which it is counted; NULL: in none */
    uint64_t rtt_us;             /* as the metrics have seen it last */
    struct list_link member;     /* in upstream.sessions */
    struct loop_timer
        timer; /* until it counts as established; looks whether it may end, while draining */
    struct loop_garbage garbage;
};

static inline struct upstream_session *upstream_session_of(struct list_link *member) {
    return container_of(member, struct upstream_session, member);
}

struct upstream {
    const struct upstream_ops *ops;
    struct reactor *reactor;
    struct resolver_client *names;
    struct config_gateway config;
    struct tls_layer tls;                                 /* for its tls:// addresses */
    struct list sessions;                                 /* upstream_session_of() */
    struct list waiters;                                  /* in the order of their arrival */
    uint64_t streams_past, bytes_in_past, bytes_out_past; /* of sessions that ended */
    bool plain; /* some route has handshake = none: the peer may be any smux server */
    bool retired;
    bool fails; /* some impatient waiters are still to be told that an attempt has failed */
    struct loop_task task; /* serves or fails the waiters whose turn has not come yet */
    struct loop_garbage garbage;
    int link_count;
    struct link links[];
};

/* ---- upstream_link.c ---- */

/* The only function that changes the state. An invalid transition makes the link give up what it
 * was doing and begin again after a pause; false then. */
bool upstream_link_move(struct link *link, enum link_state to);

/* Starts to connect, at the address link->address. */
void upstream_link_connect(struct link *link);
/* Makes a session of the carrier, which it takes over; the link is up. 0 or a negative errno; then
 * the carrier stays the caller's. */
int upstream_link_adopt(struct link *link, struct carrier *carrier);
/* Its session gets no more streams and ends with its last one; the link may connect again. */
void upstream_link_detach(struct link *link);
/* Stops for good: gives up what is under way; a session drains. */
void upstream_link_stop(struct link *link);
/* Somebody waits now: shortens long pauses. */
void upstream_hurry(struct upstream *upstream);

/* ---- upstream_session.c ---- */

/* The only function that changes the state. An invalid transition ends this session only; false
 * then. */
bool upstream_session_move(struct upstream_session *session, enum session_state to);

/* Makes a session of the carrier, which it takes over. NULL with errno set; then the carrier stays
 * the caller's. */
struct upstream_session *upstream_session_new(struct link *link, struct carrier *carrier,
                                              const struct upstream_session_ops *ops);
/* The session leaves its link, gets no more streams and ends with its last one. */
void upstream_session_drain(struct upstream_session *session);

#endif
