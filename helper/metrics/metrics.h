/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - the counters of a daemon, where another process can read them.
 *
 * They lie in a segment of memory that is shared with every process forked later: one slot for each
 * worker, or a single one. Only the loop of that worker writes to its slot, with plain stores that
 * no reader can see half of; so counting takes no system call, no lock and no bus cycle of its own.
 * A worker that replaces another goes on with its slot: no counter ever steps back. Whoever renders
 * them (metrics_text.h) runs in a process of its own (metrics_process.h).
 *
 * Counters of connections belong to a client or to a route and its gateway, those of sessions to a
 * client or a gateway: a series each. The first METRICS_SERIES_MAX of them have series of their
 * own, all others share one that is called "other".
 *
 * Without a segment everything counts in memory that nobody reads: callers need not ask.
 */
#ifndef HELPER_METRICS_METRICS_H
#define HELPER_METRICS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Series that have a name of their own, of each kind. */
#define METRICS_SERIES_MAX 128u
#define METRICS_NAME_MAX   63u

enum metrics_program { METRICS_GATEWAY = 1, METRICS_HELPER = 2 };

/* ---- What is counted: each has a row in metrics_table.c ---- */

/* Why a peer that had not shown yet who it is has got no session, or has lost it. */
enum metrics_stranger {
    STRANGER_OTHER,
    STRANGER_SILENT,      /* within hello-timeout */
    STRANGER_GAVE_WAY,    /* to a newer one (max-handshakes) */
    STRANGER_CLOSED,      /* it has gone away */
    STRANGER_NOT_TLS,     /* at a tls:// address */
    STRANGER_VERSION,     /* an older TLS */
    STRANGER_PROTOCOL,    /* nothing in common: ALPN, ciphers */
    STRANGER_SECRET,      /* none, a wrong one, or one of nobody known */
    STRANGER_CERTIFICATE, /* none, or not a good one */
    STRANGER_REFUSES,     /* it does not trust this gateway */
    STRANGER_NO_CLIENT,   /* its identity is in no [client] */
    STRANGERS
};

/* Of a worker. */
enum metrics_worker_value {
    WORKER_OPEN_DESCRIPTORS,
    WORKER_DESCRIPTORS_LIMIT,
    WORKER_RESIDENT_BYTES,
    WORKER_CPU_US,
    WORKER_KEPT_BYTES,
    WORKER_KEPT_LIMIT_BYTES,
    WORKER_LENT_BYTES,
    WORKER_SPARE_BYTES,
    WORKER_QUEUED_NAMES,
    WORKER_NAMES_UNDER_WAY,
    WORKER_HANDSHAKES,
    WORKER_CARRIERS,
    WORKER_CARRIERS_REFUSED,
    WORKER_SUPPRESSED_LINES,
    WORKER_LOST_LINES,
    WORKER_STRANGERS, /* and those behind it: enum metrics_stranger */
    WORKER_VALUES = WORKER_STRANGERS + STRANGERS
};

/* Why a connection was not opened. */
enum metrics_refusal {
    REFUSED_DENIED,      /* not in an allow list */
    REFUSED_LIMITED,     /* a limit of the configuration */
    REFUSED_NO_ROUTE,    /* the helper has none */
    REFUSED_NO_GATEWAY,  /* the helper has no session with it */
    REFUSED_BAD_REQUEST, /* it was no SOCKS5 request that can be served */
    REFUSED_NAME,        /* the name cannot be resolved */
    REFUSED_REFUSED,     /* ECONNREFUSED */
    REFUSED_TIMEOUT,
    REFUSED_UNREACHABLE, /* EHOSTUNREACH, ENETUNREACH */
    REFUSED_ABANDONED,   /* its client has gone before */
    REFUSED_OTHER,
    REFUSALS
};

/* How an open connection has ended. */
enum metrics_end {
    ENDED_CLOSED,          /* in order */
    ENDED_CLIENT_RESET,    /* the client's side has reset it, or its session has ended */
    ENDED_TARGET_RESET,    /* the target's side has */
    ENDED_GIVEN_UP,        /* by this daemon */
    ENDED_WITH_ITS_WORKER, /* which was killed */
    ENDS
};

/* Of connections. */
enum metrics_flow_value {
    FLOW_OPENED,
    FLOW_REFUSED, /* and those behind it: enum metrics_refusal */
    FLOW_ENDED = FLOW_REFUSED + REFUSALS,
    FLOW_TO_TARGET = FLOW_ENDED + ENDS,
    FLOW_FROM_TARGET,
    FLOW_OPENING,
    FLOW_ACTIVE,
    FLOW_VALUES
};

