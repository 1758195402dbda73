/* SPDX-License-Identifier: MIT */
/*
 * bulk.c - the throughput of each of several bulk streams, measured at the receiving end.
 *
 *     bulk --port N --control-port N [--streams N] [--seconds S] [--warm S] [--reverse]
 *
 * The clients write, and the peer reports how much has arrived at the start and at the end of the
 * measured time. With --reverse the peer sends and the clients count. Prints one line:
 * "bytes_per_second" of every stream.
 */
#include "tests/bench/path/net.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static struct {
    uint16_t port, control_port;
    int streams;
    double seconds, warm_s;
    bool reverse;
} config = {.streams = 1, .seconds = 2, .warm_s = 0.5};

static int sockets[COUNTERS_MAX];
static atomic_ullong received[COUNTERS_MAX]; /* with --reverse */
static atomic_bool measured;
static uint64_t id_base;

/* A stream has ended, which is allowed only after everything has been measured. */
static void *stream_over(const char *what) {
    if (!atomic_load(&measured))
        die("%s: %s", what, errno ? strerror(errno) : "the other end closed");
    return NULL;
}

static void *write_stream(void *argument) {
    static char data[BULK_SIZE];
    int fd = sockets[(intptr_t)argument] = dial(config.port);
    unsigned char head[9] = {'d'};
    uint64_t id = id_base + (uint64_t)(intptr_t)argument;
    memcpy(head + 1, &id, sizeof id);
    if (!write_all(fd, head, sizeof head))
        die("write: %s", strerror(errno));
    while (write_all(fd, data, sizeof data))
        ;
    return stream_over("write");
}

static void *read_stream(void *argument) {
    char *data = malloc(BULK_SIZE);
    int fd = sockets[(intptr_t)argument] = dial(config.port);
    ssize_t n;
    if (!data || !write_all(fd, "s", 1))
        die("write: %s", strerror(errno));
    while ((n = read(fd, data, BULK_SIZE)) > 0)
        atomic_fetch_add(&received[(intptr_t)argument], (unsigned long long)n);
    errno = n < 0 ? errno : 0;
    return stream_over("read");
}

/* What has arrived so far on each stream, and when that was observed. */
static void look(struct report *report) {
    if (config.reverse) {
        report->now_ns = now_ns();
        for (int i = 0; i < config.streams; i++)
            report->counter[i].bytes = atomic_load(&received[i]);
        return;
    }
    struct report all;
    int fd = dial(config.control_port);
    if (!write_all(fd, "q", 1) || !read_all(fd, &all, sizeof all))
        die("the peer does not report");
    close(fd);
    *report = (struct report){.now_ns = all.now_ns};
    for (uint32_t i = 0; i < all.n; i++) {
        uint64_t stream = all.counter[i].id - id_base;
        if (stream < (uint64_t)config.streams)
            report->counter[stream].bytes = all.counter[i].bytes;
    }
}

static void parse(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"control-port", required_argument, NULL, 'c'},
                                            {"streams", required_argument, NULL, 'n'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"warm", required_argument, NULL, 'w'},
                                            {"reverse", no_argument, NULL, 'r'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            config.port = (uint16_t)number("port", optarg, 1);
            break;
        case 'c':
            config.control_port = (uint16_t)number("control-port", optarg, 1);
            break;
        case 'n':
            config.streams = (int)number("streams", optarg, 1);
            break;
        case 't':
            config.seconds = number("seconds", optarg, 0.01);
            break;
        case 'w':
            config.warm_s = number("warm", optarg, 0);
            break;
        case 'r':
            config.reverse = true;
            break;
        default:
            exit(2);
        }
    }
    if (!config.port || !config.control_port || config.streams > COUNTERS_MAX) {
        fprintf(stderr, "bulk: expected --port, --control-port and at most %d --streams\n",
                COUNTERS_MAX);
        exit(2);
    }
}

int main(int argc, char **argv) {
    struct report begin = {0}, end = {0};
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    id_base = (uint64_t)getpid() << 16 | 1;
    for (intptr_t i = 0; i < config.streams; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, config.reverse ? read_stream : write_stream, (void *)i))
            die("no thread");
    }
    sleep_ns((int64_t)(config.warm_s * NS_PER_S));
    look(&begin);
    sleep_ns((int64_t)(config.seconds * NS_PER_S));
    look(&end);
    atomic_store(&measured, true);
    double took_s = (double)(end.now_ns - begin.now_ns) / NS_PER_S;
    for (int i = 0; i < config.streams; i++)
        printf("%.0f ", (double)(end.counter[i].bytes - begin.counter[i].bytes) / took_s);
    putchar('\n');
    fflush(stdout);
    /* Data in transit must not disturb the next measurement. The threads are blocked. */
    for (int i = 0; i < config.streams; i++) {
        setsockopt(sockets[i], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                   sizeof(struct linger));
        close(sockets[i]);
    }
    _exit(0);
}
