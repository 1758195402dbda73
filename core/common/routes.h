/* SPDX-License-Identifier: MIT */
/*
 * routes.h - which destinations go through which gateway.
 *
 * A list of routes is one flat value without pointers: it may be copied with memcpy, live in
 * mmap'ed memory and be published with one atomic pointer. Parsing writes to it and matching only
 * reads it; neither allocates, blocks or makes a system call. One list may be matched from any
 * number of threads and from signal handlers.
 *
 * ## Destinations
 * A list separated by commas or blanks of   HOST[:PORTS]   where HOST is
 *     10.0.0.5             one address
 *     10.0.0.0/8           a network (CIDR; bits below the prefix must be zero)
 *     [2001:db8::1]        one IPv6 address, always in brackets
 *     [2001:db8::/32]      an IPv6 network
 *     db.internal          a host name, ASCII, compared without regard to case
 *     *.db.internal        any name that ends in .db.internal, at any depth
 *     *                    everything, IPv4, IPv6 and names
 * and PORTS is `*` (the default), a port, or a range such as 3306-3310.
 *
 * Addresses that mean something else on every machine match neither address rules nor `*`:
 * multicast, 255.255.255.255, fe80::/10 (it belongs to a link, which no request can name), and the
 * networks of metadata services, 169.254.0.0/16, fd00:ec2::/32 and fd20:ce::/32, except that a rule
 * inside one of the latter matches. A rule that could match nothing for this reason is an error.
 *
 * A v4-mapped IPv6 destination is matched as the IPv4 one. A name rule matches only when the caller
 * knows the name that the program asked for; address rules match with or without one.
 *
 * ## Text form, as in SMUXSHIM_ROUTES
 * Routes separated by ';', each a destination list and any of these words, in any order:
 *     name=N gateway=G connect=confirm|eager connect-timeout=10s on-failure=refuse|direct
 *     handshake=socks5|none
 * So a plain destination list is a valid text. Settings that are not given have the defaults below.
 */
#ifndef CORE_COMMON_ROUTES_H
#define CORE_COMMON_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

/* Fixed limits: more than any table of routes seen in practice, and 80 KiB in total. */
#define ROUTES_MAX       128
#define ROUTES_RULES_MAX 1024
#define ROUTES_POOL_SIZE 32768
#define ROUTE_NAME_MAX   63 /* bytes of a route's or a gateway's name */

#define ROUTE_DEFAULT_GATEWAY            "main"
#define ROUTE_DEFAULT_CONNECT_TIMEOUT_MS 10000

enum route_connect { ROUTE_CONFIRM, ROUTE_EAGER };
enum route_on_failure { ROUTE_REFUSE, ROUTE_DIRECT };
enum route_handshake { ROUTE_SOCKS5, ROUTE_PLAIN };

struct route {
    char name[ROUTE_NAME_MAX + 1];
    char gateway[ROUTE_NAME_MAX + 1];
    uint32_t connect_timeout_ms;
    uint8_t connect;    /* enum route_connect: whether success waits for the gateway's answer */
    uint8_t on_failure; /* enum route_on_failure */
    uint8_t handshake;  /* enum route_handshake: socks5 to a gateway, none to any smux server */
};

enum route_rule_kind { ROUTE_RULE_ANY, ROUTE_RULE_IPV4, ROUTE_RULE_IPV6, ROUTE_RULE_NAME };

struct route_rule {
    uint8_t kind;       /* enum route_rule_kind */
    uint8_t prefix_len; /* bits, for networks */
    uint8_t wildcard;   /* NAME: the pool holds ".suffix", and anything before it matches */
    uint8_t route;      /* index into route_list.route */
    uint16_t port_min, port_max;
    uint16_t name_off, name_len; /* NAME: in the pool, lower case */
    uint8_t addr[16];            /* network order, 4 or 16 bytes used */
};

