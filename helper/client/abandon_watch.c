/* SPDX-License-Identifier: MIT */
/* abandon_watch.c - see abandon_watch.h. */
#include "helper/client/abandon_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/client/holders.h"
#include "helper/net/log.h"
#include "helper/net/subprocess.h"
#include "helper/net/system_calls.h"

#define LOOK_US 250000u

/* Searches take at most one part in LOOK_SHARE of the time. */
#define LOOK_SHARE 20

/* A request to the child, and its answer. */
struct message {
    uint64_t took_us;
    size_t count;
    struct holders_target target[HOLDERS_TARGETS_MAX];
};

struct look {
    struct abandon_watches *watches;
    struct subprocess child;                        /* no socket: not started */
    enum config_sandbox mode;                       /* the child's sandbox */
    struct loop_watch watch;                        /* of its socket: the search has finished */
    struct abandon_watch *who[HOLDERS_TARGETS_MAX]; /* NULL: watch stopped meanwhile */
    bool busy;                                      /* a search is in progress */
    bool failed;                                    /* there is no child any more, or never was */
    struct message message;
};

static void on_look(struct loop_timer *timer);
static void on_answers(struct loop_watch *watch, uint32_t events);

/* ---- The child ---- */

static void run(int socket, void *user) {
    const struct look *look = user;
    static struct message message;
    holders_skip(getppid());
#ifndef SMUX_SANITIZED
    if (look->mode != CONFIG_SANDBOX_NO)
        system_calls_restrict(SANDBOX_LOOKER, look->mode == CONFIG_SANDBOX_LOG, false);
#else
    (void)look;
#endif
    for (;;) {
        ssize_t n = recv(socket, &message, sizeof message, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof message || message.count > HOLDERS_TARGETS_MAX)
            return;
        uint64_t began_us = loop_clock_us();
        holders_look(message.target, message.count);
        message.took_us = loop_clock_us() - began_us;
        send(socket, &message, sizeof message, MSG_NOSIGNAL);
    }
}

static bool start_child(struct look *look) {
    if (look->child.socket >= 0 || look->failed)
        return !look->failed;
    int error = subprocess_start(&look->child, "smux-looks", run, look);
    if (error == 0)
        error = loop_watch_add(look->watches->loop, &look->watch, look->child.socket,
                               EPOLLIN | LOOP_LEVEL, on_answers);
    look->failed = error != 0;
    if (error)
        log_error("abandoned connects end at their timeout: no child that searches for them: %s",
                  strerror(-error));
    return error == 0;
}

/* ---- Turns ---- */

/* The timer runs whenever there is something to search for and no search is in progress. */
static void look_later(struct abandon_watches *watches) {
    struct loop *loop = watches->loop;
    uint64_t due_us = loop_now_us(loop) + LOOK_US;
    if (list_is_empty(&watches->all) || watches->timer.armed || !watches->look ||
        watches->look->busy)
        return;
    if (due_us < watches->due_us)
        due_us = watches->due_us;
    loop_timer_set(loop, &watches->timer, due_us, on_look);
}

/* Takes those whose turn it is and who have waited long enough. */
static size_t choose(struct abandon_watches *watches, struct look *look, uint64_t now_us) {
    struct stat status;
    size_t count = 0;
    struct list_link *link, *begun = list_first(&watches->all);
    for (int i = 0; begun && i < HOLDERS_TARGETS_MAX; i++) {
        link = list_first(&watches->all);
        if (i > 0 && link == begun)
            break;
        list_remove(link);
        list_append(&watches->all, link);
        struct abandon_watch *pending = container_of(link, struct abandon_watch, link);
        if (now_us - pending->since_us < LOOK_US)
            continue;
        if (pending->inode == 0 && fstat(pending->app_fd, &status) == 0)
            pending->inode = status.st_ino;
        look->message.target[count] = (struct holders_target){
            .pid = pending->conn->pid, .fd = pending->holder_fd, .inode = pending->inode};
        look->who[count] = pending;
        pending->slot = &look->who[count++];
    }
    return count;
}

