/* SPDX-License-Identifier: MIT */
/* target.c - see target.h. */
#include "shim/socket/target.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

#include "shim/base/libc.h"
#include "shim/process/name_cache.h"
#include "shim/socket/options.h"

/* Does the address stand for a host name? Then it must never be connected to directly. */
bool target_is_synthetic(const struct settings *settings, const struct endpoint *dest) {
    return settings->routes.n_name_rules && name_ranges_hold(&settings->names, dest);
}

/* A TCP connection that has been reset has the state of a new socket (CLOSE), but every connect
 * except one of AF_UNSPEC fails with EISCONN. A connect of a foreign family finds out without
 * changing anything. */
static bool is_still_connected(int fd) {
    struct sockaddr_in6 other = {.sin6_family = AF_UNIX};
    return raw_connect(fd, &other, sizeof other) < 0 && errno == EISCONN;
}

/* Is it a TCP socket that has never been connected? Reads the rest of *swap from the kernel. */
static bool is_fresh_tcp(int fd, struct swap *swap) {
    enum { CLOSE = 7 }; /* linux: net/tcp_states.h */
    struct sockaddr_storage local;
    struct tcp_info info = {0};
    socklen_t len = offsetof(struct tcp_info, tcpi_rto); /* the state comes first */
    if (raw_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_state != CLOSE)
        return false;
    const uint8_t agreed = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE;
    if (info.tcpi_options & agreed && is_still_connected(fd))
        return false;
    len = sizeof local;
    if (raw_getsockname(fd, &local, &len) != 0 ||
        !endpoint_from_sockaddr(&swap->local, (struct sockaddr *)&local, len))
        return false;
    swap->file_flags = raw_fcntl(fd, F_GETFL, 0);
    return swap->file_flags >= 0;
}

/* Is a connect to swap->dest more than libc's? Finds its name, if one is known, and its route. */
static bool find_route(struct target *target) {
    struct swap *swap = &target->swap;
    const struct settings *settings = swap->settings;
    struct endpoint dest = swap->dest;
    bool synthetic = target_is_synthetic(settings, &swap->dest);
    if (settings->routes.n_name_rules &&
        name_cache_find(&swap->dest, target->host, sizeof target->host))
        swap->host = target->host;
    if (synthetic)
        dest.family = 0;
    target->route = route_list_match(&settings->routes, &dest, swap->host);
    return target->route || synthetic || settings->deny;
}

/* Replaces the unspecified address as the kernel does: by the address that the socket is bound to,
 * or else the loopback address. No system call for other addresses, or for fd < 0, which counts as
 * not bound. */
static void take_any_as_loopback(int fd, struct endpoint *dest) {
    struct sockaddr_storage name;
    struct endpoint local = {0}, inner = endpoint_unmapped(dest);
    socklen_t len = sizeof name;
    int saved = errno;
    if (!endpoint_is_any(&inner))
        return;
    if (fd < 0 || raw_getsockname(fd, &name, &len) != 0 ||
        !endpoint_from_sockaddr(&local, (struct sockaddr *)&name, len))
        memset(&local, 0, sizeof local);
    errno = saved;
    local = endpoint_unmapped(&local);
    if (inner.family == AF_INET6 && local.family != AF_INET) {
        dest->addr[15] = 1;
        return;
    }
    bool loopback = inner.family == AF_INET6 || endpoint_is_any(&local);
    inner.family = AF_INET;
    memcpy(inner.addr, loopback ? (const uint8_t[4]){127, 0, 0, 1} : local.addr, 4);
    *dest = endpoint_as_family(&inner, dest->family);
}

bool target_is_routed(int fd, const struct sockaddr *addr, socklen_t len) {
    struct target target = {.swap = {.fd = fd, .settings = settings_get()}};
    if (!target.swap.settings || !endpoint_from_sockaddr(&target.swap.dest, addr, len))
        return false;
    take_any_as_loopback(-1, &target.swap.dest);
    if (!find_route(&target))
        return false;
    int saved = errno;
    bool can = is_fresh_tcp(fd, &target.swap) || shim_is_ours(fd);
    errno = saved;
    return can;
}

/* IPV6_V6ONLY forbids v4-mapped destinations; libc's connect then gives the kernel's error. */
static bool is_refused_by_v6only(int fd, const struct endpoint *dest) {
    int only = 0;
    socklen_t len = sizeof only;
    return endpoint_is_v4_mapped(dest) &&
           raw_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only;
}

/* Is the socket bound to a network device, so that a gateway is not where the program wants to go?
 * If it is bound to the loopback device, connects to loopback addresses are routed all the same; so
 * are connects to synthetic addresses, which no device leads to. */
static bool is_bound_elsewhere(const struct swap *swap) {
    char device[IFNAMSIZ];
    struct endpoint dest = endpoint_unmapped(&swap->dest);
    if (!options_device(swap->fd, device) || target_is_synthetic(swap->settings, &swap->dest))
        return false;
    struct in6_addr in6;
    memcpy(&in6, dest.addr, sizeof in6);
    bool loopback = dest.family == AF_INET ? dest.addr[0] == 127 : IN6_IS_ADDR_LOOPBACK(&in6);
    return !loopback || strcmp(device, "lo") != 0;
}

enum target_way target_of(struct target *target, int fd, const struct sockaddr *addr,
                          socklen_t len) {
    struct swap *swap = &target->swap;
    *swap = (struct swap){.fd = fd, .number = fd, .settings = settings_get()};
    if (!swap->settings || !endpoint_from_sockaddr(&swap->dest, addr, len))
        return TARGET_NOT_ROUTED;
    take_any_as_loopback(fd, &swap->dest);
    if (!find_route(target))
        return TARGET_NOT_ROUTED;
    int saved = errno;
    bool swappable = is_fresh_tcp(fd, swap) && swap->local.family == swap->dest.family &&
                     !is_refused_by_v6only(fd, &swap->dest);
    bool elsewhere = swappable && is_bound_elsewhere(swap);
    errno = saved;
    if (!swappable)
        return TARGET_NOT_ROUTED;
    if (swap->settings->deny)
        return TARGET_DENIED;
    if (elsewhere)
        return TARGET_NOT_ROUTED;
    if (!target->route && swap->host) /* a route has the name, but not this port */
        return TARGET_UNREACHABLE;
    return TARGET_ROUTED;
}
