/* SPDX-License-Identifier: MIT */
/* shim_listener.c - see shim_listener.h: listens and admits users. shim_request.c handles the
 * requests. */
#include "helper/client/shim_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "helper/client/admission.h"
#include "helper/client/shim_request.h"
#include "helper/net/acceptor.h"
#include "helper/net/listen.h"
#include "helper/net/log.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/stranger.h"

/* Connections accepted per turn, so that many of them do not delay data. */
#define ACCEPTS_PER_TURN 64

/* The descriptor table counts as nearly full when so few numbers are left. */
#define NEARLY_FULL 1024

struct local_listener {
    struct shim_listener *local;
    struct acceptor acceptor;
};

struct shim_listener {
    struct conns *conns;
    struct abandon_watches *watches;
    const struct admission *admission;
    struct local_listener path, abstract;
    struct loop_timer guard; /* until the next check of the descriptor table */
    struct sockaddr_un name; /* of the path socket */
    int reserve; /* a descriptor to release in order to refuse a client when none is left */
};

static const struct acceptor_ops listener_ops;

static int open_reserve(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool listen_at(struct shim_listener *local, struct local_listener *listener,
                      const struct sockaddr_un *name, socklen_t len) {
    const char *why = "cannot watch";
    uint32_t mode = admission_socket_mode(&local->conns->config->helper);
    int fd = listen_open_unix((const struct sockaddr *)name, len, mode, &why);
    int error = fd;
    listener->local = local;
    if (fd >= 0) {
        error = acceptor_start(&listener->acceptor, local->conns->reactor->loop, fd,
                               ACCEPTS_PER_TURN, &listener_ops);
        if (error == 0)
            return true;
        close(fd);
    }
    log_error("socket %s%s: %s: %s", name->sun_path[0] ? "" : "@",
              name->sun_path + (name->sun_path[0] ? 0 : 1), why, strerror(-error));
    return false;
}

struct shim_listener *shim_listener_new(struct conns *conns, struct abandon_watches *watches,
                                        const struct admission *admission, const char *path) {
    struct sockaddr_un name;
    struct shim_listener *local = calloc(1, sizeof *local);
    if (!local)
        return NULL;
    local->conns = conns;
    local->watches = watches;
    local->admission = admission;
    local->reserve = open_reserve();
    socklen_t len = helper_path_name(&local->name, path);
    if (len && listen_at(local, &local->path, &local->name, len)) {
        len = helper_abstract_name(&name, path);
        if (!listen_at(local, &local->abstract, &name, len))
            log_warn("programs in a chroot cannot reach this helper: its abstract name is taken");
        return local;
    }
    shim_listener_free(local);
    return NULL;
}

/* Clients in the backlog may have sent descriptors whose closing blocks; these are closed with the
 * listener. */
static void close_listener(struct local_listener *listener) {
    int fd = acceptor_release(&listener->acceptor);
    if (fd >= 0)
        stranger_refuse(fd, (uid_t)-1);
}

void shim_listener_stop(struct shim_listener *local) {
    if (!local || !local->path.acceptor.watch.open)
        return;
    loop_timer_clear(local->conns->reactor->loop, &local->guard);
    stranger_guard(false);
    if (!passed_sockets_was_lent(local->path.acceptor.watch.fd))
        unlink(local->name.sun_path);
    close_listener(&local->path);
    close_listener(&local->abstract);
}

void shim_listener_free(struct shim_listener *local) {
    if (!local)
        return;
    shim_listener_stop(local);
    if (local->reserve >= 0)
        close(local->reserve);
    free(local);
}

/* ---- Accepting ---- */

static struct shim_listener *shim_listener_of(struct acceptor *acceptor) {
    return container_of(acceptor, struct local_listener, acceptor)->local;
}

static void on_resumed(struct acceptor *acceptor) {
    struct shim_listener *local = shim_listener_of(acceptor);
    if (local->reserve < 0)
        local->reserve = open_reserve();
}

static void end_guard(struct loop_timer *timer) {
    (void)timer;
    stranger_guard(false);
}

static void guard(struct shim_listener *local) {
    struct loop *loop = local->conns->reactor->loop;
    if (!local->guard.armed)
        stranger_guard(true);
    loop_timer_set(loop, &local->guard, loop_now_us(loop) + ACCEPTOR_PAUSE_US, end_guard);
}

static bool peer_of(int fd, struct ucred *cred) {
    socklen_t len = sizeof *cred;
    *cred = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) == 0;
}

