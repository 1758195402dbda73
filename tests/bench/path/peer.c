/* SPDX-License-Identifier: MIT */
/*
 * peer.c - the server for the benchmark's own clients; net.h lists what it does for them.
 *
 *     peer [--port N] [--control-port N]
 *
 * Prints "port control-port". The control port serves the same roles but is not routed, so that
 * questions ('q') do not take the path that is measured. Idle connections cost an epoll entry, busy
 * ones a thread each, so that they disturb each other no more than two programs would.
 */
#include "tests/bench/path/net.h"

#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>

static struct counter { atomic_ullong id, bytes; } counters[COUNTERS_MAX];

static void serve_echo(int fd) {
    char data[65536];
    ssize_t n;
    while ((n = read(fd, data, sizeof data)) > 0 && write_all(fd, data, (size_t)n))
        ;
}

/* The counter of this id, a free one if it has none yet, or NULL if all are taken. */
static struct counter *take_counter(unsigned long long id) {
    for (int i = 0; i < COUNTERS_MAX; i++) {
        unsigned long long none = 0;
        if (atomic_compare_exchange_strong(&counters[i].id, &none, id))
            return &counters[i];
    }
    return NULL;
}

static void serve_discard(int fd) {
    static _Thread_local char data[BULK_SIZE];
    unsigned char head[9];
    uint64_t id;
    ssize_t n;
    if (!read_all(fd, head, sizeof head))
        return;
    memcpy(&id, head + 1, sizeof id);
    struct counter *counter = take_counter(id);
    if (!counter)
        return;
    while ((n = read(fd, data, sizeof data)) > 0)
        atomic_fetch_add_explicit(&counter->bytes, (unsigned long long)n, memory_order_relaxed);
    atomic_store(&counter->bytes, 0);
    atomic_store(&counter->id, 0);
}

static void serve_source(int fd) {
    static char data[BULK_SIZE];
    while (write_all(fd, data, sizeof data))
        ;
}

static void serve_hold(int fd) {
    unsigned char head[2];
    if (read_all(fd, head, sizeof head))
        sleep_ns(head[1] * NS_PER_S);
}

static void serve_report(int fd) {
    struct report report = {.now_ns = now_ns()};
    for (int i = 0; i < COUNTERS_MAX; i++) {
        uint64_t id = atomic_load(&counters[i].id);
        if (!id)
            continue;
        report.counter[report.n].id = id;
        report.counter[report.n++].bytes = atomic_load(&counters[i].bytes);
    }
    write_all(fd, &report, sizeof report);
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    char role = 0;
    nodelay(fd);
    if (recv(fd, &role, 1, MSG_PEEK) == 1) {
        switch (role) {
        case 'e':
            serve_echo(fd);
            break;
        case 'd':
            serve_discard(fd);
            break;
        case 's':
            serve_source(fd);
            break;
        case 'h':
            serve_hold(fd);
            break;
        case 'q':
            serve_report(fd);
            break;
        }
    }
    close(fd);
    return NULL;
}

/* Busy connections leave the epoll set. */
static void serve_in_thread(int epoll, int fd) {
    pthread_t thread;
    pthread_attr_t attributes;
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    if (pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd) != 0)
        close(fd);
    pthread_attr_destroy(&attributes);
}

/* The connection has sent its role, or has ended. */
static void on_event(int epoll, int fd) {
    char role = 0;
    if (recv(fd, &role, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
        close(fd);
    else if (role == 'i' && read(fd, &role, 1) == 1)
        write_all(fd, "i", 1);
    else
        serve_in_thread(epoll, fd);
}

static void accept_all(int epoll, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
    if (errno == EMFILE || errno == ENFILE)
        die("accept: %s", strerror(errno));
}

static void loop(const int listeners[2]) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = listeners[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &event);
    }
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listeners[0] || fd == listeners[1])
                accept_all(epoll, fd);
            else
                on_event(epoll, fd);
        }
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"control-port", required_argument, NULL, 'c'},
                                            {0}};
    uint16_t ports[2] = {0, 0};
    int listeners[2], option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'p' && option != 'c')
            return 2;
        ports[option == 'c'] = (uint16_t)number(option == 'c' ? "control-port" : "port", optarg, 0);
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < 2; i++)
        listeners[i] = listen_on(ports[i], SOCK_NONBLOCK, &ports[i]);
    printf("%u %u\n", ports[0], ports[1]);
    fflush(stdout);
    loop(listeners);
}
