/* closer.c - see closer.h. */
#include "helper/closer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/log.h"

#define STACK_SIZE (64 * 1024)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    int queue[CLOSER_QUEUE_MAX]; /* a ring */
    unsigned head, count;
    unsigned threads, idle;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static void *run(void *unused) {
    (void)unused;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.count == 0) {
            pool.idle++;
            pthread_cond_wait(&pool.work, &pool.lock);
            pool.idle--;
        }
        int fd = pool.queue[pool.head];
        pool.head = (pool.head + 1) % CLOSER_QUEUE_MAX;
        pool.count--;
        pthread_mutex_unlock(&pool.lock);
        close(fd);
        pthread_mutex_lock(&pool.lock);
    }
    return NULL;
}

/* Signals are the main thread's. */
static bool start_thread(void) {
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&thread, &attr, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return started;
}

void closer_close(int fd) {
    if (fd < 0)
        return;
    pthread_mutex_lock(&pool.lock);
    bool fits = pool.count < CLOSER_QUEUE_MAX;
    if (fits) {
        pool.queue[(pool.head + pool.count) % CLOSER_QUEUE_MAX] = fd;
        pool.count++;
        if (pool.idle >= pool.count)
            pthread_cond_signal(&pool.work);
        else if (pool.threads < CLOSER_THREADS_MAX && start_thread())
            pool.threads++;
    }
    pthread_mutex_unlock(&pool.lock);
    if (!fits)
        log_error("a client's descriptor stays open: %u closes are blocked", CLOSER_QUEUE_MAX);
}

static bool close_received(struct msghdr *msg) {
    bool any = msg->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        any = any || count > 0;
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            closer_close(fd);
        }
    }
    return any;
}

static ssize_t receive(int fd, struct iovec *iov, int count, int flags, bool *received) {
    union {
        char space[CMSG_SPACE(CLOSER_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = (size_t)count,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *received = false;
    if (n < 0)
        return -errno;
    if (msg.msg_controllen > 0 || msg.msg_flags & MSG_CTRUNC)
        *received = close_received(&msg);
    return n;
}

ssize_t closer_receive(int fd, struct iovec *iov, int count, bool *descriptors) {
    return receive(fd, iov, count, 0, descriptors);
}

ssize_t closer_peek(int fd, void *data, size_t len, bool *cut) {
    return receive(fd, &(struct iovec){data, len}, 1, MSG_PEEK, cut);
}