static void begin_look(struct abandon_watches *watches, struct look *look) {
    look->message.count = choose(watches, look, loop_now_us(watches->loop));
    if (look->message.count == 0 || !start_child(look))
        return;
    ssize_t n =
        send(look->child.socket, &look->message, sizeof look->message, MSG_NOSIGNAL | MSG_DONTWAIT);
    look->busy = n == (ssize_t)sizeof look->message;
}

static void abandon(struct conn *conn) {
    char what[CONN_TEXT_SIZE];
    log_of(LOG_INFO,
           ABOUT(.pid = conn->pid, .uid = conn->uid,
                 .destination = conn_describe(conn, what, sizeof what)),
           "connect to %s failed: given up by the program", what);
    conn_end(conn, -ECANCELED);
}

/* A search may miss a descriptor that moves meanwhile, but two in a row hardly will. */
static void judge(struct abandon_watch *pending, const struct holders_target *target) {
    bool gone = target->gone && pending->missed;
    pending->slot = NULL;
    pending->holder_fd = target->fd;
    pending->missed = target->gone;
    if (gone)
        abandon(pending->conn);
}

static void on_answers(struct loop_watch *watch, uint32_t events) {
    struct look *look = container_of(watch, struct look, watch);
    struct abandon_watches *watches = look->watches;
    uint64_t now_us = loop_now_us(watches->loop);
    (void)events;
    ssize_t n = recv(look->child.socket, &look->message, sizeof look->message, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    look->busy = false;
    if (n != (ssize_t)sizeof look->message) {
        log_error("abandoned connects end at their timeout: the child that searches for them has "
                  "ended");
        look->failed = true;
        loop_watch_close(watch);
        return;
    }
    uint64_t pause_us = look->message.took_us * LOOK_SHARE;
    watches->due_us = now_us + (pause_us > LOOK_US ? pause_us : LOOK_US);
    for (size_t i = 0; i < look->message.count; i++)
        if (look->who[i])
            judge(look->who[i], &look->message.target[i]);
    look_later(watches);
}

/* NULL for want of memory: abandoned connects then end at their timeout. */
static struct look *look_new(struct abandon_watches *watches) {
    struct look *look = calloc(1, sizeof *look);
    if (look) {
        look->watches = watches;
        look->child.socket = -1;
    }
    return look;
}

static void on_look(struct loop_timer *timer) {
    struct abandon_watches *watches = container_of(timer, struct abandon_watches, timer);
    begin_look(watches, watches->look);
    look_later(watches);
}

/* ---- Life ---- */

void abandon_watches_init(struct abandon_watches *watches, struct loop *loop) {
    watches->loop = loop;
    list_init(&watches->all);
    watches->look = look_new(watches);
}

void abandon_watches_prepare(struct abandon_watches *watches, enum config_sandbox mode) {
    if (!watches->look)
        return;
    watches->look->mode = mode;
    start_child(watches->look);
}

/* The child ends as its socket is closed. */
void abandon_watches_fini(struct abandon_watches *watches) {
    struct look *look = watches->look;
    if (!look)
        return;
    watches->look = NULL;
    loop_timer_clear(watches->loop, &watches->timer);
    loop_watch_close(&look->watch);
    free(look);
}

void abandon_watch_start(struct abandon_watches *watches, struct abandon_watch *pending,
                         struct conn *conn, int app_fd, int holder_fd) {
    pending->watches = watches;
    pending->conn = conn;
    pending->app_fd = app_fd;
    pending->holder_fd = holder_fd;
    pending->since_us = loop_now_us(watches->loop);
    list_append(&watches->all, &pending->link);
    look_later(watches);
}

void abandon_watch_stop(struct abandon_watch *pending) {
    if (!pending->conn)
        return;
    list_remove(&pending->link);
    if (pending->slot)
        *pending->slot = NULL;
    pending->slot = NULL;
    pending->conn = NULL;
}
