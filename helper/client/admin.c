/* SPDX-License-Identifier: MIT */
/* admin.c - see admin.h: listeners, requests and the table of commands. */
#include "helper/client/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "core/smux.h"
#include "helper/client/admin_client.h"
#include "helper/client/helper.h"
#include "helper/client/helper_upgrade.h"
#include "helper/net/acceptor.h"
#include "helper/net/events.h"
#include "helper/net/listen.h"
#include "helper/net/log.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/stranger.h"

/* Clients at once. smuxctl is short-lived; `connect` waits at most for connect-timeout. */
#define CLIENTS_MAX 256

/* The time limit for a client that sends no request. */
#ifndef IDLE_TIMEOUT_US /* tests build a helper with a shorter one */
#define IDLE_TIMEOUT_US 60000000u
#endif

struct admin {
    struct helper *helper;
    struct admin_listener {
        struct admin *control;
        struct acceptor acceptor;
    } path, abstract; /* if the path is gone, smuxctl uses the abstract name */
    struct admin_clients clients;
    struct sockaddr_un name;
    ino_t inode; /* of the path: another helper may have replaced the file. 0: it was passed */
};

bool admin_path(char *out, size_t size, const char *path) {
    const char *slash = strrchr(path, '/');
    int dir_len = slash ? (int)(slash - path) : 0;
    int len = snprintf(out, size, "%.*s/%s", dir_len, path, ADMIN_SOCKET_FILE);
    return slash && len > 0 && (size_t)len < size &&
           (size_t)len < sizeof(((struct sockaddr_un *)0)->sun_path);
}

/* ---- Commands ---- */

static struct helper *helper_of(const struct admin_client *client) {
    return container_of(client->clients, struct admin, clients)->helper;
}

static json_t *limits_status(const struct helper *helper) {
    const struct config_helper *config = &helper->config->helper;
    return json_pack("{s:I, s:I, s:I}", "descriptors", (json_int_t)helper->conns.descriptors,
                     "max_streams", (json_int_t)config->max_streams, "max_streams_per_user",
                     (json_int_t)conns_streams_per_user(&helper->conns));
}

static void command_status(struct admin_client *client, json_t *request) {
    struct helper *helper = helper_of(client);
    json_t *sessions = json_array(), *addresses = json_array();
    (void)request;
    upstream_pool_status(&helper->upstreams, sessions);
    upstream_pool_addresses(&helper->upstreams, addresses);
    uint64_t up_us = loop_now_us(helper->reactor.loop) - helper->began_us;
    admin_client_list_streams(
        client,
        json_pack("{s:b, s:i, s:I, s:s, s:i, s:s, s:I, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "ok", 1,
                  "pid", (int)getpid(), "uid", (json_int_t)geteuid(), "version",
                  SMUX_LIBRARY_VERSION, "control_version", HELPER_PROTOCOL_VERSION, "config",
                  helper->config->file, "uptime_ms", (json_int_t)(up_us / 1000), "draining",
                  (int)helper->draining, "connections", (json_int_t)helper->conns.count,
                  "connections_total", (json_int_t)helper->conns.routed_total, "limits",
                  limits_status(helper), "listeners", proxy_listeners_status(&helper->proxies),
                  "addresses", addresses, "sessions", sessions));
}

static bool get_destination(struct admin_client *client, json_t *request,
                            struct admin_destination *destination) {
    const char *host = json_string_value(json_object_get(request, "host"));
    json_int_t port = json_integer_value(json_object_get(request, "port"));
    if (host && port >= 1 && port <= 65535 &&
        admin_destination_set(destination, host, (uint16_t)port))
        return true;
    admin_client_fail(client, -EINVAL, "expected a host name or address, and a port");
    return false;
}

static void command_routes(struct admin_client *client, json_t *request) {
    const struct route_list *routes = &helper_of(client)->config->routes;
    struct admin_destination destination;
    char rule_text[400] = "";
    if (!json_object_get(request, "host")) {
        char *text = malloc(ADMIN_ROUTES_MAX);
        size_t len = text ? route_list_format(routes, text, ADMIN_ROUTES_MAX) : 0;
        admin_client_answer(client, text && len < ADMIN_ROUTES_MAX
                                        ? json_pack("{s:b, s:s}", "ok", 1, "routes", text)
                                        : NULL);
        free(text);
        return;
    }
    if (!get_destination(client, request, &destination))
        return;
    const struct route_rule *rule = route_list_match_rule(
        routes, &destination.endpoint, destination.name[0] ? destination.name : NULL);
    if (!rule) {
        admin_client_answer(client, json_pack("{s:b, s:n}", "ok", 1, "route"));
        return;
    }
    const struct route *route = &routes->route[rule->route];
    route_rule_format(routes, rule, rule_text, sizeof rule_text);
    admin_client_answer(client, json_pack("{s:b, s:s, s:s, s:s}", "ok", 1, "route", route->name,
                                          "gateway", route->gateway, "rule", rule_text));
}

