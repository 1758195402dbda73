/* SPDX-License-Identifier: MIT */
/* own_addresses.c - see own_addresses.h. */
#include "helper/net/own_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void own_addresses_fini(struct own_addresses *own) {
    free(own->address);
    memset(own, 0, sizeof *own);
}

static size_t count_of(const struct ifaddrs *list) {
    size_t count = 0;
    for (; list; list = list->ifa_next)
        count++;
    return count;
}

static bool add(struct own_addresses *own, const struct sockaddr *addr) {
    socklen_t len;
    if (!addr || (addr->sa_family != AF_INET && addr->sa_family != AF_INET6))
        return false;
    len = addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    return endpoint_from_sockaddr(&own->address[own->count], addr, len);
}

/* Reads the addresses again. If that fails, keeps the known ones. */
static void read_them(struct own_addresses *own, uint64_t now_us) {
    struct ifaddrs *list;
    struct own_addresses fresh = {.read_us = now_us};
    if (getifaddrs(&list) < 0)
        return;
    fresh.address = calloc(count_of(list) + 1, sizeof *fresh.address);
    for (const struct ifaddrs *at = list; fresh.address && at; at = at->ifa_next)
        fresh.count += add(&fresh, at->ifa_addr);
    freeifaddrs(list);
    if (!fresh.address)
        return;
    own_addresses_fini(own);
    *own = fresh;
}

bool own_addresses_have(struct own_addresses *own, const struct endpoint *address,
                        uint64_t now_us) {
    if (own->read_us == 0 || now_us - own->read_us >= OWN_ADDRESSES_AGE_US)
        read_them(own, now_us);
    if (!own->address)
        return true;
    for (size_t i = 0; i < own->count; i++)
        if (own->address[i].family == address->family &&
            memcmp(own->address[i].addr, address->addr, address->family == AF_INET ? 4 : 16) == 0)
            return true;
    return false;
}
