/* SPDX-License-Identifier: MIT */
/* proxy_listener.c - see proxy_listener.h. */
#include "helper/client/proxy_listener.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/client/login_file.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/stranger.h"

/* ---- Life ---- */

static bool admits(const struct socks5_login *login, const char *name, size_t name_len,
                   const char *password, size_t password_len) {
    const struct proxy_listener *listener = container_of(login, struct proxy_listener, login);
    return listener->logins &&
           login_file_admits(listener->logins, name, name_len, password, password_len);
}

struct proxy_listener *proxy_listener_new(struct proxy_shared *shared,
                                          const struct config_listener *config) {
    struct proxy_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    listener->shared = shared;
    listener->login.admits = admits;
    listener->config = *config;
    config_listener_text(config, listener->text, sizeof listener->text);
    proxy_sources_init(&listener->sources);
    return listener;
}

void proxy_listener_configure(struct proxy_listener *listener, const struct config_listener *config,
                              struct login_file *logins) {
    listener->config = *config;
    login_file_free(listener->logins);
    listener->logins = logins;
}

static void free_listener(struct loop_garbage *garbage) {
    struct proxy_listener *listener = container_of(garbage, struct proxy_listener, garbage);
    login_file_free(listener->logins);
    free(listener);
}

static void go_if_unused(struct proxy_listener *listener) {
    if (listener->retired && listener->connections == 0)
        loop_discard(listener->shared->conns->reactor->loop, &listener->garbage, free_listener);
}

void proxy_listener_leave(struct proxy_listener *listener) {
    listener->connections--;
    go_if_unused(listener);
}

void proxy_socket_close(struct proxy_socket *socket) {
    bool is_unix = socket->address.scheme == CONFIG_UNIX;
    if (!socket->acceptor.watch.open)
        return;
    if (is_unix && !passed_sockets_was_lent(socket->acceptor.watch.fd))
        unlink(socket->address.host);
    int fd = acceptor_release(&socket->acceptor);
    if (is_unix) /* what waits to be accepted may have descriptors whose closing blocks */
        stranger_refuse(fd, (uid_t)-1);
    else
        close(fd);
}

void proxy_listener_retire(struct proxy_listener *listener) {
    for (unsigned i = 0; i < CONFIG_LISTEN_MAX; i++)
        proxy_socket_close(&listener->socket[i]);
    list_remove(&listener->link);
    listener->retired = true;
    go_if_unused(listener);
}
