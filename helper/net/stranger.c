/* SPDX-License-Identifier: MIT */
/* stranger.c - see stranger.h. */
#include "helper/net/stranger.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/common/list.h"
#include "helper/net/log.h"

#define STACK_SIZE (64 * 1024)

/* The signal that ends a close that lingers: the kernel waits only until one is pending. */
#define NUDGE_SIGNAL SIGALRM

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct job {
    struct list_link link; /* in user.jobs */
    int fd;
    int sndbuf; /* to be set first; 0: none */
    int done;   /* closed last, which notifies the loop; -1: none */
};

/* A user who has something to close now. */
struct user {
    struct list_link link; /* in pool.users */
    uid_t uid;
    unsigned waiting, busy; /* jobs, threads */
    struct list jobs;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list users;   /* whose turn it is comes first */
    atomic_uint waiting; /* written under the lock */
    unsigned threads, idle, threads_max, per_user;
};

static struct pool admitted = {.lock = PTHREAD_MUTEX_INITIALIZER,
                               .work = PTHREAD_COND_INITIALIZER,
                               .users = LIST_INITIALIZER(admitted.users),
                               .threads_max = STRANGER_THREADS_MAX,
                               .per_user = STRANGER_THREADS_PER_USER};
static struct pool refused = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .work = PTHREAD_COND_INITIALIZER,
                              .users = LIST_INITIALIZER(refused.users),
                              .threads_max = STRANGER_REFUSED_THREADS_MAX,
                              .per_user = STRANGER_REFUSED_THREADS_PER_USER};

/* ---- Users, under the pool's lock ---- */

static struct user *known_user(const struct pool *pool, uid_t uid) {
    list_for_each(link, &pool->users) {
        struct user *user = container_of(link, struct user, link);
        if (user->uid == uid)
            return user;
    }
    return NULL;
}

static struct user *find_user(struct pool *pool, uid_t uid) {
    struct user *user = known_user(pool, uid);
    if (user || !(user = calloc(1, sizeof *user)))
        return user;
    user->uid = uid;
    list_init(&user->jobs);
    list_append(&pool->users, &user->link);
    return user;
}

/* The next user: the first who has a job and not too many threads. He then becomes the last. */
static struct user *next_user(struct pool *pool) {
    list_for_each(link, &pool->users) {
        struct user *user = container_of(link, struct user, link);
        if (user->waiting == 0 || user->busy >= pool->per_user)
            continue;
        list_remove(link);
        list_append(&pool->users, link);
        return user;
    }
    return NULL;
}

static void forget_if_done(struct user *user) {
    if (user->waiting > 0 || user->busy > 0)
        return;
    list_remove(&user->link);
    free(user);
}

static struct job *take_job(struct pool *pool, struct user *user) {
    struct job *job = container_of(list_first(&user->jobs), struct job, link);
    list_remove(&job->link);
    user->waiting--;
    pool->waiting--;
    user->busy++;
    return job;
}

/* ---- Threads ---- */

static void on_nudge(int signo) {
    (void)signo;
}

/* A timer whose signal comes to this thread. False if there is none: closes then linger. */
static bool make_nudger(timer_t *timer) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = NUDGE_SIGNAL};
    sigset_t nudge;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    sigemptyset(&nudge);
    sigaddset(&nudge, NUDGE_SIGNAL);
    return timer_create(CLOCK_MONOTONIC, &event, timer) == 0 &&
           pthread_sigmask(SIG_UNBLOCK, &nudge, NULL) == 0;
}

static void nudge(timer_t timer, bool on) {
    static const struct timespec often = {.tv_nsec = STRANGER_LINGER_US * 1000};
    timer_settime(timer, 0, on ? &(struct itimerspec){often, often} : &(struct itimerspec){0},
                  NULL);
}

static void close_without_lingering(int fd, bool have_timer, timer_t timer) {
    if (have_timer)
        nudge(timer, true);
    close(fd);
    if (have_timer)
        nudge(timer, false);
}

