/* SPDX-License-Identifier: MIT */
/* proxy_listeners.c - see proxy_listeners.h. */
#include "helper/client/proxy_listeners.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/client/login_file.h"
#include "helper/client/proxy_acceptor.h"
#include "helper/net/linger_close.h"
#include "helper/net/listen.h"
#include "helper/net/listen_broker.h"
#include "helper/net/log.h"
#include "helper/net/peer_user.h"

static struct proxy_listener *listener_of(struct list_link *link) {
    return container_of(link, struct proxy_listener, link);
}

/* ---- Life ---- */

void proxy_listeners_init(struct proxy_listeners *listeners, struct conns *conns,
                          const struct admission *admission) {
    memset(listeners, 0, sizeof *listeners);
    list_init(&listeners->all);
    listeners->shared.conns = conns;
    listeners->shared.admission = admission;
    listeners->shared.users_fd = peer_user_open();
    handshakes_init(&listeners->shared.hellos);
    handshakes_limit(&listeners->shared.hellos, PROXY_HELLOS_MAX, PROXY_HELLOS_PER_SOURCE_MAX);
}

void proxy_listeners_stop(struct proxy_listeners *listeners) {
    listeners->stopped = true;
    list_for_each(link, &listeners->all)
        proxy_listener_retire(listener_of(link));
}

void proxy_listeners_fini(struct proxy_listeners *listeners) {
    if (!listeners->shared.conns)
        return; /* proxy_listeners_init was never called */
    proxy_listeners_stop(listeners);
    linger_close_all();
    if (listeners->shared.users_fd >= 0)
        close(listeners->shared.users_fd);
}

/* ---- Planning ---- */

static struct proxy_socket *socket_at(const struct proxy_listeners *listeners,
                                      const struct config_address *address) {
    list_for_each(link, &listeners->all) {
        struct proxy_listener *listener = listener_of(link);
        for (unsigned i = 0; i < CONFIG_LISTEN_MAX; i++)
            if (listener->socket[i].acceptor.watch.open &&
                config_addresses_equal(&listener->socket[i].address, 1, address, 1))
                return &listener->socket[i];
    }
    return NULL;
}

static void empty_plan(struct proxy_plan *plan) {
    for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
        plan->logins[i] = NULL;
        for (unsigned j = 0; j < CONFIG_LISTEN_MAX; j++)
            plan->fd[i][j] = -1;
    }
}

/* A path that was bound stays: nobody answers there, and the next helper takes it. */
void proxy_plan_drop(struct proxy_plan *plan) {
    for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
        login_file_free(plan->logins[i]);
        for (unsigned j = 0; j < CONFIG_LISTEN_MAX; j++)
            if (plan->fd[i][j] >= 0)
                close(plan->fd[i][j]);
    }
    empty_plan(plan);
}

static bool plan_logins(struct proxy_plan *plan, unsigned i, const struct config *config,
                        struct config_error *error) {
    const char *file = config->listener[i].password_file;
    char why[400], where[80];
    if (!file[0])
        return true;
    plan->logins[i] = login_file_read(file, why, sizeof why);
    if (!plan->logins[i])
        snprintf(error->text, sizeof error->text, "%s: [%s]: password-file: %s", config->file,
                 config_listener_text(&config->listener[i], where, sizeof where), why);
    return plan->logins[i];
}

static bool plan_socket(struct proxy_plan *plan, const struct proxy_listeners *listeners,
                        unsigned i, unsigned j, const struct config *config, bool willing,
                        struct config_error *error) {
    const struct config_listener *listener = &config->listener[i];
    const struct config_address *address = &listener->address[j];
    char where[80], text[CONFIG_URL_MAX + 1];
    const char *why;
    int fd = listeners->confined ? listen_broker_open(address, listener->socket_mode, &why)
                                 : listen_open(address, false, listener->socket_mode, &why);
    if (fd >= 0) {
        plan->fd[i][j] = fd;
        return true;
    }
    bool confined = fd == -EACCES && listeners->confined && !listen_broker_is_there();
    snprintf(error->text, sizeof error->text, "%s: [%s]: %s: %s: %s%s", config->file,
             config_listener_text(listener, where, sizeof where),
             config_address_text(address, text, sizeof text), why, strerror(-fd),
             confined ? " (started without [socks] and [forward], the helper is in its sandbox: "
                        "expected a restart)"
                      : "");
    if (willing)
        log_error("%s", error->text);
    return willing;
}

static bool plan_listener(struct proxy_plan *plan, struct proxy_listeners *listeners, unsigned i,
                          const struct config *config, bool willing, struct config_error *error) {
    const struct config_listener *listener = &config->listener[i];
    if (!plan_logins(plan, i, config, error))
        return false;
    for (unsigned j = 0; j < listener->n_addresses; j++)
        if (!socket_at(listeners, &listener->address[j]) &&
            !plan_socket(plan, listeners, i, j, config, willing, error))
            return false;
    return true;
}

