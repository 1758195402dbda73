/* SPDX-License-Identifier: MIT */
/* target_allow.c - see target_allow.h. */
#include "helper/gateway/target_allow.h"

#include <netinet/in.h>
#include <string.h>

const struct route_list *target_allow(const struct gateway_session *session) {
    const struct gateway_client *client = session->client;
    return client && client->config && client->config->allow.n_rules > 0
               ? &client->config->allow
               : &session->sessions->config->allow;
}

/* Loopback, link-local and unspecified addresses (which connect to loopback) and metadata services
 * are the host's own, and so are the addresses of its interfaces. */
static bool is_own(struct gateway_sessions *sessions, const struct endpoint *address) {
    const uint8_t *a = address->addr;
    struct in6_addr in6;
    if (route_is_machine_service(address))
        return true;
    if (address->family == AF_INET && (a[0] == 127 || a[0] == 0))
        return true;
    memcpy(&in6, a, sizeof in6);
    if (address->family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&in6) || IN6_IS_ADDR_LINKLOCAL(&in6) ||
                                        IN6_IS_ADDR_UNSPECIFIED(&in6)))
        return true;
    return own_addresses_have(&sessions->own, address, loop_now_us(sessions->reactor->loop));
}

bool target_allow_has(struct gateway_session *session, const struct endpoint *address,
                      const char *name) {
    const struct route_list *allow = target_allow(session);
    if (!route_list_match_rule(allow, address, name))
        return false;
    return session->sessions->config->of_helper || route_list_match_network(allow, address) ||
           !is_own(session->sessions, address);
}
