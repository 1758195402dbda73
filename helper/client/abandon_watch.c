/* SPDX-License-Identifier: MIT */
/* abandon_watch.c - see abandon_watch.h. */
#include "helper/client/abandon_watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/client/holders.h"
#include "helper/net/log.h"

#define LOOK_US 250000u

/* The thread searches for at most one part in LOOK_SHARE of the time. */
#define LOOK_SHARE 20

#define STACK_SIZE (256 * 1024)

/* What the loop and the thread share. Only the loop writes `target` while no search is in progress,
 * and only the thread during one. */
struct look {
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool wanted, quit; /* under the lock */
    struct holders_target target[HOLDERS_TARGETS_MAX];
    size_t count;
    uint64_t took_us;
    /* Used by the loop only. */
    struct abandon_watches *watches;
    struct loop_watch watch;                        /* an eventfd: the search has finished */
    struct abandon_watch *who[HOLDERS_TARGETS_MAX]; /* NULL: watch stopped meanwhile */
    bool busy, thread;                              /* a search is in progress; the thread exists */
    int event_fd;
};

static void on_look(struct loop_timer *timer);

/* ---- The thread ---- */

static void free_look(struct look *look) {
    if (look->event_fd >= 0)
        close(look->event_fd);
    pthread_mutex_destroy(&look->lock);
    pthread_cond_destroy(&look->work);
    free(look);
}

static void *run(void *arg) {
    struct look *look = arg;
    pthread_mutex_lock(&look->lock);
    for (;;) {
        while (!look->wanted && !look->quit)
            pthread_cond_wait(&look->work, &look->lock);
        if (look->quit)
            break;
        look->wanted = false;
        pthread_mutex_unlock(&look->lock);
        uint64_t began_us = loop_clock_us();
        holders_look(look->target, look->count);
        look->took_us = loop_clock_us() - began_us;
        eventfd_write(look->event_fd, 1);
        pthread_mutex_lock(&look->lock);
    }
    pthread_mutex_unlock(&look->lock);
    free_look(look);
    return NULL;
}

/* The thread blocks all signals; the main thread handles them. */
static bool start_thread(struct look *look) {
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&thread, &attr, run, look) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return started;
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
        look->target[count] = (struct holders_target){
            .pid = pending->conn->pid, .fd = pending->holder_fd, .inode = pending->inode};
        look->who[count] = pending;
        pending->slot = &look->who[count++];
    }
    return count;
}

static void begin_look(struct abandon_watches *watches, struct look *look) {
    look->count = choose(watches, look, loop_now_us(watches->loop));
    look->thread = look->thread || start_thread(look);
    if (look->count == 0 || !look->thread)
        return;
    look->busy = true;
    pthread_mutex_lock(&look->lock);
    look->wanted = true;
    pthread_cond_signal(&look->work);
    pthread_mutex_unlock(&look->lock);
}

static void abandon(struct conn *conn) {
    char what[CONN_TEXT_SIZE];
    log_of(conn->uid, LOG_INFO, "pid %d, uid %u: connect to %s: given up by the program",
           (int)conn->pid, (unsigned)conn->uid, conn_describe(conn, what, sizeof what));
    conn_end(conn, ECANCELED);
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
    uint64_t now_us = loop_now_us(watches->loop), pause_us = look->took_us * LOOK_SHARE;
    eventfd_t times;
    (void)events;
    if (eventfd_read(look->event_fd, &times) < 0)
        return;
    look->busy = false;
    watches->due_us = now_us + (pause_us > LOOK_US ? pause_us : LOOK_US);
    for (size_t i = 0; i < look->count; i++)
        if (look->who[i])
            judge(look->who[i], &look->target[i]);
    look_later(watches);
}

/* NULL for want of memory or descriptors: abandoned connects then end at their timeout. */
static struct look *look_new(struct abandon_watches *watches) {
    struct look *look = calloc(1, sizeof *look);
    if (!look)
        return NULL;
    pthread_mutex_init(&look->lock, NULL);
    pthread_cond_init(&look->work, NULL);
    look->watches = watches;
    look->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (look->event_fd >= 0 && loop_watch_add(watches->loop, &look->watch, look->event_fd,
                                              EPOLLIN | LOOP_LEVEL, on_answers) == 0)
        return look;
    free_look(look);
    return NULL;
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

void abandon_watches_fini(struct abandon_watches *watches) {
    struct look *look = watches->look;
    if (!look)
        return;
    watches->look = NULL;
    loop_timer_clear(watches->loop, &watches->timer);
    loop_watch_release(watches->loop, &look->watch);
    if (!look->thread) {
        free_look(look);
        return;
    }
    pthread_mutex_lock(&look->lock);
    look->quit = true;
    pthread_cond_signal(&look->work);
    pthread_mutex_unlock(&look->lock);
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