bool proxy_plan_make(struct proxy_plan *plan, struct proxy_listeners *listeners,
                     const struct config *config, bool willing, struct config_error *error) {
    empty_plan(plan);
    for (unsigned i = 0; i < config->n_listeners && !listeners->stopped; i++)
        if (!plan_listener(plan, listeners, i, config, willing, error)) {
            proxy_plan_drop(plan);
            return false;
        }
    return true;
}

/* ---- Applying ---- */

static struct proxy_listener *find(const struct proxy_listeners *listeners,
                                   const struct config_listener *config) {
    list_for_each(link, &listeners->all) {
        struct proxy_listener *listener = listener_of(link);
        if (listener->config.kind == config->kind &&
            strcmp(listener->config.name, config->name) == 0)
            return listener;
    }
    return NULL;
}

static bool is_configured(const struct config *config, const struct proxy_listener *listener) {
    for (unsigned i = 0; i < config->n_listeners; i++)
        if (config->listener[i].kind == listener->config.kind &&
            strcmp(config->listener[i].name, listener->config.name) == 0)
            return true;
    return false;
}

/* Takes the sockets that stay open from their listeners, which may be others than before. */
static void collect(struct proxy_listeners *listeners, const struct config *config,
                    struct proxy_plan *plan) {
    for (unsigned i = 0; i < config->n_listeners; i++)
        for (unsigned j = 0; j < config->listener[i].n_addresses; j++) {
            struct proxy_socket *socket = socket_at(listeners, &config->listener[i].address[j]);
            if (socket)
                plan->fd[i][j] = acceptor_release(&socket->acceptor);
        }
}

static void start(struct proxy_listener *listener, unsigned index, int fd) {
    const struct config_address *address = &listener->config.address[index];
    char text[CONFIG_URL_MAX + 1];
    config_address_text(address, text, sizeof text);
    if (address->scheme == CONFIG_UNIX) /* it may have changed */
        chmod(address->host, listener->config.socket_mode);
    int error = proxy_acceptor_start(listener, index, fd);
    if (error == 0) {
        log_about(LOG_DEBUG, ABOUT(.listener = listener->text), "listening at %s", text);
        return;
    }
    log_about(LOG_ERR, ABOUT(.listener = listener->text), "cannot listen at %s: %s", text,
              strerror(-error));
    close(fd);
}

static void apply_one(struct proxy_listeners *listeners, const struct config_listener *config,
                      const int *fds, struct login_file *logins) {
    struct proxy_listener *listener = find(listeners, config);
    if (!listener) {
        listener = proxy_listener_new(&listeners->shared, config);
        if (listener)
            list_append(&listeners->all, &listener->link);
    }
    if (!listener) {
        login_file_free(logins);
        log_error("a proxy's listener is missing: out of memory");
    } else {
        for (unsigned j = 0; j < CONFIG_LISTEN_MAX; j++)
            proxy_socket_close(&listener->socket[j]);
        proxy_listener_configure(listener, config, logins);
    }
    for (unsigned j = 0; j < config->n_addresses; j++)
        if (fds[j] >= 0 && listener)
            start(listener, j, fds[j]);
        else if (fds[j] >= 0)
            close(fds[j]);
}

void proxy_listeners_apply(struct proxy_listeners *listeners, const struct config *config,
                           struct proxy_plan *plan) {
    if (listeners->stopped)
        return;
    collect(listeners, config, plan);
    list_for_each(link, &listeners->all)
        if (!is_configured(config, listener_of(link)))
            proxy_listener_retire(listener_of(link));
    for (unsigned i = 0; i < config->n_listeners; i++)
        apply_one(listeners, &config->listener[i], plan->fd[i], plan->logins[i]);
    empty_plan(plan);
}

bool proxy_listeners_start(struct proxy_listeners *listeners, const struct config *config,
                           bool willing) {
    struct proxy_plan plan;
    struct config_error error;
    if (!proxy_plan_make(&plan, listeners, config, willing, &error)) {
        log_error("cannot start: %s", error.text);
        return false;
    }
    proxy_listeners_apply(listeners, config, &plan);
    return true;
}

/* ---- Status ---- */

static json_t *listener_status(const struct proxy_listener *listener) {
    json_t *addresses = json_array();
    char text[CONFIG_URL_MAX + 1];
    for (unsigned i = 0; i < CONFIG_LISTEN_MAX; i++)
        if (listener->socket[i].acceptor.watch.open)
            json_array_append_new(addresses, json_string(config_address_text(
                                                 &listener->socket[i].address, text, sizeof text)));
    return json_pack("{s:s, s:o, s:I, s:I}", "listener", listener->text, "addresses", addresses,
                     "connections", (json_int_t)listener->connections, "connections_total",
                     (json_int_t)listener->accepted_total);
}

json_t *proxy_listeners_status(const struct proxy_listeners *listeners) {
    json_t *list = json_array();
    list_for_each(link, &listeners->all)
        json_array_append_new(list, listener_status(listener_of(link)));
    return list;
}
