/* SPDX-License-Identifier: MIT */
/*
 * backend.h - one address of a gateway, and how it does.
 *
 * An address that has failed is left out, and tried again after a pause that doubles with each
 * failure in a row, is shortened by a random part, and has an upper bound. A backend is listed
 * while the configuration or a name server's last answer has its address, and lives on while a
 * session or a dial refers to it.
 */
#ifndef HELPER_CLIENT_BACKEND_H
#define HELPER_CLIENT_BACKEND_H

#include "core/common/config.h"
#include "core/common/list.h"
#include "helper/carrier/carrier.h"

/* The states of a backend. The table in backend.c says which may follow which. */
enum backend_state {
    BACKEND_UNTRIED, /* no session has been tried yet */
    BACKEND_UP,      /* the last attempt has given a session */
    BACKEND_FAILED,  /* an attempt has failed, or a session was lost: tried again at retry_us */
    BACKEND_GONE     /* no longer listed: its sessions drain */
};

/* An address, and why it has failed. */
#define BACKEND_ERROR_SIZE (CARRIER_TEXT_SIZE + CARRIER_WHY_SIZE + 60)

/* Where a backend comes from, and what it is for: what a look-up finds. */
struct backend_place {
    struct config_address address; /* an IP address and port, or a path */
    char name[256];                /* the host that has it; empty: the configuration says it */
    char server_name[256];         /* whom it has to prove to be; empty: the address itself */
    uint8_t source;                /* index of the configuration's address */
    uint16_t priority, weight;     /* of the SRV record; otherwise 0 and 1 */
};

struct backend {
    struct list_link member; /* in backends.all */
    struct backend_place place;
    char text[CARRIER_TEXT_SIZE]; /* for the log */
    uint8_t state;                /* enum backend_state */
    bool seen;                    /* in the answer that is being taken over */
    bool sent_away;               /* the last session was, as soon as it had begun */
    unsigned users;               /* sessions, and dials that try it */
    unsigned links;               /* links that it has, or will have if their dial succeeds */
    uint32_t pause_ms;            /* the last one; 0: it has not failed lately */
    uint32_t failures;            /* in a row */
    uint64_t failures_total;
    uint64_t failed_us; /* when it failed last */
    uint64_t retry_us;  /* BACKEND_FAILED: when it is tried again */
    char error[BACKEND_ERROR_SIZE];
};

static inline struct backend *backend_of(struct list_link *member) {
    return container_of(member, struct backend, member);
}

/* NULL if memory is short. */
struct backend *backend_new(const struct backend_place *place);

/* Takes it out of its list. */
void backend_free(struct backend *backend);

/* One user more, or less: one that is gone and has no user left is freed. NULL is fine. */
void backend_use(struct backend *backend);
void backend_release(struct backend *backend);

/* The only function that changes the state. An invalid transition changes nothing; false then. */
bool backend_move(struct backend *backend, enum backend_state to);

/* A session is established. */
void backend_succeeded(struct backend *backend);

/* It has failed, because of what `text` says. The pause is for an attempt, or a session, that began
 * at `began_us`: those that began before the last failure belong to the same. */
void backend_failed(struct backend *backend, const char *text, uint64_t began_us, uint64_t now_us,
                    const struct config_gateway *config);

/* A session has lasted: the next pause is the shortest again. */
void backend_lasted(struct backend *backend);

static inline bool backend_is_listed(const struct backend *backend) {
    return backend->state != BACKEND_GONE;
}

/* Whether an attempt is worth it now. */
static inline bool backend_is_available(const struct backend *backend, uint64_t now_us) {
    return backend_is_listed(backend) &&
           (backend->state != BACKEND_FAILED || backend->retry_us <= now_us);
}

/* "untried", "up", "failed" or "gone". */
const char *backend_state_name(const struct backend *backend);

/* A random time in the upper half of `ms`, so that many helpers do not do the same at once. */
uint32_t backend_jittered(uint32_t ms);

#endif
