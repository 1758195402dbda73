/* SPDX-License-Identifier: MIT */
/*
 * upstream_internal.h - what upstream*.c share. See upstream.h.
 */
#ifndef HELPER_CLIENT_UPSTREAM_INTERNAL_H
#define HELPER_CLIENT_UPSTREAM_INTERNAL_H

#include "helper/carrier/carrier_dial.h"
#include "helper/carrier/carrier_tls.h"
#include "helper/client/backends.h"
#include "helper/client/upstream.h"
#include "helper/metrics/metrics_flow.h"

/* The states of a link. The table in upstream_link.c says which may follow which. */
enum link_state {
    LINK_IDLE,      /* it dials when a stream is asked for, if there is an address for it */
    LINK_RESOLVING, /* it waits for the addresses of names */
    LINK_DIALLING,  /* a carrier is being dialled */
    LINK_UP,        /* it has a session */
    LINK_PAUSE,     /* it dials when its timer expires */
    LINK_OVER       /* it has been stopped, or has no address and has lost its session */
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
    /* Its gateway has stopped answering, and there is another one. Only called while the session
     * has a link, which it must leave. */
    void (*silent)(struct upstream_session *session, const char *why);
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

/* One of the connections that an upstream keeps up. */
struct link {
    struct upstream *upstream;
    uint8_t state;                                  /* enum link_state */
    bool hasty;                                     /* it does not wait for all names again */
    struct carrier_dial dial;                       /* LINK_DIALLING */
    struct backend *candidates[DIAL_ADDRESSES_MAX]; /* of the dial; used */
    int count;                                      /* of candidates */
    struct backend *counted; /* the one that this link is one of the links of; NULL: none */
    uint64_t began_us;       /* the dial, or the session */
    struct loop_timer timer; /* LINK_PAUSE, LINK_RESOLVING */
    uint64_t reconnects;
    struct upstream_session *session; /* LINK_UP */
    char error[BACKEND_ERROR_SIZE];   /* of the last attempt or session */
};

/* A session outlives its link's interest in it while it drains. */
struct upstream_session {
    struct upstream *upstream;
    const struct upstream_session_ops *ops;
    struct link *link;       /* NULL once draining or over */
    struct backend *backend; /* used; NULL: the carrier was handed over */
    uint8_t state;           /* enum session_state */
    struct pump *pump;
    struct metrics_series *peer; /* in which it is counted; NULL: in none */
    uint64_t rtt_us;             /* as the metrics have seen it last */
    struct list_link member;     /* in upstream.sessions */
    struct loop_timer
        timer; /* until it counts as established; looks whether it may end, while draining */
    struct list unanswered;    /* waiters whose stream has been opened */
    struct loop_timer silence; /* looks whether the gateway has answered */
    uint64_t opened_us;        /* the last stream */
    uint64_t pinged_us;        /* 0: no ping is under way that the timer waits for */
    uint64_t dialled_us;       /* how long it took to connect the carrier */
    struct loop_task task;     /* tells those who wait that it is silent */
    struct loop_garbage garbage;
};

static inline struct upstream_session *upstream_session_of(struct list_link *member) {
    return container_of(member, struct upstream_session, member);
}

/* The states of a name. */
enum name_state {
    NAME_IDLE,    /* not asked yet */
    NAME_SERVICE, /* its SRV records are being asked for */
    NAME_HOST,    /* the addresses of a host are */
    NAME_KNOWN,   /* it has been answered, and is asked again when its timer expires */
    NAME_FAILED,  /* the same after a look-up that has failed */
    NAME_STOPPED  /* for good */
};

struct upstream_names_ops;

/* A name of the configuration that is looked up. */
struct name_source {
    struct upstream *upstream;
    const struct upstream_names_ops *ops;
    const struct config_address *address;
    uint8_t index; /* of the address in the configuration */
    uint8_t state; /* enum name_state */
    bool answered; /* at least once */
    struct resolver_query query;
    struct loop_timer timer;             /* of the next look-up, or the end of this one */
    struct dns_srv records[DNS_SRV_MAX]; /* in the order to try them */
    int record_count, at;
    struct backend_place found[BACKENDS_OF_SOURCE_MAX];
    int found_count;
    uint32_t ttl_s;    /* of this answer, as far as it has come */
    uint32_t pause_ms; /* after failures */
    uint64_t answered_us;
    char error[CONFIG_URL_MAX + 80]; /* why the last look-up has failed */
};

struct upstream {
    const struct upstream_ops *ops;
    struct reactor *reactor;
    struct resolver_client *names;
    struct config_gateway config;
    struct tls_layer tls; /* for its tls:// addresses */
    struct backends backends;
    struct name_source *sources; /* of the addresses that are names; NULL: none are */
    int source_count;
    uint64_t random;                                      /* of upstream_choose */
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

/* An idle link starts to connect, if there is an address that should have another session. */
void upstream_link_connect(struct link *link);
/* Makes a session of the carrier, which it takes over; the link is up. `backend`: whose address it
 * is, or NULL. 0 or a negative errno; then the carrier stays the caller's. */
int upstream_link_adopt(struct link *link, struct carrier *carrier, struct backend *backend);
/* All idle links do what upstream_link_connect says. */
void upstream_start_links(struct upstream *upstream);
/* Its session gets no more streams and ends with its last one; the link may connect again. */
void upstream_link_detach(struct link *link);
/* Stops for good: gives up what is under way; a session drains. */
void upstream_link_stop(struct link *link);
/* Somebody waits now: shortens long pauses. */
void upstream_hurry(struct upstream *upstream);
/* The addresses may be others now: links leave those that are gone, and go on if they have waited
 * for any. */
void upstream_take_addresses(struct upstream *upstream);
/* Whether a link has a session, or may soon have one. */
bool upstream_has_hope(const struct upstream *upstream);

/* ---- upstream_session.c ---- */

/* The only function that changes the state. An invalid transition ends this session only; false
 * then. */
bool upstream_session_move(struct upstream_session *session, enum session_state to);

/* Makes a session of the carrier, which it takes over. NULL with errno set; then the carrier stays
 * the caller's. */
struct upstream_session *upstream_session_new(struct link *link, struct carrier *carrier,
                                              struct backend *backend,
                                              const struct upstream_session_ops *ops);
/* The session leaves its link, gets no more streams and ends with its last one. */
void upstream_session_drain(struct upstream_session *session);

/* ---- upstream_names.c ---- */

/* What names report to their upstream. */
struct upstream_names_ops {
    /* A look-up has ended: there may be other addresses. Not called from within
     * upstream_names_ask. */
    void (*answered)(struct upstream *upstream);
};

/* Lists the addresses of the configuration that are no names, and prepares to look up the others.
 * False if memory is short. */
bool upstream_names_init(struct upstream *upstream, const struct upstream_names_ops *ops);
/* Gives up what is under way, for good. */
void upstream_names_stop(struct upstream *upstream);
void upstream_names_fini(struct upstream *upstream);
/* Looks up the names that have not been asked yet. `again`: those whose last look-up has failed,
 * too, without waiting for the end of their pause. */
void upstream_names_ask(struct upstream *upstream, bool again);
/* When the next look-up begins, or ends; UINT64_MAX: never. */
uint64_t upstream_names_due_us(const struct upstream *upstream);
/* The addresses do not work: looks names up again, as soon as ttl-min admits. */
void upstream_names_doubt(struct upstream *upstream);
/* Whether a name is being asked for the first time, or without having an answer. */
bool upstream_names_pending(const struct upstream *upstream);
/* Why a name has no address, or NULL. */
const char *upstream_names_error(const struct upstream *upstream);
/* Of the source with this index: when it is asked next, or 0; and the last error, or "". */
uint64_t upstream_names_next_us(const struct upstream *upstream, int source);
const char *upstream_names_last_error(const struct upstream *upstream, int source);

/* ---- upstream_balance.c ---- */

/* The link whose session gets the next stream. `cautious`: established ones only. NULL: none. */
struct link *upstream_choose(struct upstream *upstream, bool cautious);
/* Whether it accepts streams. */
bool upstream_link_is_usable(const struct link *link, bool cautious);

/* ---- upstream_silence.c ---- */

/* A session begins. */
void upstream_silence_begin(struct upstream_session *session);
/* A stream was opened on it for this waiter. */
void upstream_silence_expect(struct upstream_session *session, struct upstream_waiter *waiter);
/* It ends, or its streams do not matter any more. */
void upstream_silence_end(struct upstream_session *session);

#endif
