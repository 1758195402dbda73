/* SPDX-License-Identifier: MIT */
/* peername.c - see peername.h. */
#include "shim/hooks/peername.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/base/readable.h"
#include "shim/hooks/connect.h"
#include "shim/socket/local_address.h"
#include "shim/socket/options.h"
#include "shim/socket/state.h"

bool address_is_ours(int fd, const struct sockaddr *addr, socklen_t size, socklen_t len) {
    const socklen_t least = offsetof(struct sockaddr_un, sun_path) + sizeof HELPER_ABSTRACT_PREFIX;
    struct sockaddr_un name;
    if (len < least || (size >= sizeof addr->sa_family && addr->sa_family != AF_UNIX))
        return false;
    if (len > size || len > sizeof name || size == ADDRESS_SIZE_UNKNOWN)
        return shim_is_ours(fd);
    memcpy(&name, addr, len);
    return helper_name_is_valid(&name, len);
}

/* Writes an address as the kernel does: truncated to `size`, with its full length in *len. */
static int give(const struct endpoint *ep, struct sockaddr *addr, socklen_t size, socklen_t *len) {
    struct sockaddr_storage full;
    *len = endpoint_to_sockaddr(ep, &full);
    memcpy(addr, &full, size < *len ? size : *len);
    return 0;
}

static int fail(int err) {
    errno = err;
    return -1;
}

/* Takes the state from the kernel's answer, or asks the kernel if the answer was truncated or is no
 * outcome. */
static struct shim_state state_from(int fd, const struct sockaddr *addr, socklen_t size,
                                    socklen_t len) {
    struct sockaddr_un name;
    struct shim_state state = {.kind = SHIM_CONNECTED};
    if (len <= size && len <= sizeof name) {
        memcpy(&name, addr, len);
        if (helper_outcome_unpack(&state.outcome, &name, len)) {
            state.kind = state.outcome.err ? SHIM_FAILED : SHIM_CONNECTED;
            return state;
        }
        /* No name, or another one: it can be ours only while connecting. Without a connection of
         * ours in this process there is none. */
        if (!atomic_load_explicit(&shim_any_ours, memory_order_relaxed))
            return (struct shim_state){.kind = SHIM_FOREIGN};
    }
    return shim_state_read(fd);
}

static int give_peer(int fd, const struct shim_state *state, struct sockaddr *addr, socklen_t size,
                     socklen_t *len) {
    if (state->kind != SHIM_CONNECTED || shim_is_hung_up(fd))
        return fail(ENOTCONN);
    return give(&state->outcome.dest, addr, size, len);
}

static int give_own(int fd, const struct shim_state *state, struct sockaddr *addr, socklen_t size,
                    socklen_t *len) {
    struct endpoint local = local_address_of(fd, state, hint_has(fd, HINT_PENDING));
    return give(&local, addr, size, len);
}

/* Answers from the state alone if the hint says that the descriptor is ours, so that the kernel
 * writes no AF_UNIX name to the caller's memory. Returns false if it is not ours. */
static bool answer_hinted(int fd, struct sockaddr *addr, socklen_t *len, bool peer, int *result) {
    if (!hint_has(fd, HINT_OURS) || !addr || (int)*len < 0)
        return false;
    struct shim_state state = shim_state_read(fd);
    if (state.kind == SHIM_FOREIGN)
        return false;
    *result = peer ? give_peer(fd, &state, addr, *len, len) : give_own(fd, &state, addr, *len, len);
    return true;
}

/* What the kernel answered about the peer, for a connection of ours in terms of TCP. */
static int translate_peer(int fd, struct sockaddr *addr, socklen_t size, socklen_t *len) {
    if (!address_is_ours(fd, addr, size, *len))
        return 0;
    struct shim_state state = shim_state_read(fd);
    return give_peer(fd, &state, addr, size, len);
}

/* The same for the socket's own name, which is empty or an outcome. If it is empty, only the peer's
 * name tells whether the socket is ours. */
static int translate_own(int fd, struct sockaddr *addr, socklen_t size, socklen_t *len) {
    if (size >= sizeof addr->sa_family && addr->sa_family != AF_UNIX)
        return 0;
    struct shim_state state = state_from(fd, addr, size, *len);
    return state.kind == SHIM_FOREIGN ? 0 : give_own(fd, &state, addr, size, len);
}

static int name_of(int fd, struct sockaddr *addr, socklen_t *len, bool peer) {
    int (*ask)(int, struct sockaddr *, socklen_t *) = peer ? real.getpeername : real.getsockname;
    int result;
    if (!readable(len))
        return ask(fd, addr, len);
    socklen_t size = *len;
    if (answer_hinted(fd, addr, len, peer, &result))
        return result;
    result = ask(fd, addr, len);
    if (result != 0)
        return result;
    return peer ? translate_peer(fd, addr, size, len) : translate_own(fd, addr, size, len);
}

int shim_getpeername(int fd, struct sockaddr *addr, socklen_t *len) {
    return name_of(fd, addr, len, true);
}

int shim_getsockname(int fd, struct sockaddr *addr, socklen_t *len) {
    return name_of(fd, addr, len, false);
}

int shim_shutdown(int fd, int how) {
    if (!hint_has(fd, HINT_OURS) || how < SHUT_RD || how > SHUT_RDWR)
        return real.shutdown(fd, how);
    struct shim_state state = shim_state_read(fd);
    if (state.kind == SHIM_FOREIGN)
        return real.shutdown(fd, how);
    if (shim_is_hung_up(fd))
        return fail(ENOTCONN);
    if (state.kind == SHIM_CONNECTING)
        return shim_give_up(fd, &state) ? 0 : real.shutdown(fd, SHUT_RDWR);
    if (how != SHUT_RD)
        hint_add(fd, HINT_SHUT);
    return real.shutdown(fd, how);
}
