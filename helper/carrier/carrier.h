/* SPDX-License-Identifier: MIT */
/*
 * carrier.h - the reliable ordered connection that a session runs on.
 *
 * A carrier owns what it consists of: descriptors and their readiness, its handshake, its timers
 * and its shutdown. Its user (pump.h) starts it, is told when it is ready and when reading or
 * writing is worth trying, and closes it. Only its maker knows its kind: a kind is a table of
 * functions (struct carrier_ops). A carrier may be made over another one, whose user it then is.
 *
 *     NEW -- start --> STARTING --> READY -- shutdown --> ENDING --> OVER
 *
 * carrier_close leads from every state to OVER at once. A user's functions are never called from
 * within a call of that user. A carrier belongs to one loop, in one thread.
 */
#ifndef HELPER_CARRIER_CARRIER_H
#define HELPER_CARRIER_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "helper/net/events.h"
#include "helper/net/loop.h"

/* Enough for "tcp://[...]:65535" and any unix path. */
#define CARRIER_TEXT_SIZE 320
#define CARRIER_WHY_SIZE  240
/* One name that a peer has proved to be its own, and the room for all of them. */
#define CARRIER_IDENTITY_MAX   271u
#define CARRIER_IDENTITIES_MAX 1024u

struct carrier;

/* What a carrier reports to its user. */
struct carrier_user {
    /* The handshake has succeeded: the carrier can be read and written. Not called if carrier_start
     * has returned with the carrier ready. */
    void (*ready)(struct carrier *carrier);
    /* The handshake has failed, or has not ended in time. `why` is a text for the log. */
    void (*failed)(struct carrier *carrier, const char *why);
    /* Events of a ready carrier, each reported once: EVENT_READ and EVENT_WRITE (reading or writing
     * gives something new, if only an error), and EVENT_EOF (no more bytes will arrive than are
     * there). */
    void (*events)(struct carrier *carrier, uint8_t events);
    /* What was written has been passed on, and so has the end; or the time for that is up. */
    void (*ended)(struct carrier *carrier);
};

/* A kind of carrier. */
struct carrier_ops {
    /* Begins the handshake. carrier_has_started follows, now or later, or carrier_has_failed,
     * later. 0 or a negative errno. */
    int (*start)(struct carrier *carrier);
    /* As read(2) on a non-blocking descriptor: > 0, 0 at the end, -1 with errno (EAGAIN: wait for
     * EVENT_READ). */
    ssize_t (*read)(struct carrier *carrier, void *data, size_t len);
    /* As writev(2), without SIGPIPE. Less than all: wait for EVENT_WRITE. */
    ssize_t (*writev)(struct carrier *carrier, const struct iovec *iov, int iovcnt);
    /* A read that returns less than asked for has emptied the source: no need to read again before
     * the next EVENT_READ. */
    bool short_read_drains;
    /* `on`: holds no more unsent bytes than the path needs; otherwise as many as usual again.
     * Returns what windows should be limited to meanwhile (smux_session_limit_windows). */
    uint32_t (*keep_short)(struct carrier *carrier, bool on);
    /* Passes on what was written, and then the end. True: that has been done; false:
     * carrier_has_ended follows. NULL: closing does all of it. */
    bool (*shutdown)(struct carrier *carrier);
    /* Releases all that it has, at once. */
    void (*close)(struct carrier *carrier);
    /* Frees its memory, at the end of the turn. */
    void (*free)(struct carrier *carrier);
};

enum carrier_state { CARRIER_NEW, CARRIER_STARTING, CARRIER_READY, CARRIER_ENDING, CARRIER_OVER };

/* Why a handshake has failed, in a word for statistics; carrier.why has it in full. */
enum carrier_failure {
    CARRIER_FAILED_OTHERWISE,
    CARRIER_FAILED_CLOSED,      /* the peer has closed */
    CARRIER_FAILED_NOT_TLS,     /* what came is something else */
    CARRIER_FAILED_VERSION,     /* an older TLS */
    CARRIER_FAILED_PROTOCOL,    /* nothing in common: ALPN, ciphers */
    CARRIER_FAILED_SECRET,      /* none, a wrong one, or one of nobody known */
    CARRIER_FAILED_CERTIFICATE, /* none, or not a good one */
    CARRIER_FAILED_REFUSED      /* the peer does not trust this side */
};

