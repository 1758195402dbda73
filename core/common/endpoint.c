/* SPDX-License-Identifier: MIT */
/* endpoint.c - see endpoint.h. */
#include "core/common/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v4_mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa, socklen_t len) {
    memset(out, 0, sizeof *out);
    if (!sa || len < sizeof sa->sa_family)
        return false;
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        out->family = AF_INET;
        out->port = ntohs(in.sin_port);
        memcpy(out->addr, &in.sin_addr, 4);
        return true;
    }
    /* RFC 2133 had no scope id; the kernel still accepts those 24 bytes (SIN6_LEN_RFC2133). */
    if (sa->sa_family == AF_INET6 && len >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
        struct sockaddr_in6 in6;
        memset(&in6, 0, sizeof in6);
        memcpy(&in6, sa, len < sizeof in6 ? len : sizeof in6);
        out->family = AF_INET6;
        out->port = ntohs(in6.sin6_port);
        out->scope_id = in6.sin6_scope_id;
        memcpy(out->addr, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *ep, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (ep->family == AF_INET6) {
        struct sockaddr_in6 in6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(ep->port), .sin6_scope_id = ep->scope_id};
        memcpy(&in6.sin6_addr, ep->addr, 16);
        memcpy(out, &in6, sizeof in6);
        return sizeof in6;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(ep->port)};
    memcpy(&in.sin_addr, ep->addr, 4);
    memcpy(out, &in, sizeof in);
    return sizeof in;
}

bool endpoint_is_v4_mapped(const struct endpoint *ep) {
    return ep->family == AF_INET6 && memcmp(ep->addr, v4_mapped_prefix, 12) == 0;
}

struct endpoint endpoint_unmapped(const struct endpoint *ep) {
    struct endpoint v4 = *ep;
    if (!endpoint_is_v4_mapped(ep))
        return v4;
    memset(&v4, 0, sizeof v4);
    v4.family = AF_INET;
    v4.port = ep->port;
    memcpy(v4.addr, ep->addr + 12, 4);
    return v4;
}

struct endpoint endpoint_as_family(const struct endpoint *ep, uint16_t family) {
    struct endpoint out = *ep;
    if (ep->family == family)
        return out;
    memset(&out, 0, sizeof out);
    out.family = family;
    out.port = ep->port;
    if (family == AF_INET6 && ep->family == AF_INET) {
        memcpy(out.addr, v4_mapped_prefix, 12);
        memcpy(out.addr + 12, ep->addr, 4);
    } else if (family == AF_INET && endpoint_is_v4_mapped(ep)) {
        memcpy(out.addr, ep->addr + 12, 4);
    }
    return out;
}

bool endpoint_is_any(const struct endpoint *ep) {
    static const uint8_t zero[16];
    return memcmp(ep->addr, zero, 16) == 0;
}

char *endpoint_text(const struct endpoint *ep, char *out, size_t size) {
    char host[INET6_ADDRSTRLEN];
    if (ep->family == 0) {
        snprintf(out, size, "?");
        return out;
    }
    inet_ntop(ep->family, ep->addr, host, sizeof host);
    if (ep->family == AF_INET)
        snprintf(out, size, "%s:%u", host, ep->port);
    else if (ep->scope_id)
        snprintf(out, size, "[%s%%%u]:%u", host, ep->scope_id, ep->port);
    else
        snprintf(out, size, "[%s]:%u", host, ep->port);
    return out;
}
