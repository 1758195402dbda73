/* SPDX-License-Identifier: MIT */
/* networks.c - see networks.h. */
#include "helper/net/networks.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/common/ini.h"
#include "core/common/prefix.h"

const char *networks_add(struct networks *networks, const char *text) {
    static const uint8_t zeros[16];
    char address[INET6_ADDRSTRLEN];
    uint8_t addr[16] = {0};
    size_t len = strcspn(text, "/");
    uint16_t family = strchr(text, ':') ? AF_INET6 : AF_INET;
    uint32_t bits = family == AF_INET ? 32 : 128, prefix_len = bits;
    if (networks->count == NETWORKS_MAX)
        return "at most 32 networks";
    snprintf(address, sizeof address, "%.*s", (int)len, text);
    if (len >= sizeof address || inet_pton(family, address, addr) != 1)
        return "a network such as 10.0.0.0/8 or 2001:db8::/32, or an address";
    if (text[len] && !ini_number(text + len + 1, 0, bits, &prefix_len))
        return family == AF_INET ? "a prefix of 0 to 32 bits" : "a prefix of 0 to 128 bits";
    if (!prefix_host_bits_clear(addr, prefix_len, bits))
        return "a network whose bits behind the prefix are zero";
    if (family == AF_INET6 && prefix_matches(addr, zeros, 80) && addr[10] == 0xff &&
        addr[11] == 0xff)
        return "IPv4 networks in their own form";
    networks->network[networks->count].family = family;
    networks->network[networks->count].prefix_len = (uint8_t)prefix_len;
    memcpy(networks->network[networks->count++].addr, addr, sizeof addr);
    return NULL;
}

bool networks_have(const struct networks *networks, const struct endpoint *address) {
    struct endpoint wanted = endpoint_unmapped(address);
    for (unsigned i = 0; i < networks->count; i++)
        if (networks->network[i].family == wanted.family &&
            prefix_matches(networks->network[i].addr, wanted.addr, networks->network[i].prefix_len))
            return true;
    return false;
}
