/* local.c - see local.h: listening and admitting. The requests themselves are in local_request.c. */
#include "helper/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/admission.h"
#include "helper/closer.h"
#include "helper/helper.h"
#include "helper/listen.h"
#include "helper/local_request.h"
#include "helper/log.h"
#include "shim/control.h"

/* Connections accepted in one go, so that a crowd of them leaves time for data. */
#define ACCEPTS_PER_TURN 64

/* After running out of descriptors: how long those who wait are left waiting in the backlog. */
#define ACCEPT_PAUSE_US 100000u

/* Requests of users who are not allowed, waiting to be told so: they must not crowd out the others. */
#define REFUSED_PENDING_MAX 256

struct local_listener {
    struct local *local;
    struct loop_watch watch;
};

struct local {
    struct helper *helper;
    struct local_listener path, abstract;
    struct loop_timer pause;
    struct sockaddr_un name; /* of the path socket */
    int reserve;             /* a descriptor given up to refuse politely when there are none left */
};

static void on_listener(struct loop_watch *watch, uint32_t events);

static int open_reserve(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool listen_at(struct local *local, struct local_listener *listener,
                      const struct sockaddr_un *name, socklen_t len) {
    const char *why = "cannot watch";
    uint32_t mode = admission_socket_mode(&local->helper->config->helper);
    int fd = listen_open_unix((const struct sockaddr *)name, len, mode, &why);
    int error = fd;
    listener->local = local;
    if (fd >= 0) {
        error = loop_watch_add(local->helper->reactor.loop, &listener->watch, fd,
                               EPOLLIN | LOOP_LEVEL, on_listener);
        if (error == 0)
            return true;
        close(fd);
    }
    log_error("socket %s%s: %s: %s", name->sun_path[0] ? "" : "@",
              name->sun_path + (name->sun_path[0] ? 0 : 1), why, strerror(-error));
    return false;
}

struct local *local_new(struct helper *helper, const char *path) {
    struct sockaddr_un name;
    struct local *local = calloc(1, sizeof *local);
    if (!local)
        return NULL;
    local->helper = helper;
    local->reserve = open_reserve();
    socklen_t len = shim_path_name(&local->name, path);
    if (len && listen_at(local, &local->path, &local->name, len)) {
        len = shim_abstract_name(&name, path);
        if (!listen_at(local, &local->abstract, &name, len))
            log_warn("programs in a chroot cannot reach this helper: its abstract name is taken");
        return local;
    }
    local_free(local);
    return NULL;
}

void local_stop(struct local *local) {
    if (!local || !local->path.watch.open)
        return;
    loop_timer_clear(local->helper->reactor.loop, &local->pause);
    unlink(local->name.sun_path);
    loop_watch_close(&local->path.watch);
    loop_watch_close(&local->abstract.watch);
}

void local_free(struct local *local) {
    if (!local)
        return;
    local_stop(local);
    if (local->reserve >= 0)
        close(local->reserve);
    free(local);
}

/* ---- Accepting ---- */

static void resume(struct loop_timer *timer) {
    struct local *local = container_of(timer, struct local, pause);
    struct loop *loop = local->helper->reactor.loop;
    loop_watch_mask(loop, &local->path.watch, EPOLLIN | LOOP_LEVEL);
    loop_watch_mask(loop, &local->abstract.watch, EPOLLIN | LOOP_LEVEL);
}

/* Out of descriptors: the one in reserve serves to refuse who is first in the queue, who would
 * otherwise hang; then a pause, as there will not be one for the next either. */
static void refuse_without_descriptors(struct local_listener *listener, int error) {
    struct local *local = listener->local;
    struct loop *loop = local->helper->reactor.loop;
    log_error("connection refused: %s", strerror(error));
    if (local->reserve >= 0) {
        close(local->reserve);
        int fd = accept4(listener->watch.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        local->reserve = open_reserve();
    }
    loop_watch_mask(loop, &local->path.watch, LOOP_LEVEL);
    loop_watch_mask(loop, &local->abstract.watch, LOOP_LEVEL);
    loop_timer_set(loop, &local->pause, loop_now_us(loop) + ACCEPT_PAUSE_US, resume);
}

static void admit(struct local *local, int fd) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
        close(fd);
        return;
    }
    bool allowed = admission_check(&local->helper->admission, fd, &cred);
    if (!allowed && local->helper->refused_pending >= REFUSED_PENDING_MAX) {
        closer_close(fd);
        return;
    }
    if (!local_request_new(local->helper, fd, &cred, allowed)) {
        log_error("pid %d: request refused: out of memory", (int)cred.pid);
        closer_close(fd);
    }
}

static void on_listener(struct loop_watch *watch, uint32_t events) {
    struct local_listener *listener = container_of(watch, struct local_listener, watch);
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && watch->open; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(listener->local, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            refuse_without_descriptors(listener, errno);
        return;
    }
}
