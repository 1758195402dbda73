/* SPDX-License-Identifier: MIT */
/*
 * admin_client.h - a client of the control socket: its answer and its end. The commands that take
 * longer are in admin_connect.c, admin_events.c, admin_list.c and admin_probe.c.
 */
#ifndef HELPER_CLIENT_ADMIN_CLIENT_H
#define HELPER_CLIENT_ADMIN_CLIENT_H

#include <jansson.h>

#include "core/common/helper_protocol.h"
#include "helper/client/admin.h"
#include "helper/client/conns.h"
#include "helper/net/loop.h"

/* The text form of the largest list of routes. */
#define ADMIN_ROUTES_MAX (256u * 1024u)

struct admin_client;
struct admin_connect;
struct admin_events;
struct admin_probe;
struct upstream_pool;

/* What all clients need. */
struct admin_clients {
    struct loop *loop;
    struct conns *conns;
    struct list all;
    struct list listeners; /* to events */
    int count;
};

struct admin_client {
    struct admin_clients *clients;
    struct list_link link; /* in clients->all */
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct admin_connect *connect; /* a `connect` in progress */
    struct admin_probe *probe;     /* a `probe` in progress */
    struct admin_events *events;   /* while it listens to events */
    char *answer;
    size_t answer_len, answer_off, line_len;
    /* Set by a command that takes longer, or NULL. goes_on: everything so far has been sent;
     * returns true if more will follow, which the command then sends by itself. closing: the client
     * is being closed. */
    bool (*goes_on)(struct admin_client *client);
    void (*closing)(struct admin_client *client);
    /* A long list (admin_list.c): adds the next entries, and remembers the position. */
    bool (*fill)(struct admin_client *client, json_t *entries);
    struct loop_task task;
    struct conns_cursor next_conn;
    uint32_t *name_order; /* numbers of names */
    size_t name_at, name_count;
    bool list_begins, list_goes_on;
    bool busy; /* a request has been read; only one per connection is allowed */
    bool closed;
    char line[ADMIN_LINE_MAX];
};

struct admin_destination {
    struct endpoint endpoint; /* family 0 if it is a name; the port is always set */
    char name[HELPER_HOST_NAME_MAX + 1];
};

/* Fills it from a host (name or literal) and a port. False if the host is neither. */
bool admin_destination_set(struct admin_destination *destination, const char *host, uint16_t port);

/* Sends the answer (NULL: out of memory) and closes the client. Takes the reference. */
void admin_client_answer(struct admin_client *client, json_t *answer);
/* Answers with an error and closes the client. `error`: a negative errno; it is positive in the
 * answer. */
void admin_client_fail(struct admin_client *client, int error, const char *text);
void admin_client_close(struct admin_client *client);
/* Sends the rest of the answer; closes the client when done, or after an error. */
void admin_client_send(struct admin_client *client);

/* Answers with the object `head` (NULL: out of memory) and a list of the connections, or of the
 * names, as its last member. Takes the reference. */
void admin_client_list_streams(struct admin_client *client, json_t *head);
void admin_client_list_names(struct admin_client *client, json_t *head);
/* Opens a connection for the client and answers when its outcome is known. */
void admin_connect(struct admin_client *client, const struct admin_destination *destination);
/* Answers when the gateway has answered, or how it has failed to. */
void admin_probe(struct admin_client *client, struct upstream_pool *upstreams, const char *gateway);
/* Sends a line for each event until the client goes. */
void admin_events(struct admin_client *client);

#endif
