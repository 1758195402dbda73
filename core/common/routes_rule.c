/* SPDX-License-Identifier: MIT */
/* routes_rule.c - parsing, formatting and matching destinations. See routes.h. */
#include "core/common/routes.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/common/prefix.h"
#include "core/common/routes_internal.h"

bool route_fail(struct route_error *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    for (char *c = error->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return false;
}

struct slice route_slice_trim(struct slice s) {
    while (s.len && strchr(" \t\r\n,", s.at[0]))
        s.at++, s.len--;
    while (s.len && strchr(" \t\r\n,", s.at[s.len - 1]))
        s.len--;
    return s;
}

bool route_slice_next_word(struct slice *rest, struct slice *word) {
    *rest = route_slice_trim(*rest);
    word->at = rest->at;
    word->len = 0;
    while (word->len < rest->len && !strchr(" \t\r\n,", rest->at[word->len]))
        word->len++;
    rest->at += word->len;
    rest->len -= word->len;
    return word->len > 0;
}

bool route_slice_equals(struct slice s, const char *text) {
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

/* Digits only, at most `max`; false for an empty slice. */
static bool slice_number(struct slice s, unsigned max, unsigned *out) {
    unsigned value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(s.at[i] - '0');
        if (value > max)
            return false;
    }
    *out = value;
    return true;
}

static bool parse_ports(struct route_rule *rule, struct slice ports) {
    unsigned min, max;
    const char *dash = memchr(ports.at, '-', ports.len);
    if (route_slice_equals(ports, "*")) {
        rule->port_min = 0;
        rule->port_max = 65535;
        return true;
    }
    if (dash) {
        struct slice low = {ports.at, (size_t)(dash - ports.at)};
        struct slice high = {dash + 1, ports.len - low.len - 1};
        if (!slice_number(low, 65535, &min) || !slice_number(high, 65535, &max))
            return false;
    } else if (slice_number(ports, 65535, &min)) {
        max = min;
    } else {
        return false;
    }
    rule->port_min = (uint16_t)min;
    rule->port_max = (uint16_t)max;
    return min <= max;
}

/* Parses an address or network without brackets and port. `outer` is the prefix length that
 * followed the bracket, if any. */
static bool parse_network(struct route_rule *rule, struct slice host, struct slice outer,
                          int family, struct route_error *error) {
    char text[INET6_ADDRSTRLEN];
    unsigned bits = family == AF_INET ? 32 : 128, prefix_len = bits;
    const char *slash = memchr(host.at, '/', host.len);
    size_t addr_len = slash ? (size_t)(slash - host.at) : host.len;

    if (slash && outer.at)
        return route_fail(error, "\"[%.*s]/%.*s\": expected one prefix length", (int)host.len,
                          host.at, (int)outer.len, outer.at);
    if (slash || outer.at) {
        struct slice prefix = slash ? (struct slice){slash + 1, host.len - addr_len - 1} : outer;
        if (!slice_number(prefix, bits, &prefix_len))
            return route_fail(error, "\"%.*s\": expected a prefix length from 0 to %u after '/'",
                              (int)host.len, host.at, bits);
    }
    if (addr_len < sizeof text) {
        memcpy(text, host.at, addr_len);
        text[addr_len] = '\0';
    }
    if (addr_len >= sizeof text || inet_pton(family, text, rule->addr) != 1)
        return route_fail(error, "\"%.*s\": expected an %s address", (int)host.len, host.at,
                          family == AF_INET ? "IPv4" : "IPv6");
    if (!prefix_host_bits_clear(rule->addr, prefix_len, bits))
        return route_fail(error, "\"%.*s\": expected a network, but bits after /%u are set",
                          (int)host.len, host.at, prefix_len);
    rule->kind = family == AF_INET ? ROUTE_RULE_IPV4 : ROUTE_RULE_IPV6;
    rule->prefix_len = (uint8_t)prefix_len;
    return true;
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether there is an empty label: a dot at the end (one has been removed), after another dot, or
 * before the name. */
static bool has_empty_label(struct slice name, bool wildcard) {
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '.' &&
            (i + 1 == name.len || name.at[i + 1] == '.' || (i == 0 && !wildcard)))
            return true;
    return false;
}

static bool parse_name(struct route_list *list, struct route_rule *rule, struct slice host,
                       struct route_error *error) {
    struct slice name = host;
    if (host.len > 2 && host.at[0] == '*' && host.at[1] == '.') {
        rule->wildcard = 1;
        name.at++;
        name.len--;
    }
    if (name.len && name.at[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > 255 || has_empty_label(name, rule->wildcard))
        return route_fail(error,
                          "\"%.*s\": expected a host name of 1 to 255 bytes without empty labels",
                          (int)(host.len < 60 ? host.len : 60), host.at);
    if (list->pool_len + name.len > sizeof list->pool)
        return route_fail(error, "expected at most %u bytes of host names in all routes",
                          ROUTES_POOL_SIZE);
    rule->kind = ROUTE_RULE_NAME;
    rule->name_off = list->pool_len;
    rule->name_len = (uint16_t)name.len;
    for (size_t i = 0; i < name.len; i++) {
        char c = lower(name.at[i]);
        if (!is_name_char(c))
            return route_fail(error,
                              "\"%.*s\": expected an address, a network, a host name, *.NAME or *",
                              (int)host.len, host.at);
        list->pool[rule->name_off + i] = c;
    }
    list->pool_len = (uint16_t)(list->pool_len + name.len);
    list->n_name_rules++;
    return true;
}

static bool looks_like_ipv4(struct slice host) {
    bool dot = false;
    for (size_t i = 0; i < host.len; i++) {
        if (!strchr("0123456789./", host.at[i]))
            return false;
        dot |= host.at[i] == '.';
    }
    return dot || memchr(host.at, '/', host.len);
}

/* The parts of "HOST[:PORTS]" and "[HOST][/PREFIX][:PORTS]". */
struct destination {
    struct slice host, ports;
    struct slice prefix; /* after the bracket; its `at` is NULL if there is none */
    bool bracketed;
};

static bool parse_host(struct route_list *list, struct route_rule *rule,
                       const struct destination *destination, struct route_error *error) {
    struct slice host = destination->host;
    if (destination->bracketed)
        return parse_network(rule, host, destination->prefix, AF_INET6, error);
    if (route_slice_equals(host, "*")) {
        rule->kind = ROUTE_RULE_ANY;
        return true;
    }
    return looks_like_ipv4(host) ? parse_network(rule, host, destination->prefix, AF_INET, error)
                                 : parse_name(list, rule, host, error);
}

/* Splits off the part in brackets and a prefix length after it. Returns where the ports start, or
 * NULL. */
static const char *split_bracketed(struct slice word, struct destination *destination) {
    const char *end = word.at + word.len, *close = memchr(word.at, ']', word.len);
    if (!close)
        return NULL;
    destination->bracketed = true;
    destination->host = (struct slice){word.at + 1, (size_t)(close - word.at - 1)};
    const char *after = close + 1;
    if (after == end || *after != '/')
        return after;
    const char *colon = memchr(after, ':', (size_t)(end - after));
    const char *prefix_end = colon ? colon : end;
    destination->prefix = (struct slice){after + 1, (size_t)(prefix_end - after - 1)};
    return prefix_end;
}

static bool split_destination(struct slice word, struct destination *destination,
                              struct route_error *error) {
    const char *end = word.at + word.len, *after;
    *destination = (struct destination){.host = {word.at, 0}, .ports = {"*", 1}};
    if (word.at[0] == '[') {
        after = split_bracketed(word, destination);
        if (!after)
            return route_fail(error, "\"%.*s\": expected a ']'", (int)word.len, word.at);
    } else {
        const char *colon = memchr(word.at, ':', word.len);
        after = colon ? colon : end;
        destination->host = (struct slice){word.at, (size_t)(after - word.at)};
        if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
            return route_fail(error, "\"%.*s\": expected an IPv6 address in brackets, as [::1]:80",
                              (int)word.len, word.at);
    }
    if (after == end)
        return true;
    destination->ports = (struct slice){after + 1, (size_t)(end - after - 1)};
    return *after == ':'
               ? true
               : route_fail(error, "\"%.*s\": expected ':' after ']'", (int)word.len, word.at);
}

/* Whether this is a multicast, broadcast or IPv6 link-local address, which no gateway can connect
 * to. */
static bool is_beyond_routes(int family, const uint8_t *addr) {
    static const uint8_t broadcast[4] = {255, 255, 255, 255};
    if (family == AF_INET6)
        return addr[0] == 0xff || (addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80);
    return family == AF_INET && ((addr[0] & 0xf0) == 0xe0 || memcmp(addr, broadcast, 4) == 0);
}

static bool is_within(const uint8_t *addr, const struct route_rule *rule) {
    return prefix_matches(addr, rule->addr, rule->prefix_len);
}

/* Networks for services that every machine has its own of, such as cloud metadata; the first one is
 * also IPv4 link-local. */
static const struct route_rule machine_services[] = {
    {.kind = ROUTE_RULE_IPV4, .prefix_len = 16, .addr = {169, 254}},
    {.kind = ROUTE_RULE_IPV6, .prefix_len = 32, .addr = {0xfd, 0x00, 0x0e, 0xc2}},
    {.kind = ROUTE_RULE_IPV6, .prefix_len = 32, .addr = {0xfd, 0x20, 0x00, 0xce}}};

/* The network among these that the address lies in, or NULL. */
static const struct route_rule *machine_service(int family, const uint8_t *addr) {
    uint8_t kind = family == AF_INET ? ROUTE_RULE_IPV4 : ROUTE_RULE_IPV6;
    for (size_t i = 0; i < sizeof machine_services / sizeof *machine_services; i++)
        if (machine_services[i].kind == kind && is_within(addr, &machine_services[i]))
            return &machine_services[i];
    return NULL;
}

bool route_is_machine_service(const struct endpoint *dest) {
    struct endpoint plain = endpoint_unmapped(dest);
    return machine_service(plain.family, plain.addr) != NULL;
}

/* Whether the rule, of the same kind, may match addresses of this network: only if it lies in
 * it. */
static bool lies_in(const struct route_rule *rule, const struct route_rule *network) {
    return rule->kind == network->kind && rule->prefix_len >= network->prefix_len &&
           is_within(rule->addr, network);
}

/* Whether the rule can match any address at all. */
static bool is_within_routes(const struct route_rule *rule) {
    const unsigned link_len = 10, multicast4_len = 4;
    if (rule->kind == ROUTE_RULE_IPV6)
        return !is_beyond_routes(AF_INET6, rule->addr) || rule->prefix_len < link_len;
    return rule->kind != ROUTE_RULE_IPV4 || !is_beyond_routes(AF_INET, rule->addr) ||
           rule->prefix_len < multicast4_len;
}

bool route_add_rule(struct route_list *list, uint8_t route, struct slice word,
                    struct route_error *error) {
    struct destination destination;
    if (word.len > 300)
        return route_fail(error, "\"%.60s...\": expected a destination, HOST or HOST:PORTS",
                          word.at);
    if (list->n_rules == ROUTES_RULES_MAX)
        return route_fail(error, "expected at most %u destinations in all routes",
                          ROUTES_RULES_MAX);
    struct route_rule *rule = &list->rule[list->n_rules];
    memset(rule, 0, sizeof *rule);
    rule->route = route;
    if (!split_destination(word, &destination, error) ||
        !parse_host(list, rule, &destination, error))
        return false;
    if (!parse_ports(rule, destination.ports))
        return route_fail(error, "\"%.*s\": expected a port, a range such as 3306-3310, or *",
                          (int)word.len, word.at);
    if (!is_within_routes(rule))
        return route_fail(error,
                          "\"%.*s\": expected no multicast, broadcast or link-local addresses, "
                          "which are never routed",
                          (int)word.len, word.at);
    list->n_rules++;
    return true;
}

size_t route_rule_format(const struct route_list *list, const struct route_rule *rule, char *out,
                         size_t size) {
    char host[SHIM_RULE_HOST_SIZE], ports[16], addr[INET6_ADDRSTRLEN];
    switch (rule->kind) {
    case ROUTE_RULE_IPV4:
        inet_ntop(AF_INET, rule->addr, addr, sizeof addr);
        snprintf(host, sizeof host, rule->prefix_len < 32 ? "%s/%u" : "%s", addr, rule->prefix_len);
        break;
    case ROUTE_RULE_IPV6:
        inet_ntop(AF_INET6, rule->addr, addr, sizeof addr);
        snprintf(host, sizeof host, rule->prefix_len < 128 ? "[%s/%u]" : "[%s]", addr,
                 rule->prefix_len);
        break;
    case ROUTE_RULE_NAME:
        snprintf(host, sizeof host, "%s%.*s", rule->wildcard ? "*" : "", rule->name_len,
                 list->pool + rule->name_off);
        break;
    default:
        snprintf(host, sizeof host, "*");
    }
    if (rule->port_min == 0 && rule->port_max == 65535)
        snprintf(ports, sizeof ports, "*");
    else if (rule->port_min == rule->port_max)
        snprintf(ports, sizeof ports, "%u", rule->port_min);
    else
        snprintf(ports, sizeof ports, "%u-%u", rule->port_min, rule->port_max);
    return (size_t)snprintf(out, size, "%s:%s", host, ports);
}

static bool name_matches(const struct route_list *list, const struct route_rule *rule,
                         const char *name) {
    const char *want = list->pool + rule->name_off;
    size_t len = strlen(name);
    if (len && name[len - 1] == '.')
        len--;
    if (rule->wildcard ? len <= rule->name_len : len != rule->name_len)
        return false;
    name += len - rule->name_len;
    for (size_t i = 0; i < rule->name_len; i++)
        if (lower(name[i]) != want[i])
            return false;
    return true;
}

static bool rule_matches(const struct route_list *list, const struct route_rule *rule,
                         const struct endpoint *dest, const char *name) {
    if (dest->port < rule->port_min || dest->port > rule->port_max)
        return false;
    if (rule->kind == ROUTE_RULE_NAME)
        return name && name_matches(list, rule, name);
    const struct route_rule *service = machine_service(dest->family, dest->addr);
    if (is_beyond_routes(dest->family, dest->addr) || (service && !lies_in(rule, service)))
        return false;
    switch (rule->kind) {
    case ROUTE_RULE_ANY:
        return true;
    case ROUTE_RULE_IPV4:
        return dest->family == AF_INET && is_within(dest->addr, rule);
    case ROUTE_RULE_IPV6:
        return dest->family == AF_INET6 && is_within(dest->addr, rule);
    default:
        return false;
    }
}

const struct route_rule *route_list_match_rule(const struct route_list *list,
                                               const struct endpoint *dest, const char *name) {
    struct endpoint plain = endpoint_unmapped(dest);
    for (size_t i = 0; i < list->n_rules; i++)
        if (rule_matches(list, &list->rule[i], &plain, name))
            return &list->rule[i];
    return NULL;
}

const struct route_rule *route_list_match_network(const struct route_list *list,
                                                  const struct endpoint *dest) {
    struct endpoint plain = endpoint_unmapped(dest);
    for (size_t i = 0; i < list->n_rules; i++)
        if (list->rule[i].prefix_len > 0 && rule_matches(list, &list->rule[i], &plain, NULL))
            return &list->rule[i];
    return NULL;
}

const struct route *route_list_match(const struct route_list *list, const struct endpoint *dest,
                                     const char *name) {
    const struct route_rule *rule = route_list_match_rule(list, dest, name);
    return rule ? &list->route[rule->route] : NULL;
}

const struct route_rule *route_list_rule_within(const struct route_list *list,
                                                enum route_rule_kind kind, const uint8_t *addr,
                                                unsigned prefix_len) {
    struct route_rule network = {.prefix_len = (uint8_t)prefix_len};
    memcpy(network.addr, addr, kind == ROUTE_RULE_IPV6 ? 16 : 4);
    for (size_t i = 0; i < list->n_rules; i++)
        if (list->rule[i].kind == kind && list->rule[i].prefix_len >= prefix_len &&
            is_within(list->rule[i].addr, &network))
            return &list->rule[i];
    return NULL;
}

enum route_name_chance route_list_name_chance(const struct route_list *list, const char *name,
                                              uint16_t port) {
    enum route_name_chance chance = ROUTE_NAME_NEVER;
    for (size_t i = 0; i < list->n_rules; i++) {
        const struct route_rule *rule = &list->rule[i];
        if (port < rule->port_min || port > rule->port_max)
            continue;
        if (rule->kind == ROUTE_RULE_ANY ||
            (rule->kind == ROUTE_RULE_NAME && name_matches(list, rule, name)))
            return ROUTE_NAME_COVERED;
        if (rule->kind != ROUTE_RULE_NAME)
            chance = ROUTE_NAME_BY_ADDRESS;
    }
    return chance;
}

bool route_list_watches_name(const struct route_list *list, const char *name) {
    for (size_t i = 0; list->n_name_rules && i < list->n_rules; i++)
        if (list->rule[i].kind == ROUTE_RULE_NAME && name_matches(list, &list->rule[i], name))
            return true;
    return false;
}