static void command_names(struct admin_client *client, json_t *request) {
    (void)request;
    admin_client_list_names(client, json_pack("{s:b}", "ok", 1));
}

static void command_reload(struct admin_client *client, json_t *request) {
    char message[600];
    (void)request;
    struct helper *helper = helper_of(client);
    if (helper->reload(helper, message, sizeof message))
        admin_client_answer(client, json_pack("{s:b}", "ok", 1));
    else
        admin_client_fail(client, -EINVAL, message);
}

static void command_drain(struct admin_client *client, json_t *request) {
    struct helper *helper = helper_of(client);
    (void)request;
    admin_client_answer(client, json_pack("{s:b}", "ok", 1));
    helper_drain(helper);
}

static void on_upgraded(struct helper_upgrade *upgrade, const char *why) {
    struct admin_client *client = upgrade->user;
    client->closing = NULL;
    if (why)
        admin_client_fail(client, -ECANCELED, why);
    else
        admin_client_answer(client, json_pack("{s:b, s:i, s:I}", "ok", 1, "pid",
                                              (int)upgrade->successor.pid, "connections",
                                              (json_int_t)upgrade->helper->conns.count));
}

static void leave_upgrade(struct admin_client *client) {
    helper_of(client)->upgrade->done = NULL;
}

static void command_upgrade(struct admin_client *client, json_t *request) {
    struct helper_upgrade *upgrade = helper_of(client)->upgrade;
    (void)request;
    const char *why = upgrade ? helper_upgrade_start(upgrade) : "this helper lasts for one check";
    if (why) {
        admin_client_fail(client, -EALREADY, why);
        return;
    }
    client->closing = leave_upgrade;
    upgrade->user = client;
    upgrade->done = on_upgraded;
}

static void command_stop(struct admin_client *client, json_t *request) {
    struct helper *helper = helper_of(client);
    (void)request;
    admin_client_answer(client, json_pack("{s:b}", "ok", 1));
    helper->stop(helper);
}

static void command_connect(struct admin_client *client, json_t *request) {
    struct admin_destination destination;
    if (get_destination(client, request, &destination))
        admin_connect(client, &destination);
}

static void command_probe(struct admin_client *client, json_t *request) {
    const char *gateway = json_string_value(json_object_get(request, "gateway"));
    if (gateway)
        admin_probe(client, &helper_of(client)->upstreams, gateway);
    else
        admin_client_fail(client, -EINVAL, "expected the name of a gateway");
}

static void command_events(struct admin_client *client, json_t *request) {
    (void)request;
    admin_events(client);
}

static const struct {
    const char *name;
    void (*run)(struct admin_client *client, json_t *request);
} commands[] = {{"status", command_status},   {"routes", command_routes},
                {"reload", command_reload},   {"drain", command_drain},
                {"upgrade", command_upgrade}, {"stop", command_stop},
                {"connect", command_connect}, {"names", command_names},
                {"probe", command_probe},     {"events", command_events}};

static void run_line(struct admin_client *client, const char *line, size_t len) {
    json_error_t error;
    json_t *request = json_loadb(line, len, 0, &error);
    const char *name = json_string_value(json_object_get(request, "command"));
    client->busy = true;
    for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            commands[i].run(client, request);
            json_decref(request);
            return;
        }
    }
    json_decref(request);
    admin_client_fail(client, -EINVAL,
                      "expected a JSON object with a command: status, routes, names, reload, "
                      "drain, upgrade, stop, connect, probe or events");
}

/* ---- Reading ---- */

static void read_request(struct admin_client *client) {
    ssize_t n = recv(client->watch.fd, client->line + client->line_len,
                     sizeof client->line - client->line_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        admin_client_close(client);
        return;
    }
    client->line_len += (size_t)n;
    char *end = memchr(client->line, '\n', client->line_len);
    if (end)
        run_line(client, client->line, (size_t)(end - client->line));
    else if (client->line_len == sizeof client->line)
        admin_client_fail(client, -EMSGSIZE, "request line is longer than 4096 bytes");
}

static void on_client(struct loop_watch *watch, uint32_t events) {
    struct admin_client *client = container_of(watch, struct admin_client, watch);
    if (client->answer && !(client->goes_on && events_of(events) & EVENT_GONE))
        admin_client_send(client);
    else if (client->busy && events_of(events) & EVENT_GONE)
        admin_client_close(client);
    else if (!client->busy)
        read_request(client);
}