struct carrier_stats {
    uint64_t bytes_in, bytes_out;
    uint64_t reads, writes; /* calls, including those that failed with EAGAIN */
};

/* The first member of every kind. */
struct carrier {
    const struct carrier_ops *ops;
    struct loop *loop;
    const struct carrier_user *calls;
    void *user;
    uint8_t state;   /* enum carrier_state */
    uint8_t failure; /* enum carrier_failure */
    struct carrier_stats stats;
    struct loop_timer timer; /* of the handshake, of the end */
    struct loop_garbage garbage;
    char why[CARRIER_WHY_SIZE];   /* of a failure for which there is no errno; empty: none */
    char peer[CARRIER_TEXT_SIZE]; /* for the log */
    /* Texts in a row, each with its terminator; an empty one ends them. */
    char identities[CARRIER_IDENTITIES_MAX];
};

/* ---- For its user ---- */

/* Starts it. 0 or a negative errno; it may be ready on return. If it is not ready within
 * `timeout_us`, calls->failed is called. */
int carrier_start(struct carrier *carrier, const struct carrier_user *calls, void *user,
                  uint64_t timeout_us);

static inline bool carrier_is_ready(const struct carrier *carrier) {
    return carrier->state == CARRIER_READY;
}

/* Both only for a carrier that is ready. */
static inline ssize_t carrier_read(struct carrier *carrier, void *data, size_t len) {
    ssize_t n = carrier->ops->read(carrier, data, len);
    carrier->stats.reads++;
    carrier->stats.bytes_in += n > 0 ? (size_t)n : 0;
    return n;
}

static inline ssize_t carrier_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    ssize_t n = carrier->ops->writev(carrier, iov, iovcnt);
    carrier->stats.writes++;
    carrier->stats.bytes_out += n > 0 ? (size_t)n : 0;
    return n;
}

/* Who the peer has proved to be, once the carrier is ready: "psk:NAME", "pin:sha256//BASE64",
 * "cert:NAME" for a certificate's subject or an alternative name of it, "uid:1000" over a unix
 * socket. Empty: it has proved none. If it has proved several: the first. */
const char *carrier_identity(const struct carrier *carrier);

/* Why reading or writing has just failed with `error`, an errno. */
const char *carrier_error_text(const struct carrier *carrier, int error);

/* Shuts it down in order, if it is ready; it may no longer be read or written. True: it has ended;
 * false: calls->ended follows within `timeout_us`. Close it after that. */
bool carrier_shutdown(struct carrier *carrier, uint64_t timeout_us);

/* Closes it, in any state; its memory is freed at the end of the turn. Its user is not called
 * again. NULL is fine. */
void carrier_close(struct carrier *carrier);

/* ---- For kinds ---- */

/* Initializes what all kinds have. The structure has been zeroed. */
void carrier_init(struct carrier *carrier, const struct carrier_ops *ops, struct loop *loop,
                  const char *peer);
/* The peer has proved to be `name`, in the manner `kind`: "psk", "pin", "cert" or "uid". Bytes of
 * the name other than visible ASCII, commas and '%' are written as %XX, so that the text can stand
 * in a list and in a log, and no two names look the same. To be called by the layer that has
 * authenticated the peer, before carrier_has_started. False, and nothing is added, if the name is
 * empty or there is no room for it. */
bool carrier_add_identity(struct carrier *carrier, const char *kind, const void *name, size_t len);
/* For a layer that authenticates nobody: takes over the identities that the carrier below it
 * knows. */
void carrier_pass_identities(struct carrier *carrier, const struct carrier *lower);
/* The handshake has succeeded. */
void carrier_has_started(struct carrier *carrier);
/* The handshake has failed. Not from within ops->start. */
void carrier_has_failed(struct carrier *carrier, const char *why);
/* Passes events on to the user, if the carrier is ready. Not from within the user's calls. */
void carrier_tell(struct carrier *carrier, uint8_t events);
/* What ops->shutdown began is complete. Not from within ops->shutdown. */
void carrier_has_ended(struct carrier *carrier);

#endif
