/* SPDX-License-Identifier: MIT */
/* local_address.c - see local_address.h. */
#include "shim/socket/local_address.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "shim/base/fork_guard.h"
#include "shim/base/libc.h"
#include "shim/socket/options.h"

/* Connects in progress whose destination is remembered. Of two that share a place the newer one is
 * kept. */
#define NOTES 64

/* The upper part of the kernel's default range of ephemeral ports. */
#define PORT_FIRST 49152
#define PORT_COUNT 11000

static struct note {
    atomic_flag busy; /* set: do without, as a signal handler must not wait for its own thread */
    int fd_plus_one;
    struct endpoint dest;
} notes[NOTES];

static atomic_uint ports;

static struct note *note_of(int fd) {
    return &notes[(unsigned)fd % NOTES];
}

void local_address_note(int fd, const struct endpoint *dest) {
    struct note *note = note_of(fd);
    if (atomic_flag_test_and_set(&note->busy))
        return;
    note->fd_plus_one = fd + 1;
    note->dest = *dest;
    atomic_flag_clear(&note->busy);
}

static bool noted_dest(int fd, struct endpoint *dest) {
    struct note *note = note_of(fd);
    if (atomic_flag_test_and_set(&note->busy))
        return false;
    bool known = note->fd_plus_one == fd + 1;
    *dest = note->dest;
    atomic_flag_clear(&note->busy);
    return known;
}

void local_address_copy(int from, int to) {
    struct endpoint dest;
    if (noted_dest(from, &dest))
        local_address_note(to, &dest);
}

/* The address that packets to `dest` leave from. False if there is no route. */
static bool routed_address(const struct endpoint *dest, struct endpoint *address) {
    struct sockaddr_storage name;
    socklen_t len = endpoint_to_sockaddr(dest, &name);
    bool known = false;
    fork_guard_open();
    int fd = raw_socket(dest->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        /* Nothing is sent: a UDP connect only looks up the route. */
        if (raw_connect(fd, &name, len) == 0) {
            len = sizeof name;
            known = raw_getsockname(fd, &name, &len) == 0 &&
                    endpoint_from_sockaddr(address, (struct sockaddr *)&name, len);
        }
        raw_close(fd);
    }
    fork_guard_close();
    return known;
}

struct endpoint local_address_bound(int fd, uint16_t family) {
    struct endpoint bound;
    int saved = errno;
    if (!option_address_get(fd, OPTION_BOUND, &bound) || bound.family != family)
        bound = (struct endpoint){.family = family};
    errno = saved;
    return bound;
}

/* The local address that a socket bound to `bound` would have after a connect to `dest`. */
static struct endpoint made_up(const struct endpoint *bound, const struct endpoint *dest) {
    struct endpoint local = *bound, routed;
    if (local.port == 0)
        local.port = (uint16_t)(PORT_FIRST + (atomic_fetch_add(&ports, 1) * 7919u) % PORT_COUNT);
    if (endpoint_is_any(&local) && routed_address(dest, &routed)) {
        memcpy(local.addr, routed.addr, sizeof local.addr);
        local.scope_id = routed.scope_id;
    }
    return local;
}

struct endpoint local_address_get(int fd, uint16_t family, const struct endpoint *dest) {
    struct endpoint local, noted;
    int saved = errno;
    if (!option_address_get(fd, OPTION_OWN, &local) || local.family != family) {
        local = local_address_bound(fd, family);
        if (!dest && noted_dest(fd, &noted))
            dest = &noted;
        if (dest && dest->family == family) {
            local = made_up(&local, dest);
            option_address_put(fd, OPTION_OWN, &local);
        }
    }
    errno = saved;
    return local;
}

/* Once connect has reported its failure, TCP resets the local address to the bound one, but keeps
 * the port. */
static struct endpoint local_of_failed(int fd, const struct endpoint *dest, bool pending) {
    uint16_t family = options_family(fd);
    struct endpoint local = local_address_get(fd, family, dest);
    if (!pending) {
        struct endpoint bound = local_address_bound(fd, family);
        bound.port = local.port;
        local = bound;
    }
    return local;
}

struct endpoint local_address_of(int fd, const struct shim_state *state, bool pending) {
    const struct helper_outcome *outcome = &state->outcome;
    const struct endpoint *dest = endpoint_is_any(&outcome->dest) ? NULL : &outcome->dest;
    if (state->kind == SHIM_CONNECTED)
        return outcome->local.port && !endpoint_is_any(&outcome->local)
                   ? outcome->local
                   : local_address_get(fd, outcome->dest.family, dest);
    if (state->kind == SHIM_FAILED)
        return local_of_failed(fd, dest, pending);
    return local_address_get(fd, options_family(fd), NULL);
}
