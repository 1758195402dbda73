/* SPDX-License-Identifier: MIT */
/* admin_connect.c - `smuxctl connect`: a connection whose socket pair is made by the helper. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/client/admin_client.h"
#include "helper/client/conn.h"
#include "helper/net/log.h"
#include "helper/net/pass_descriptor.h"

struct admin_connect {
    struct conn conn;
    struct admin_client *client; /* NULL once answered */
    char why[400];               /* of the failure; empty if it has not failed */
    struct loop_garbage garbage;
};

bool admin_destination_set(struct admin_destination *destination, const char *host, uint16_t port) {
    struct endpoint *endpoint = &destination->endpoint;
    memset(destination, 0, sizeof *destination);
    endpoint->port = port;
    if (inet_pton(AF_INET, host, endpoint->addr) == 1) {
        endpoint->family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, host, endpoint->addr) == 1) {
        endpoint->family = AF_INET6;
        return true;
    }
    if (!helper_host_name_valid(host, strlen(host)))
        return false;
    strcpy(destination->name, host);
    return true;
}

static void free_connect(struct loop_garbage *garbage) {
    free(container_of(garbage, struct admin_connect, garbage));
}

static void on_ended(struct conn *conn) {
    struct admin_connect *connect = container_of(conn, struct admin_connect, conn);
    if (connect->client) {
        connect->client->connect = NULL;
        admin_client_fail(connect->client, -ECONNABORTED, "the connection ended early");
    }
    loop_discard(conn->conns->reactor->loop, &connect->garbage, free_connect);
}

/* Sends the success line together with the descriptor. */
static bool hand_over(int client_fd, int fd) {
    static const char line[] = "{\"ok\":true}\n";
    return pass_descriptor(client_fd, line, sizeof line - 1, fd, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Until the stream is attached (connect = eager): remembers the events. */
static void on_early_event(struct loop_watch *watch, uint32_t events) {
    relay_hear(container_of(watch, struct relay, watch), events);
}

/* Makes the socket pair: sends the residue, watches the helper's end, and passes the application's
 * end to the client. */
static void succeed(struct admin_connect *connect, struct admin_client *client) {
    struct conn *conn = &connect->conn;
    struct loop *loop = conn->conns->reactor->loop;
    int pair[2]; /* the application's end, the helper's end */
    int one = 1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        admin_client_fail(client, -errno, strerror(errno));
        conn_end(conn, -ENFILE);
        return;
    }
    setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    bool handed = send(pair[0], "", 1, MSG_NOSIGNAL) == 1 && hand_over(client->watch.fd, pair[0]);
    close(pair[0]);
    admin_client_close(client);
    if (handed && loop_watch_add(loop, &conn->relay.watch, pair[1], relay_end_app.mask,
                                 on_early_event) == 0) {
        conn_start(conn, -1, true, EPOLLIN);
        return;
    }
    close(pair[1]);
    conn_end(conn, -EPIPE);
}

static void tell_failure(struct admin_client *client, int error, const char *why) {
    json_t *reason = json_string(why);
    if (!reason) /* it quotes a peer, and is no UTF-8 */
        reason = json_string("");
    admin_client_answer(client, json_pack("{s:b, s:s, s:i, s:o}", "ok", 0, "error",
                                          strerror(-error), "errno", -error, "reason", reason));
}

static void on_outcome(struct conn *conn, int error, const struct endpoint *local) {
    struct admin_connect *connect = container_of(conn, struct admin_connect, conn);
    struct admin_client *client = connect->client;
    (void)local;
    connect->client = NULL;
    if (client)
        client->connect = NULL;
    if (client && error == 0) {
        succeed(connect, client);
        return;
    }
    if (client)
        tell_failure(client, error, connect->why);
    conn_end(conn, error);
}

static void on_why(struct conn *conn, const char *text) {
    struct admin_connect *connect = container_of(conn, struct admin_connect, conn);
    snprintf(connect->why, sizeof connect->why, "%s", text);
}

/* The client is being closed: a connection that it has not received is aborted. */
static void on_closing(struct admin_client *client) {
    struct admin_connect *connect = client->connect;
    if (!connect)
        return;
    client->connect = NULL;
    connect->client = NULL;
    conn_end(&connect->conn, -ECANCELED);
}

static const struct conn_ops connect_ops = {
    .outcome = on_outcome, .why = on_why, .ended = on_ended};

void admin_connect(struct admin_client *client, const struct admin_destination *destination) {
    struct admin_connect *connect = calloc(1, sizeof *connect);
    struct ucred cred = {0};
    socklen_t len = sizeof cred;
    if (!connect) {
        admin_client_fail(client, -ENOMEM, strerror(ENOMEM));
        return;
    }
    getsockopt(client->watch.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
    conn_init(&connect->conn, client->clients->conns, &connect_ops);
    connect->client = client;
    conn_set_user(&connect->conn, &cred, NULL); /* the owner, or root */
    connect->conn.dest = destination->endpoint;
    if (destination->name[0])
        connect->conn.name = strdup(destination->name);
    client->connect = connect;
    client->closing = on_closing;
    /* The client is no longer idle: the route's connect-timeout limits the wait. */
    loop_timer_clear(client->clients->loop, &client->timer);
    conn_open(&connect->conn);
}
