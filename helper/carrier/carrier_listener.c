/* SPDX-License-Identifier: MIT */
/* carrier_listener.c - see carrier_listener.h. */
#include "helper/carrier/carrier_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/common/endpoint.h"
#include "helper/carrier/carrier_socket.h"
#include "helper/net/log.h"

/* After running out of descriptors. */
#define ACCEPT_PAUSE_US 100000u

struct carrier_listener {
    struct loop *loop;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    bool tcp;
    carrier_accepted *accepted;
    void *user;
};

static void resume(struct loop_timer *timer) {
    struct carrier_listener *listener = container_of(timer, struct carrier_listener, timer);
    loop_watch_mask(listener->loop, &listener->watch, EPOLLIN | LOOP_LEVEL);
}

static void pause_accepting(struct carrier_listener *listener, int error) {
    struct loop *loop = listener->loop;
    log_error("carriers cannot be accepted: %s; pausing", strerror(error));
    loop_watch_mask(loop, &listener->watch, LOOP_LEVEL);
    loop_timer_set(loop, &listener->timer, loop_now_us(loop) + ACCEPT_PAUSE_US, resume);
}

/* Looks at who it is, and returns that as a text for the log as well. */
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

static void on_listener(struct loop_watch *watch, uint32_t events) {
    struct carrier_listener *listener = container_of(watch, struct carrier_listener, watch);
    struct carrier_peer peer = {0};
    socklen_t len = sizeof peer.addr;
    char text[CARRIER_TEXT_SIZE];
    (void)events;
    int fd = accept4(watch->fd, (struct sockaddr *)&peer.addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            pause_accepting(listener, errno);
        return;
    }
    look_at_peer(&peer, len, fd, text, sizeof text);
    struct carrier *carrier = carrier_new_socket(listener->loop, fd, listener->tcp, text);
    if (carrier) {
        listener->accepted(listener->user, carrier, &peer);
    } else {
        log_error("%s: carrier refused: %s", text, strerror(errno));
        close(fd);
    }
}

struct carrier_listener *carrier_listener_new(struct loop *loop, int fd, bool tcp,
                                              carrier_accepted *accepted, void *user) {
    struct carrier_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return NULL;
    *listener =
        (struct carrier_listener){.loop = loop, .tcp = tcp, .accepted = accepted, .user = user};
    int error = loop_watch_add(loop, &listener->watch, fd, EPOLLIN | LOOP_LEVEL, on_listener);
    if (error == 0)
        return listener;
    free(listener);
    errno = -error;
    return NULL;
}

static void free_listener(struct loop_garbage *garbage) {
    free(container_of(garbage, struct carrier_listener, garbage));
}

void carrier_listener_close(struct carrier_listener *listener) {
    loop_timer_clear(listener->loop, &listener->timer);
    loop_watch_close(&listener->watch);
    loop_discard(listener->loop, &listener->garbage, free_listener);
}