/* Out of descriptors: the reserved one is used to refuse the first client in the backlog, which
 * would otherwise hang; then accepting pauses, because there will be none for the next one
 * either. */
static void refuse_without_descriptors(struct acceptor *acceptor, int error) {
    struct shim_listener *local = shim_listener_of(acceptor);
    struct ucred cred;
    log_error("requests cannot be accepted: %s; pausing", strerror(-error));
    guard(local);
    if (local->reserve >= 0) {
        close(local->reserve);
        int fd = accept4(acceptor->watch.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && peer_of(fd, &cred))
            stranger_refuse(fd, cred.uid);
        else if (fd >= 0)
            stranger_refuse(fd, (uid_t)-1);
        local->reserve = open_reserve();
    }
    acceptor_pause(&local->path.acceptor);
    acceptor_pause(&local->abstract.acceptor);
}

/* Sends the reason (CONTROL.md, "Refusal") to a peer from which nothing has been read. Does not
 * block; the other end may be gone. */
static void say_refusal(int fd, int error) {
    const uint8_t why = (uint8_t)-error; /* all fit */
    ssize_t sent = send(fd, &why, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
}

/* Nothing sent by a stranger is read, and closing the helper's end with unread data may block, so a
 * thread closes it. If that thread is busy, a shutdown notifies the other end at once. */
static void refuse_stranger(int fd, const struct ucred *cred) {
    log_of(LOG_WARNING, ABOUT(.pid = cred->pid, .uid = cred->uid),
           "request refused: the user is not among allow-users or allow-groups");
    say_refusal(fd, -EACCES);
    if (stranger_refused_waiting() > 0)
        shutdown(fd, SHUT_RDWR);
    stranger_refuse(fd, cred->uid);
}

static void turn_away(int fd, const struct ucred *cred, int error, const char *why) {
    log_of(LOG_WARNING, ABOUT(.pid = cred->pid, .uid = cred->uid), "request refused: %s", why);
    say_refusal(fd, error);
    stranger_close(fd, cred->uid);
}

static void admit(struct shim_listener *local, int fd) {
    struct accounts *accounts = &local->conns->upstreams->accounts;
    struct ucred cred;
    if (!peer_of(fd, &cred) || !admission_check(local->admission, fd, &cred)) {
        refuse_stranger(fd, &cred);
        return;
    }
    bool limited = cred.uid != 0 && cred.uid != local->admission->own;
    struct account *account = limited ? account_get(accounts, cred.uid) : NULL;
    if (stranger_is_jammed(cred.uid))
        turn_away(fd, &cred, -EAGAIN, "descriptors that it has sent cannot be closed");
    else if (account && account->requests >= ACCOUNT_REQUESTS_MAX)
        turn_away(fd, &cred, -EAGAIN, "too many of this user's are incomplete");
    else if ((limited && !account) ||
             !shim_request_new(local->conns, local->watches, fd, &cred, account))
        turn_away(fd, &cred, -ENETUNREACH, "out of memory");
    else
        return;
    account_put(accounts, account);
}

static void on_accepted(struct acceptor *acceptor, int fd, const struct sockaddr_storage *addr,
                        socklen_t len) {
    struct shim_listener *local = shim_listener_of(acceptor);
    (void)addr;
    (void)len;
    if ((uint32_t)fd + NEARLY_FULL >= local->conns->descriptors)
        guard(local);
    admit(local, fd);
}

static bool may_accept(struct acceptor *acceptor) {
    (void)acceptor;
    return stranger_refused_waiting() < STRANGER_REFUSED_MAX;
}

static const struct acceptor_ops listener_ops = {.accepted = on_accepted,
                                                 .starved = refuse_without_descriptors,
                                                 .may_accept = may_accept,
                                                 .resumed = on_resumed};