/* Of sessions. */
enum metrics_peer_value {
    PEER_BEGUN,
    PEER_ENDED,
    PEER_CONNECT_FAILURES,
    PEER_SESSIONS,
    PEER_OUTPUT_BYTES,
    PEER_WAITING,
    PEER_UNREACHABLE,
    PEER_VALUES
};

#define METRICS_BUCKETS 14
/* Upper bounds of a histogram's buckets, in microseconds. */
extern const uint32_t metrics_bucket_us[METRICS_BUCKETS];

struct metrics_histogram {
    uint64_t bucket[METRICS_BUCKETS + 1]; /* not cumulative; the last one has no upper bound */
    uint64_t sum_us;
};

/* What is counted of one client, or of one route and its gateway. */
struct metrics_series {
    char name[2][METRICS_NAME_MAX + 1]; /* client; or route and gateway; or gateway */
    uint64_t value[FLOW_VALUES > (int)PEER_VALUES ? FLOW_VALUES : PEER_VALUES];
    struct metrics_histogram time; /* to connect, or of a round trip */
};

/* Series 0 is that of all others. */
struct metrics_group {
    uint32_t count; /* in use, series 0 included: what lies below is complete */
    struct metrics_series series[METRICS_SERIES_MAX + 1];
};

enum metrics_state { METRICS_STARTING, METRICS_SERVING, METRICS_DRAINING };

struct metrics_slot {
    uint64_t beat_us; /* loop_clock_us when its loop last said that it turns; 0: never */
    uint32_t state;   /* enum metrics_state */
    uint32_t ready;   /* beyond that: the helper has a gateway that may be alive */
    uint64_t value[WORKER_VALUES];
    struct metrics_group flows, peers;
};

struct metrics {
    uint32_t program; /* enum metrics_program */
    uint32_t workers;
    uint64_t started_s; /* wall clock */
    uint64_t replaced;  /* workers that took the place of one that had ended */
    uint32_t draining;  /* all of it */
    struct metrics_slot slot[];
};

/* ---- The segment: one per daemon ---- */

/* Maps it for so many workers, all of which are forked later. NULL with errno set. */
struct metrics *metrics_open(enum metrics_program program, uint32_t workers);

/* Is there one? */
bool metrics_are_open(void);

/* This process counts in the slot of that worker from now on, and what its predecessor had open
 * ends here. Without a segment: in memory of its own. */
void metrics_use(uint32_t worker);

/* The slot of this process. */
struct metrics_slot *metrics_slot(void);

/* What the loop of this process does from now on. */
void metrics_enter(enum metrics_state state);
/* It still turns; `ready`: and can do its work. */
void metrics_beat(bool ready);

/* Sets a counter of this process's slot to what its predecessors have counted and `now`, of this
 * process alone. */
void metrics_continue(enum metrics_worker_value counter, uint64_t now);

/* For a supervisor: all workers drain; a worker takes the place of one that has died. */
void metrics_drain(void);
void metrics_count_replaced(void);

/* ---- Counting: for the loop's thread ---- */

static inline uint64_t metrics_get(const uint64_t *value) {
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static inline void metrics_set(uint64_t *value, uint64_t to) {
    __atomic_store_n(value, to, __ATOMIC_RELAXED);
}

/* There is one writer, so that this need not be one step. */
static inline void metrics_add(uint64_t *value, uint64_t n) {
    metrics_set(value, metrics_get(value) + n);
}

static inline void metrics_take(uint64_t *value, uint64_t n) {
    metrics_set(value, metrics_get(value) - n);
}

void metrics_observe(struct metrics_histogram *histogram, uint64_t us);

/* The series of that name, made if need be; `b` is NULL where there is one name only. */
struct metrics_series *metrics_series(struct metrics_group *group, const char *a, const char *b);

/* Makes a zeroed group one that has the series of all others. */
void metrics_group_init(struct metrics_group *group);

/* Sets one gauge of all series to 0, for it to be added up anew. */
void metrics_zero(struct metrics_group *group, int value);

/* For what is not to be counted. */
struct metrics_series *metrics_nowhere(void);

/* ---- Asking: for any process ---- */

/* Every loop has turned lately. Otherwise writes one line that says which has not. */
bool metrics_is_healthy(const struct metrics *metrics, uint64_t now_us, char *why, size_t size);
/* It can take connections. Otherwise one line that says why not. */
bool metrics_is_ready(const struct metrics *metrics, uint64_t now_us, char *why, size_t size);

/* How often a loop says so, and after what time it is thought to hang. */
#define METRICS_BEAT_US  1000000u
#define METRICS_STUCK_US 5000000u

#endif
