/* SPDX-License-Identifier: MIT */
/* proxy_acceptor.c - see proxy_acceptor.h: who may connect to a listener, and as whose program. */
#include "helper/client/proxy_acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/client/proxy_client.h"
#include "helper/net/log.h"
#include "helper/net/peer_user.h"
#include "helper/net/stranger.h"

/* Connections accepted per turn, so that many of them do not delay data. */
#define ACCEPTS_PER_TURN 64

static struct log_kind refusals = {.what = "refused connections of proxy clients"};

static struct proxy_socket *socket_of(struct acceptor *acceptor) {
    return container_of(acceptor, struct proxy_socket, acceptor);
}

static void turn_away(struct proxy_listener *listener, int fd, const struct proxy_peer *peer,
                      const char *why) {
    log_few(&refusals, LOG_WARNING, ABOUT(.listener = listener->text, .from = peer->text),
            "request refused: %s", why);
    if (peer->is_unix)
        stranger_close(fd, peer->cred.uid);
    else
        close(fd); /* which is a reset */
}

static bool is_loopback(const struct endpoint *address) {
    static const uint8_t v6[16] = {[15] = 1};
    struct endpoint plain = endpoint_unmapped(address);
    if (plain.family == AF_INET)
        return plain.addr[0] == 127;
    return memcmp(plain.addr, v6, sizeof v6) == 0;
}

static void look_at_tcp_peer(struct proxy_listener *listener, int fd, struct proxy_peer *peer) {
    struct sockaddr_storage addr;
    struct endpoint own;
    socklen_t len = sizeof addr;
    peer->cred = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    struct endpoint plain = endpoint_unmapped(&peer->address);
    endpoint_text(&plain, peer->text, sizeof peer->text);
    if (is_loopback(&peer->address) && getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
        endpoint_from_sockaddr(&own, (struct sockaddr *)&addr, len))
        peer_user_find(listener->shared->users_fd, &peer->address, &own, &peer->cred.uid);
}

static void look_at_unix_peer(int fd, struct proxy_peer *peer) {
    socklen_t len = sizeof peer->cred;
    peer->is_unix = true;
    peer->cred = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer->cred, &len);
    snprintf(peer->text, sizeof peer->text, "pid %d, uid %u", (int)peer->cred.pid,
             (unsigned)peer->cred.uid);
}

/* NULL, or why this peer may not use the listener. */
static const char *objection(const struct proxy_listener *listener, int fd,
                             const struct proxy_peer *peer) {
    const struct admission *admission = listener->shared->admission;
    if (listener->connections >= listener->config.max_connections)
        return "more connections than max-connections";
    if (peer->is_unix)
        return admission_check(admission, fd, &peer->cred)
                   ? NULL
                   : "the user is not among allow-users or allow-groups";
    if (listener->logins || listener->config.insecure)
        return NULL;
    if (peer->cred.uid == (uid_t)-1)
        return "the kernel does not say whose program this is";
    return admission_check_user(admission, peer->cred.uid) ? NULL
                                                           : "the user is not among allow-users";
}

/* Of one who is neither the helper's own user nor root. NULL if memory is short. */
static struct account *account_of(struct proxy_listener *listener, const struct proxy_peer *peer,
                                  bool *limited) {
    const struct admission *admission = listener->shared->admission;
    *limited = peer->cred.uid != 0 && peer->cred.uid != admission->own;
    return *limited ? account_get(&listener->shared->conns->upstreams->accounts, peer->cred.uid)
                    : NULL;
}

static void admit(struct proxy_listener *listener, int fd, const struct proxy_peer *peer) {
    const char *why = objection(listener, fd, peer);
    bool limited;
    if (why) {
        turn_away(listener, fd, peer, why);
        return;
    }
    struct account *account = account_of(listener, peer, &limited);
    if (limited && !account)
        why = "out of memory";
    else if (account && account->requests >= ACCOUNT_REQUESTS_MAX)
        why = "too many of this user's requests are incomplete";
    else
        why = proxy_client_new(listener, fd, peer, account);
    if (!why)
        return;
    turn_away(listener, fd, peer, why);
    account_put(&listener->shared->conns->upstreams->accounts, account);
}

static void on_accepted(struct acceptor *acceptor, int fd, const struct sockaddr_storage *addr,
                        socklen_t len) {
    struct proxy_listener *listener = socket_of(acceptor)->listener;
    struct proxy_peer peer = {0};
    listener->accepted_total++;
    if (endpoint_from_sockaddr(&peer.address, (const struct sockaddr *)addr, len))
        look_at_tcp_peer(listener, fd, &peer);
    else
        look_at_unix_peer(fd, &peer);
    admit(listener, fd, &peer);
}

static void on_starved(struct acceptor *acceptor, int error) {
    log_about(LOG_ERR, ABOUT(.listener = socket_of(acceptor)->listener->text),
              "requests cannot be accepted: %s; pausing", strerror(-error));
}

static const struct acceptor_ops acceptor_ops = {.accepted = on_accepted, .starved = on_starved};

/* A client that has vanished without a word is noticed after so long, and some probes. */
#define SILENCE_S 300

/* What is accepted inherits these, which saves system calls. Until its end is known to be orderly,
 * a close, and so the death of this process, is a reset for the client (relay_end_tcp). */
static void prepare(int fd) {
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int one = 1, silence_s = SILENCE_S;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &silence_s, sizeof silence_s);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int proxy_acceptor_start(struct proxy_listener *listener, unsigned index, int fd) {
    struct proxy_socket *socket = &listener->socket[index];
    struct loop *loop = listener->shared->conns->reactor->loop;
    *socket =
        (struct proxy_socket){.listener = listener, .address = listener->config.address[index]};
    if (socket->address.scheme != CONFIG_UNIX)
        prepare(fd);
    return acceptor_start(&socket->acceptor, loop, fd, ACCEPTS_PER_TURN, &acceptor_ops);
}
