/* SPDX-License-Identifier: MIT */
/* sockopt.c - see sockopt.h. */
#include "shim/hooks/sockopt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/base/pending_reset.h"
#include "shim/socket/epoll_registry.h"
#include "shim/socket/options.h"
#include "shim/socket/state.h"

#ifndef SIOCOUTQ
#define SIOCOUTQ TIOCOUTQ
#endif
#ifndef SIOCOUTQNSD
#define SIOCOUTQNSD 0x894B /* linux/sockios.h */
#endif
#define SO_PEERPIDFD_OF_UNIX 77 /* asm-generic/socket.h */

static bool is_tcp_level(int level) {
    return level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6;
}

/* Translates SO_ERROR: on a connection of ours the kernel's value stands for ECONNRESET or for the
 * errno of a failed connect. */
static int translate_error(int fd, void *value) {
    int err;
    memcpy(&err, value, sizeof err);
    if (pending_reset_is(err)) {
        struct shim_state state = shim_state_read(fd);
        if (state.kind != SHIM_FOREIGN) {
            err = shim_reset_errno(&state);
            memcpy(value, &err, sizeof err);
        }
    }
    return 0;
}

/* Could this value of a SOL_SOCKET option come from an AF_UNIX socket, where TCP's would differ? */
static bool is_telltale(int fd, int name, const void *value, socklen_t len) {
    int number = 0;
    sa_family_t family;
    if (value)
        memcpy(&number, value, len < sizeof number ? len : sizeof number);
    memcpy(&family, &number, sizeof family); /* a socket address begins with its family */
    switch (name) {
    case SO_DOMAIN:
        return number == AF_UNIX;
    case SO_PEERNAME:
        return family == AF_UNIX;
    case SO_PROTOCOL:
        return number == 0;
    case SO_PEERCRED:
        return number != 0; /* the pid comes first */
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_MAX_PACING_RATE:
    case SO_GET_FILTER:
    case SO_REUSEPORT:
    case SO_LOCK_FILTER:
    case SO_ZEROCOPY:
    case 72: /* SO_BUF_LOCK */
        return hint_has(fd, HINT_OURS);
    case SO_PEERGROUPS: /* fails on TCP */
        return true;
    default:
        return false;
    }
}

static int emulate_get(int fd, int level, int name, void *value, socklen_t *len, int otherwise) {
    int err = errno;
    struct shim_state state = shim_state_read(fd);
    if (state.kind == SHIM_FOREIGN) {
        errno = err;
        return otherwise;
    }
    return options_get(fd, &state, level, name, value, len);
}

/* The kernel answers first, and its answer for a descriptor that is not ours is returned unchanged.
 * On success it has truncated the caller's length to that of its answer; TCP's answer fits in
 * there, because the sizes of the two answers do not differ. */
int shim_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    /* The kernel would write the helper's name or the store (options.h) to the caller's memory, or
     * fail because they are longer than TCP's answer. */
    if (level == SOL_SOCKET && (name == SO_PEERNAME || name == SO_GET_FILTER) && value && len &&
        hint_has(fd, HINT_OURS) && shim_is_ours(fd))
        return emulate_get(fd, level, name, value, len, -1);
    if (level == SOL_SOCKET && name == SO_PEERPIDFD_OF_UNIX && shim_is_ours(fd)) {
        errno = ENODATA; /* the kernel would open a descriptor that the caller does not know of */
        return -1;
    }
    int result = real.getsockopt(fd, level, name, value, len);
    if (is_tcp_level(level)) {
        if (result == 0 || errno != EOPNOTSUPP)
            return result;
    } else if (level == SOL_SOCKET && result != 0 && errno == EOPNOTSUPP) {
        return option_find(level, name) ? emulate_get(fd, level, name, value, len, result) : result;
    } else if (level != SOL_SOCKET || result != 0 || !len) {
        return result;
    } else if (name == SO_ERROR) {
        return *len == sizeof(int) ? translate_error(fd, value) : result;
    } else if (!is_telltale(fd, name, value, *len)) {
        return result;
    }
    return emulate_get(fd, level, name, value, len, result);
}

int shim_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    if (hint_has(fd, HINT_OURS) && options_set_differs(level, name)) {
        struct shim_state state = shim_state_read(fd);
        if (state.kind != SHIM_FOREIGN)
            return options_set(fd, &state, level, name, value, len);
    }
    int result = real.setsockopt(fd, level, name, value, len);
    if (result == 0) {
        options_note(fd, level, name);
        return 0;
    }
    if (level == SOL_SOCKET || errno != EOPNOTSUPP)
        return result;
    int err = errno;
    struct shim_state state = shim_state_read(fd);
    if (state.kind != SHIM_FOREIGN)
        return options_set(fd, &state, level, name, value, len);
    errno = err;
    return result;
}

/* The bytes sent on `fd` that the helper has not yet read. `charge`: the memory charged to the
 * socket. The helper always leaves at least one byte unread ("The residue" in CONTROL.md), which
 * keeps one skb charged as long as the connection lives; so a charge that one skb can explain means
 * that all has been read. */
static int unsent_bytes(int fd, int charge) {
    const int largest_skb =
        69632; /* 36544 bytes of data, rounded up to pages by order, and headers */
    (void)fd;
    return charge > largest_skb ? charge - largest_skb : 0;
}

/* Network ioctls (type 0x89) that an AF_UNIX socket does not have. */
static int network_ioctl(int fd, unsigned long request, void *argument, int result) {
    const unsigned long network = 0x89;
    int saved = errno;
    if ((request >> 8 & 0xff) != network || !hint_has(fd, HINT_OURS))
        return result;
    bool ours = shim_is_ours(fd);
    errno = saved;
    return ours ? options_ioctl(fd, request, argument) : result;
}

int shim_ioctl(int fd, unsigned long request, void *argument) {
    int result = real.ioctl(fd, request, argument);
    if (request == FIOSETOWN || request == SIOCSPGRP)
        hint_add(fd, HINT_OWNER);
    if (request != SIOCOUTQ && request != SIOCOUTQNSD)
        return result < 0 ? network_ioctl(fd, request, argument, result) : result;
    if (!hint_has(fd, HINT_OURS))
        return result;
    int saved = errno;
    if (!shim_is_ours(fd)) {
        errno = saved;
        return result;
    }
    if (request == SIOCOUTQNSD)
        *(int *)argument = 0;
    else if (result == 0)
        *(int *)argument = unsent_bytes(fd, *(int *)argument);
    return request == SIOCOUTQNSD ? 0 : result;
}

int shim_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event) {
    int result = real.epoll_ctl(epfd, op, fd, event);
    if (result == 0)
        epoll_registry_note(epfd, op, fd, event);
    return result;
}
