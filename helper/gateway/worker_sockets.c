/* SPDX-License-Identifier: MIT */
/* worker_sockets.c - see worker_sockets.h. */
#include "helper/gateway/worker_sockets.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/listen.h"
#include "helper/net/log.h"
#include "helper/net/predecessor.h"

static int open_one(const struct gateway_config *config, const struct config_address *address) {
    char text[CONFIG_URL_MAX + 1];
    const char *why;
    int fd = listen_open(address, config->workers > 1, config->socket_mode, &why);
    if (fd < 0)
        log_error("%s: %s: %s", config_address_text(address, text, sizeof text), why,
                  strerror(-fd));
    return fd;
}

/* The others at the address of the first. */
static void take_passed(struct listening *at) {
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    memset(&name, 0, sizeof name);
    if (getsockname(at->fd[0], (struct sockaddr *)&name, &len) < 0)
        return;
    while (at->count < WORKERS_MAX) {
        int fd = passed_sockets_take((struct sockaddr *)&name, len);
        if (fd < 0)
            return;
        at->fd[at->count++] = fd;
    }
}

static bool open_at(struct listening *at, const struct gateway_config *config, int i) {
    struct config_address address = config->address[i];
    at->scheme = address.scheme;
    at->count = 1;
    at->fd[0] = open_one(config, &address);
    if (at->fd[0] < 0)
        return false;
    if (passed_sockets_was(at->fd[0]))
        take_passed(at);
    else if (address.scheme != CONFIG_UNIX) {
        address.port = listen_port(at->fd[0]); /* port 0: the one that the kernel chose */
        while (at->count < (int)config->workers && at->count < WORKERS_MAX) {
            int fd = open_one(config, &address);
            if (fd < 0)
                return false;
            at->fd[at->count++] = fd;
        }
    }
    return true;
}

static void say_listening(const struct gateway_config *config, int i, const char *text) {
    log_info("listening at %s", text);
    if (gateway_config_is_exposed(&config->address[i]))
        log_warn("%s has no TLS (insecure = yes): everyone on the way can read and change what it "
                 "carries, and whoever reaches it can use it",
                 text);
}

/* A predecessor may have had other addresses; a service manager was told the wrong ones. False
 * after logging that. */
static bool look_at_the_rest(void) {
    char text[CONFIG_URL_MAX + 1];
    while (predecessor_was_found() && passed_sockets_drop(text, sizeof text))
        log_info("%s: no longer an address of this gateway", text);
    if (!passed_sockets_left(text, sizeof text))
        return true;
    log_error("%s was passed by the service manager, but is none of this gateway's addresses",
              text);
    return false;
}

bool worker_sockets_open(struct worker_sockets *sockets, const struct gateway_config *config) {
    char text[CONFIG_URL_MAX + 1];
    sockets->workers = (int)config->workers;
    sockets->count = config->n_addresses;
    for (int i = 0; i < sockets->count; i++)
        if (!open_at(&sockets->at[i], config, i))
            return false;
    if (!look_at_the_rest())
        return false;
    for (int i = 0; i < sockets->count; i++) {
        const struct listening *at = &sockets->at[i];
        say_listening(config, i, listen_text(at->fd[0], at->scheme, text, sizeof text));
    }
    return true;
}

bool worker_sockets_serves(const struct worker_sockets *sockets, const struct listening *at,
                           int worker, int i) {
    return at->count >= sockets->workers ? i % sockets->workers == worker : worker % at->count == i;
}

int worker_sockets_list(const struct worker_sockets *sockets, int out[PASSED_SOCKETS_MAX]) {
    int count = 0;
    for (int i = 0; i < sockets->count; i++)
        for (int k = 0; k < sockets->at[i].count; k++)
            out[count++] = sockets->at[i].fd[k];
    if (sockets->metrics >= 0 && count < PASSED_SOCKETS_MAX)
        out[count++] = sockets->metrics;
    return count;
}

void worker_sockets_free_metrics(struct worker_sockets *sockets) {
    if (sockets->metrics >= 0)
        close(sockets->metrics);
    sockets->metrics = -1;
}
