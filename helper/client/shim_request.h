/* SPDX-License-Identifier: MIT */
/*
 * shim_request.h - one accepted connection of the shim: request, gate, outcome, relay.
 */
#ifndef HELPER_CLIENT_SHIM_REQUEST_H
#define HELPER_CLIENT_SHIM_REQUEST_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/common/helper_protocol.h"
#include "helper/client/abandon_watch.h"
#include "helper/client/conns.h"

struct account;

/* Serves the helper's end `fd` for an admitted user. Takes over `fd` and `account` (NULL for a user
 * without limits). False if memory is short; the caller then keeps both. */
bool shim_request_new(struct conns *conns, struct abandon_watches *watches, int fd,
                      const struct ucred *cred, struct account *account);

/* ---- For shim_request.c and its test only ---- */

/* The states of a request. The table in shim_request.c says which may follow which. */
enum request_state {
    REQUEST_READING, /* header and name */
    REQUEST_OPENING, /* the outcome is not known yet */
    REQUEST_TELLING, /* it is known, but the whole gate has not arrived */
    REQUEST_OPENED,  /* given; a thread sets the last option, as the lock may be held */
    REQUEST_OPEN,    /* given: the application has the connection */
    REQUEST_OVER     /* everything is closed; the memory is freed at the end of the turn */
};

/* Needed until the application has its connection. */
struct request_opening {
    struct shim_request *request;
    struct loop_timer timer;
    struct abandon_watches *watches;
    struct abandon_watch pending;
    struct loop_watch opened; /* REQUEST_OPENED: a pipe that the thread closes */
    struct helper_request header;
    bool proven;       /* app_fd is known to be the other end of this connection */
    uint16_t have;     /* bytes of header and name read */
    int app_fd;        /* the helper's copy of the application's end, -1 when closed */
    int outcome_error; /* while REQUEST_TELLING: 0 or a negative errno */
    struct endpoint outcome_local;
    char name[HELPER_HOST_NAME_MAX + 1];
};

struct shim_request {
    struct conn conn;
    struct loop_garbage garbage;
    struct request_opening *opening; /* NULL when REQUEST_OPEN */
    uint8_t state;                   /* enum request_state */
    bool read;                       /* completely */
};

#endif
