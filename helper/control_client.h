/*
 * control_client.h - a client of the control socket, shared by control*.c only.
 */
#ifndef HELPER_CONTROL_CLIENT_H
#define HELPER_CONTROL_CLIENT_H

#include <jansson.h>

#include "helper/control.h"
#include "helper/loop.h"
#include "shim/control.h"

/* The text form of the largest list of routes. */
#define CONTROL_ROUTES_MAX (256u * 1024u)

struct control_connect;

struct control_client {
    struct control *control;
    struct helper *helper;
    struct control_client *next, **at;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct control_connect *connect; /* `connect` under way */
    char *answer;
    size_t answer_len, answer_off, line_len;
    bool busy; /* a request has been read: one per connection */
    bool closed;
    char line[CONTROL_LINE_MAX];
};

struct control_destination {
    struct shim_endpoint endpoint; /* family 0 if it is a name; the port is always set */
    char name[SHIM_HOST_NAME_MAX + 1];
};

/* Fills it from a host (name or literal) and a port. False if the host is neither. */
bool control_destination_set(struct control_destination *destination, const char *host,
                             uint16_t port);

/* Sends the answer (NULL: out of memory) and closes. Takes the reference. */
void control_client_answer(struct control_client *client, json_t *answer);
void control_client_fail(struct control_client *client, int err, const char *text);
void control_client_close(struct control_client *client);

/* Opens a connection for the client and answers when its outcome is known. */
void control_connect(struct control_client *client, const struct control_destination *destination);
/* The client is going: a connection not yet handed over is given up. */
void control_connect_abandon(struct control_client *client);

#endif
