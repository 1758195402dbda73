/* SPDX-License-Identifier: MIT */
/*
 * routes.h - which destinations go over which gateway.
 *
 * A list of routes is one flat value without pointers: it may be copied with memcpy, live in
 * anonymous mmap'ed memory and be published with one atomic pointer. Parsing writes into it,
 * matching only reads it; neither allocates, blocks or makes a system call. One list may be matched
 * from any number of threads and from signal handlers.
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
 * Addresses that mean something else on every machine match no address rule and not `*`: multicast,
 * 255.255.255.255, fe80::/10 (it lies on a link, which no request can name), and the networks of
 * metadata services, 169.254.0.0/16, fd00:ec2::/32 and fd20:ce::/32, unless the rule lies in it. A
 * rule that could match nothing for this reason is a mistake.
 *
 * A v4-mapped IPv6 destination is matched as the IPv4 one. A name rule matches only when the caller
 * knows the name that the program asked for; address rules match with or without one.
 *
 * ## Text form, as in SMUXSHIM_ROUTES
 * Routes separated by ';', each a destination list and any of these words, in any order:
 *     name=N gateway=G connect=confirm|eager connect-timeout=10s on-failure=refuse|direct
 *     handshake=socks5|none
 * A plain destination list is therefore already a valid text. What is missing has the default
 * below.
 */
#ifndef CORE_COMMON_ROUTES_H
#define CORE_COMMON_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

/* Written caps: more than any table of routes seen in practice, and 80 KiB in total. */
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
    uint8_t connect;    /* enum route_connect: does success wait for the gateway's answer? */
    uint8_t on_failure; /* enum route_on_failure */
    uint8_t handshake;  /* enum route_handshake: socks5 to a gateway, none to any smux server */
};

enum route_rule_kind { ROUTE_RULE_ANY, ROUTE_RULE_IPV4, ROUTE_RULE_IPV6, ROUTE_RULE_NAME };

struct route_rule {
    uint8_t kind;       /* enum route_rule_kind */
    uint8_t prefix_len; /* bits, for networks */
    uint8_t wildcard;   /* NAME: the pool holds ".suffix" and anything in front of it matches */
    uint8_t route;      /* index into route_list.route */
    uint16_t port_min, port_max;
    uint16_t name_off, name_len; /* NAME: in the pool, lower case */
    uint8_t addr[16];            /* network order, 4 or 16 bytes used */
};

struct route_list {
    uint16_t n_routes, n_rules;
    uint16_t n_name_rules; /* 0: host names need not be watched at all */
    uint16_t pool_len;
    struct route route[ROUTES_MAX];
    struct route_rule rule[ROUTES_RULES_MAX];
    char pool[ROUTES_POOL_SIZE];
};

/* A message in plain English that says what was found and what was expected; no newline. */
struct route_error {
    char text[200];
};

/* Makes an empty list. */
void route_list_init(struct route_list *list);

/* Appends a route with default settings; the caller then changes its fields. NULL, and an error,
 * if the list is full, the name is longer than ROUTE_NAME_MAX, empty, has characters other than
 * letters, digits, '-', '_' and '.', or is taken already. */
struct route *route_list_add(struct route_list *list, const char *name, struct route_error *error);

/* Appends the rules of a destination list to `route`, which must be the newest route of `list`:
 * rules stay in the order of their routes. False and an error on the first mistake; rules appended
 * until then stay, so the caller is expected to give up the list. An empty text is a mistake. */
bool route_add_destinations(struct route_list *list, const struct route *route, const char *text,
                            struct route_error *error);

/* Set a setting from its text, as in a configuration file or a word of the text form. `key` is one
 * of gateway, connect, connect-timeout, on-failure, handshake, destinations. False and an error for
 * an unknown key or a bad value. */
bool route_set(struct route_list *list, struct route *route, const char *key, const char *value,
               struct route_error *error);

/* Parses the text form into `list` (initialised here). Unnamed routes are called route1, route2, …
 */
bool route_list_parse(struct route_list *list, const char *text, struct route_error *error);

/* Writes the text form of the whole list, such that route_list_parse gives an equal list. Returns
 * the length without terminator, like snprintf: a result of `size` or more means it did not fit. */
size_t route_list_format(const struct route_list *list, char *out, size_t size);

/* Writes one rule as text ("10.0.0.0/8:5432"); returns the length as snprintf does. */
size_t route_rule_format(const struct route_list *list, const struct route_rule *rule, char *out,
                         size_t size);

/* The first rule that matches, or NULL. `dest->family` may be 0 when only a name is known; `name`
 * may be NULL. A trailing dot of the name is ignored. */
const struct route_rule *route_list_match_rule(const struct route_list *list,
                                               const struct endpoint *dest, const char *name);

/* The first rule of an address or a network, of more than no bits, that matches: the destination is
 * meant, and not only one of all. */
const struct route_rule *route_list_match_network(const struct route_list *list,
                                                  const struct endpoint *dest);

/* Does the address lie in a network of services that every machine has its own of? */
bool route_is_machine_service(const struct endpoint *dest);

/* The route of that rule, or NULL. */
const struct route *route_list_match(const struct route_list *list, const struct endpoint *dest,
                                     const char *name);

/* What can become of a name and a port before the name's addresses are known. */
enum route_name_chance {
    ROUTE_NAME_NEVER,      /* no rule can match */
    ROUTE_NAME_BY_ADDRESS, /* rules of addresses, if it has one of them */
    ROUTE_NAME_COVERED     /* a rule of names, or `*` */
};
enum route_name_chance route_list_name_chance(const struct route_list *list, const char *name,
                                              uint16_t port);

/* Does any name rule match `name` (whatever the port)? Tells whether a lookup is worth remembering.
 */
bool route_list_watches_name(const struct route_list *list, const char *name);

/* The first rule of this kind (ROUTE_RULE_IPV4 or _IPV6) whose addresses all lie in the network of
 * `addr` and `prefix_len`, or NULL. */
const struct route_rule *route_list_rule_within(const struct route_list *list,
                                                enum route_rule_kind kind, const uint8_t *addr,
                                                unsigned prefix_len);

/* Parses one destination list into a list of its own: what a gateway's `allow` needs. The rules
 * belong to one route called "allow". */
bool route_list_parse_destinations(struct route_list *list, const char *text,
                                   struct route_error *error);

#endif
