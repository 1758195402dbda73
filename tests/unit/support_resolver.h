/* SPDX-License-Identifier: MIT */
/* A resolver that answers when told to; it replaces helper/net/resolver.c in the test program. */
#ifndef SUPPORT_RESOLVER_H
#define SUPPORT_RESOLVER_H

#include "helper/net/resolver.h"

/* The query in progress, at most one; NULL: none. */
static struct resolver_query *asked;

struct resolver *resolver_new(struct loop *loop, bool absolute, const char *servers,
                              const char **why) {
    (void)loop;
    (void)absolute;
    (void)servers;
    (void)why;
    return (struct resolver *)&asked;
}

void resolver_free(struct resolver *resolver) {
    (void)resolver;
}

struct resolver_client *resolver_client_new(struct resolver *resolver) {
    return (struct resolver_client *)resolver;
}

void resolver_client_free(struct resolver_client *client) {
    (void)client;
    assert_null(asked);
}

void resolver_start(struct resolver_client *client, struct resolver_query *query, const char *name,
                    uint16_t port,
                    void (*done)(struct resolver_query *, int, const struct endpoint *, int)) {
    assert_non_null(client);
    assert_non_null(name);
    assert_null(asked);
    query->port = port;
    query->done = done;
    query->found = NULL;
    query->ttl_s = 60;
    asked = query;
}

void resolver_start_service(struct resolver_client *client, struct resolver_query *query,
                            const char *name,
                            void (*found)(struct resolver_query *, int, const struct dns_srv *,
                                          int)) {
    resolver_start(client, query, name, 0, NULL);
    query->found = found;
}

void resolver_cancel(struct resolver_query *query) {
    if (asked == query)
        asked = NULL;
}

/* Answers with `count` addresses, beginning with 127.0.0.`last`, or with `error`. */
static void resolved(int error, uint8_t last, int count) {
    struct resolver_query *query = asked;
    struct endpoint addresses[RESOLVER_ADDRESSES_MAX];
    if (!query || !query->done)
        return;
    for (int i = 0; i < count; i++)
        addresses[i] = (struct endpoint){AF_INET, query->port, 0, {127, 0, 0, (uint8_t)(last + i)}};
    asked = NULL;
    query->done(query, error, addresses, count);
}

#endif