static void *run(void *arg) {
    struct pool *pool = arg;
    timer_t timer = 0;
    bool have_timer = make_nudger(&timer);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct user *user = next_user(pool);
        if (!user) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
            continue;
        }
        struct job *job = take_job(pool, user);
        pthread_mutex_unlock(&pool->lock);
        if (job->sndbuf)
            setsockopt(job->fd, SOL_SOCKET, SO_SNDBUF, &job->sndbuf, sizeof job->sndbuf);
        close_without_lingering(job->fd, have_timer, timer);
        if (job->done >= 0)
            close(job->done);
        free(job);
        pthread_mutex_lock(&pool->lock);
        user->busy--;
        forget_if_done(user);
    }
    return NULL;
}

static void take_nudges(void) {
    struct sigaction action = {.sa_handler = on_nudge, .sa_flags = SA_RESTART};
    sigaction(NUDGE_SIGNAL, &action, NULL);
}

void stranger_guard(bool on) {
    static timer_t timer;
    static bool made;
    if (on && !made) {
        take_nudges();
        made = make_nudger(&timer);
    }
    if (made)
        nudge(timer, on);
}

/* Signals go to the main thread, except for those of the timers. */
static bool start_thread(struct pool *pool) {
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    take_nudges();
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&thread, &attr, run, pool) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return started;
}

/* ---- Jobs ---- */

static bool submit(struct pool *pool, uid_t uid, struct job what) {
    struct job *job = malloc(sizeof *job);
    pthread_mutex_lock(&pool->lock);
    struct user *user = job ? find_user(pool, uid) : NULL;
    if (user) {
        *job = what;
        list_append(&user->jobs, &job->link);
        user->waiting++;
        pool->waiting++;
        if (pool->idle >= pool->waiting)
            pthread_cond_signal(&pool->work);
        else if (pool->threads < pool->threads_max && user->busy < pool->per_user &&
                 start_thread(pool))
            pool->threads++;
        else
            pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!user)
        free(job);
    return user;
}

void stranger_close(int fd, uid_t uid) {
    if (fd >= 0 && !submit(&admitted, uid, (struct job){.fd = fd, .done = -1}))
        log_of(LOG_ERR, ABOUT(.uid = uid), "a descriptor stays open: out of memory");
}

void stranger_refuse(int fd, uid_t uid) {
    if (!submit(&refused, uid, (struct job){.fd = fd, .done = -1}))
        log_of(LOG_ERR, ABOUT(.uid = uid), "a descriptor stays open: out of memory");
}

bool stranger_set_sndbuf(int fd, uid_t uid, int sndbuf, int done) {
    return submit(&admitted, uid, (struct job){.fd = fd, .sndbuf = sndbuf, .done = done});
}

bool stranger_is_jammed(uid_t uid) {
    if (atomic_load_explicit(&admitted.waiting, memory_order_relaxed) < STRANGER_JAMMED)
        return false;
    pthread_mutex_lock(&admitted.lock);
    const struct user *user = known_user(&admitted, uid);
    bool jammed = user && user->waiting >= STRANGER_JAMMED;
    pthread_mutex_unlock(&admitted.lock);
    return jammed;
}

unsigned stranger_refused_waiting(void) {
    return atomic_load_explicit(&refused.waiting, memory_order_relaxed);
}

/* ---- Receiving ---- */

static bool close_received(struct msghdr *msg, uid_t uid) {
    bool any = msg->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        any = any || count > 0;
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            stranger_close(fd, uid);
        }
    }
    return any;
}

static ssize_t receive(int fd, uid_t uid, struct iovec *iov, int count, int flags, bool *received) {
    union {
        char space[CMSG_SPACE(STRANGER_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = (size_t)count,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n;
    *received = false;
    if (stranger_is_jammed(uid))
        return -ECONNABORTED;
    do
        n = recvmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (msg.msg_controllen > 0 || msg.msg_flags & MSG_CTRUNC)
        *received = close_received(&msg, uid);
    return n;
}

ssize_t stranger_receive(int fd, uid_t uid, struct iovec *iov, int count, bool *descriptors) {
    return receive(fd, uid, iov, count, 0, descriptors);
}

ssize_t stranger_peek(int fd, uid_t uid, void *data, size_t len, bool *cut) {
    return receive(fd, uid, &(struct iovec){data, len}, 1, MSG_PEEK, cut);
}
