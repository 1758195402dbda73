/* SPDX-License-Identifier: MIT */
/* carrier_listener.c - see carrier_listener.h. */
#include "helper/carrier/carrier_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/common/endpoint.h"
#include "helper/carrier/proxy_gate.h"
#include "helper/net/acceptor.h"
#include "helper/net/log.h"

struct carrier_listener {
    struct acceptor acceptor;
    struct proxy_gate gate;
    const struct networks *proxies; /* NULL: none */
    struct loop_garbage garbage;
    enum config_scheme scheme;
    const struct carrier_layer *layer;
    carrier_accepted *accepted;
    void *user;
};

/* A peer over a unix socket is the user that the kernel reports. */
static void identify_user(struct carrier *carrier, uid_t uid) {
    char name[16];
    int len = snprintf(name, sizeof name, "%u", (unsigned)uid);
    carrier_add_identity(carrier, "uid", name, (size_t)len);
}

/* Finds out who the peer is, and writes that as a text for the log, too. */
static void look_at_peer(struct carrier_peer *peer, socklen_t len, int fd, char *text,
                         size_t size) {
    struct endpoint endpoint;
    struct ucred cred = {0};
    socklen_t cred_len = sizeof cred;
    peer->uid = (uid_t)-1;
    if (endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)&peer->addr, len)) {
        endpoint_text(&endpoint, text, size);
    } else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0) {
        peer->uid = cred.uid;
        snprintf(text, size, "unix:pid=%d,uid=%u", (int)cred.pid, (unsigned)cred.uid);
    } else {
        snprintf(text, size, "unix");
    }
}

static void hand_out(struct carrier_listener *listener, int fd, const struct carrier_peer *peer,
                     const char *text) {
    struct carrier *carrier = carrier_scheme_make(listener->scheme, listener->acceptor.loop, fd,
                                                  text, listener->layer, NULL);
    if (carrier && peer->uid != (uid_t)-1)
        identify_user(carrier, peer->uid);
    if (carrier)
        listener->accepted(listener->user, carrier, peer);
    else
        log_about(LOG_ERR, ABOUT(.peer = text), "carrier refused: %s", strerror(errno));
}

static bool is_proxy(const struct carrier_listener *listener, const struct sockaddr_storage *addr,
                     socklen_t len, struct endpoint *endpoint) {
    return listener->proxies &&
           endpoint_from_sockaddr(endpoint, (const struct sockaddr *)addr, len) &&
           networks_have(listener->proxies, endpoint);
}

static void on_accepted(struct acceptor *acceptor, int fd, const struct sockaddr_storage *addr,
                        socklen_t len) {
    struct carrier_listener *listener = container_of(acceptor, struct carrier_listener, acceptor);
    struct carrier_peer peer = {.addr = *addr, .since_us = loop_now_us(acceptor->loop)};
    char text[CARRIER_TEXT_SIZE];
    struct endpoint proxy;
    if (is_proxy(listener, addr, len, &proxy)) {
        proxy_gate_enter(&listener->gate, fd, &proxy);
        return;
    }
    look_at_peer(&peer, len, fd, text, sizeof text);
    hand_out(listener, fd, &peer, text);
}

/* One that says of nobody is a proxy's own, to see whether somebody is there. */
static void on_passed(struct proxy_gate *gate, int fd, const struct endpoint *proxy,
                      const struct proxy_header *header, uint64_t since_us) {
    struct carrier_listener *listener = container_of(gate, struct carrier_listener, gate);
    const struct endpoint *source = header->source.family ? &header->source : proxy;
    struct carrier_peer peer = {.uid = (uid_t)-1, .since_us = since_us};
    char from[ENDPOINT_TEXT_SIZE], via[ENDPOINT_TEXT_SIZE], text[CARRIER_TEXT_SIZE];
    endpoint_to_sockaddr(source, &peer.addr);
    snprintf(text, sizeof text, "%s via %s", endpoint_text(source, from, sizeof from),
             endpoint_text(proxy, via, sizeof via));
    hand_out(listener, fd, &peer, text);
}

static void on_starved(struct acceptor *acceptor, int error) {
    (void)acceptor;
    log_error("carriers cannot be accepted: %s; pausing", strerror(-error));
}

static const struct acceptor_ops acceptor_ops = {.accepted = on_accepted, .starved = on_starved};

struct carrier_listener *carrier_listener_new(struct loop *loop, int fd, enum config_scheme scheme,
                                              const struct carrier_layer *layer,
                                              carrier_accepted *accepted, void *user) {
    if (carrier_scheme_has_layer(scheme) && !layer) {
        errno = EPROTONOSUPPORT;
        return NULL;
    }
    struct carrier_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    *listener = (struct carrier_listener){.scheme = scheme,
                                          .layer = layer,
                                          .accepted = accepted,
                                          .user = user,
                                          .gate = {.loop = loop, .passed = on_passed}};
    list_init(&listener->gate.waiting);
    int error = acceptor_start(&listener->acceptor, loop, fd, 1, &acceptor_ops);
    if (error == 0)
        return listener;
    free(listener);
    errno = -error;
    return NULL;
}

void carrier_listener_accept_proxy(struct carrier_listener *listener,
                                   const struct networks *networks, struct handshakes *handshakes,
                                   uint64_t within_us) {
    listener->proxies = networks;
    listener->gate.handshakes = handshakes;
    listener->gate.within_us = within_us;
}

void carrier_listener_stop(struct carrier_listener *listener) {
    acceptor_stop(&listener->acceptor);
}

bool carrier_listener_is_busy(const struct carrier_listener *listener) {
    return !list_is_empty(&listener->gate.waiting);
}

static void free_listener(struct loop_garbage *garbage) {
    free(container_of(garbage, struct carrier_listener, garbage));
}

void carrier_listener_close(struct carrier_listener *listener) {
    struct loop *loop = listener->acceptor.loop;
    acceptor_stop(&listener->acceptor);
    proxy_gate_close(&listener->gate);
    loop_discard(loop, &listener->garbage, free_listener);
}