struct route_list {
    uint16_t n_routes, n_rules;
    uint16_t n_name_rules; /* 0: host names need not be watched */
    uint16_t pool_len;
    struct route route[ROUTES_MAX];
    struct route_rule rule[ROUTES_RULES_MAX];
    char pool[ROUTES_POOL_SIZE];
};

/* A message in plain English that says what was found and what was expected; no newline. */
struct route_error {
    char text[200];
};

/* Initialises an empty list. */
void route_list_init(struct route_list *list);

/* Appends a route with default settings, whose fields the caller then changes. Returns NULL and
 * sets the error if the list is full, or if the name is empty, longer than ROUTE_NAME_MAX, already
 * taken, or has characters other than letters, digits, '-', '_' and '.'. */
struct route *route_list_add(struct route_list *list, const char *name, struct route_error *error);

/* Appends the rules of a destination list to `route`, which must be the newest route of `list`:
 * rules stay in the order of their routes. On the first mistake returns false and sets the
 * error; rules appended before it stay, so the caller must give up the list. An empty text is a
 * mistake. */
bool route_add_destinations(struct route_list *list, const struct route *route, const char *text,
                            struct route_error *error);

/* Sets a setting from its text in a configuration file or in a word of the text form. `key` is one
 * of gateway, connect, connect-timeout, on-failure, handshake, destinations. Returns false and sets
 * the error for an unknown key or a bad value. */
bool route_set(struct route_list *list, struct route *route, const char *key, const char *value,
               struct route_error *error);

/* Parses the text form into `list` (initialised here). Unnamed routes are called route1, route2, …
 */
bool route_list_parse(struct route_list *list, const char *text, struct route_error *error);

/* Writes the text form of the whole list, from which route_list_parse makes an equal list.
 * Returns the length without the terminator, like snprintf: if it is `size` or more, the text
 * did not fit. */
size_t route_list_format(const struct route_list *list, char *out, size_t size);

/* Writes one rule as text ("10.0.0.0/8:5432"); returns the length as snprintf does. */
size_t route_rule_format(const struct route_list *list, const struct route_rule *rule, char *out,
                         size_t size);

/* The first rule that matches, or NULL. `dest->family` may be 0 if only a name is known; `name` may
 * be NULL. A trailing dot of the name is ignored. */
const struct route_rule *route_list_match_rule(const struct route_list *list,
                                               const struct endpoint *dest, const char *name);

/* The first matching rule for an address, or for a network with a prefix length above 0: one that
 * means this destination in particular, not just everything. */
const struct route_rule *route_list_match_network(const struct route_list *list,
                                                  const struct endpoint *dest);

/* Whether the address lies in a network for services that every machine has its own of. */
bool route_is_machine_service(const struct endpoint *dest);

/* The route of that rule, or NULL. */
const struct route *route_list_match(const struct route_list *list, const struct endpoint *dest,
                                     const char *name);

/* What can be said of a name and a port before the addresses of the name are known. */
enum route_name_chance {
    ROUTE_NAME_NEVER,      /* no rule can match */
    ROUTE_NAME_BY_ADDRESS, /* an address rule can match, depending on its addresses */
    ROUTE_NAME_COVERED     /* a name rule matches, or `*` */
};
enum route_name_chance route_list_name_chance(const struct route_list *list, const char *name,
                                              uint16_t port);

/* Whether any name rule matches `name` (whatever the port), so that a lookup is worth
 * remembering. */
bool route_list_watches_name(const struct route_list *list, const char *name);

/* The first rule of this kind (ROUTE_RULE_IPV4 or _IPV6) whose addresses all lie in the network
 * given by `addr` and `prefix_len`, or NULL. */
const struct route_rule *route_list_rule_within(const struct route_list *list,
                                                enum route_rule_kind kind, const uint8_t *addr,
                                                unsigned prefix_len);

/* Parses one destination list into a list of its own, as for the `allow` of a gateway. The rules
 * belong to one route called "allow". */
bool route_list_parse_destinations(struct route_list *list, const char *text,
                                   struct route_error *error);

#endif