static void on_idle(struct loop_timer *timer) {
    admin_client_close(container_of(timer, struct admin_client, timer));
}

static bool is_owner(int fd) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return false;
    if (cred.uid == geteuid() || cred.uid == 0)
        return true;
    log_of(LOG_WARNING, ABOUT(.pid = cred.pid, .uid = cred.uid),
           "control connection refused: not the owner");
    return false;
}

static void add_client(struct admin_clients *clients, int fd) {
    struct loop *loop = clients->loop;
    struct admin_client *client = calloc(1, sizeof *client);
    if (!client || loop_watch_add(loop, &client->watch, fd, EPOLLIN | EPOLLOUT, on_client) != 0) {
        free(client);
        close(fd);
        return;
    }
    client->clients = clients;
    list_prepend(&clients->all, &client->link);
    clients->count++;
    loop_timer_set(loop, &client->timer, loop_now_us(loop) + IDLE_TIMEOUT_US, on_idle);
}

static void on_accepted(struct acceptor *acceptor, int fd, const struct sockaddr_storage *addr,
                        socklen_t len) {
    struct admin *control = container_of(acceptor, struct admin_listener, acceptor)->control;
    (void)addr;
    (void)len;
    if (control->clients.count < CLIENTS_MAX && is_owner(fd))
        add_client(&control->clients, fd);
    else /* closing may block on unread data: see stranger.h */
        stranger_refuse(fd, (uid_t)-1);
}

static const struct acceptor_ops listener_ops = {.accepted = on_accepted};

static int start_accepting(struct admin *control, struct admin_listener *listener, int fd) {
    listener->control = control;
    return acceptor_start(&listener->acceptor, control->helper->reactor.loop, fd, 1, &listener_ops);
}

/* ---- Life ---- */

/* A draining helper may still answer there. This helper has the lock, so it may replace the
 * file. */
static void take_place(const struct sockaddr_un *name) {
    struct stat st;
    if (!passed_sockets_have((const struct sockaddr *)name, sizeof *name) &&
        lstat(name->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(name->sun_path);
}

static void listen_abstract(struct admin *control) {
    struct sockaddr_un name;
    const char *why = "cannot watch";
    socklen_t len = helper_abstract_name(&name, control->name.sun_path);
    int fd = listen_open_unix((struct sockaddr *)&name, len, 0600, &why);
    if (fd >= 0 && start_accepting(control, &control->abstract, fd) == 0)
        return;
    log_warn("smuxctl cannot reach this helper if the file of its socket is deleted: %s", why);
    if (fd >= 0)
        close(fd);
}

struct admin *admin_new(struct helper *helper, const char *path) {
    struct stat st;
    struct admin *control = calloc(1, sizeof *control);
    const char *why = "out of memory";
    int fd = -ENOMEM;
    if (control) {
        control->helper = helper;
        list_init(&control->clients.all);
        list_init(&control->clients.listeners);
        control->clients.loop = helper->reactor.loop;
        control->clients.conns = &helper->conns;
        control->name.sun_family = AF_UNIX;
        if (admin_path(control->name.sun_path, sizeof control->name.sun_path, path)) {
            take_place(&control->name);
            fd = listen_open_unix((struct sockaddr *)&control->name, sizeof control->name, 0600,
                                  &why);
        }
    }
    if (fd >= 0 && (!passed_sockets_was(fd) || passed_sockets_are_own()) &&
        lstat(control->name.sun_path, &st) == 0)
        control->inode = st.st_ino;
    int error = fd < 0 ? fd : start_accepting(control, &control->path, fd);
    if (error == 0) {
        listen_abstract(control);
        return control;
    }
    log_error("control socket: %s: %s", why, strerror(-error));
    if (fd >= 0)
        close(fd);
    free(control);
    return NULL;
}

void admin_give_way(struct admin *control) {
    if (passed_sockets_was_lent(control->path.acceptor.watch.fd)) { /* somebody answers there */
        control->inode = 0;
        acceptor_stop(&control->path.acceptor);
    }
    acceptor_stop(&control->abstract.acceptor);
}

void admin_free(struct admin *control) {
    struct stat st;
    if (!control)
        return;
    for (struct list_link *link; (link = list_first(&control->clients.all));)
        admin_client_close(container_of(link, struct admin_client, link));
    if (!passed_sockets_was_lent(control->path.acceptor.watch.fd) &&
        lstat(control->name.sun_path, &st) == 0 && st.st_ino == control->inode)
        unlink(control->name.sun_path);
    acceptor_stop(&control->path.acceptor);
    admin_give_way(control);
    free(control);
}
