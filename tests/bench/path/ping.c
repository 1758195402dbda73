/* SPDX-License-Identifier: MIT */
/*
 * ping.c - the time that a small request takes.
 *
 *     ping --port N [--seconds S] [--size BYTES] [--fresh]
 *          [--background none|up|down|stopped] [--settle S]
 *
 * One connection repeatedly sends --size bytes and waits for as many back. With --fresh every
 * request has a connection of its own, and its time covers connect, request and answer. In the
 * background another process moves bulk data up or down, or has one stream each way whose reader
 * has stopped. Prints "requests p50_us p99_us".
 */
#include "tests/bench/path/net.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SAMPLES_MAX  4000000
#define ANSWER_MAX_S 5
#define SIZE_MAX_    65536

static struct {
    uint16_t port;
    double seconds, settle_s;
    size_t size;
    bool fresh;
    const char *background;
} config = {.seconds = 1, .settle_s = 0.3, .size = 64, .background = "none"};

static void bulk_up(void) {
    static char data[BULK_SIZE] = {'d', 1};
    int fd = dial(config.port);
    while (write_all(fd, data, sizeof data))
        ;
    die("bulk: %s", strerror(errno));
}

static void bulk_down(void) {
    static char data[BULK_SIZE];
    int fd = dial(config.port);
    if (!write_all(fd, "s", 1))
        die("bulk: %s", strerror(errno));
    while (read(fd, data, sizeof data) > 0)
        ;
    die("bulk: %s", strerror(errno));
}

/* Two streams: one up that the far end does not read, one down that this end does not read. */
static void stopped(void) {
    static char data[BULK_SIZE] = {'h', 0};
    int up = dial(config.port), down = dial(config.port);
    data[1] = (char)(config.seconds + config.settle_s + 1);
    if (!write_all(down, "s", 1))
        die("stopped stream: %s", strerror(errno));
    while (write_all(up, data, sizeof data))
        ;
    pause();
}

static pid_t start_background(void) {
    static const struct {
        const char *name;
        void (*run)(void);
    } kinds[] = {{"up", bulk_up}, {"down", bulk_down}, {"stopped", stopped}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, config.background) != 0)
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            kinds[i].run();
            _exit(1);
        }
        return pid;
    }
    if (strcmp(config.background, "none") == 0)
        return 0;
    fprintf(stderr, "ping: --background: expected none, up, down or stopped\n");
    exit(2);
}

/* A stuck path must be reported as an error. */
static int dial_with_limit(void) {
    int fd = dial(config.port);
    struct timeval limit = {.tv_sec = ANSWER_MAX_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* One request; its time in ns. */
static int64_t request(int *fd) {
    static char out[SIZE_MAX_] = {'e'}, in[SIZE_MAX_];
    int64_t start = now_ns();
    if (*fd < 0)
        *fd = dial_with_limit();
    if (!write_all(*fd, out, config.size) || !read_all(*fd, in, config.size))
        die("request: %s", errno == EAGAIN ? "no answer" : errno ? strerror(errno) : "the end");
    int64_t took = now_ns() - start;
    if (memcmp(out, in, config.size) != 0)
        die("the answer differs from the request");
    if (config.fresh) {
        close(*fd);
        *fd = -1;
    }
    return took;
}

static void run(pid_t background) {
    static int64_t sample[SAMPLES_MAX];
    size_t n = 0;
    int fd = -1;
    int64_t warm_until = now_ns() + (int64_t)(config.seconds * 0.1 * NS_PER_S);
    int64_t until = now_ns() + (int64_t)(config.seconds * 1.1 * NS_PER_S);
    do
        request(&fd);
    while (!config.fresh && now_ns() < warm_until);
    do
        sample[n++] = request(&fd);
    while (n < SAMPLES_MAX && now_ns() < until);
    if (background && waitpid(background, NULL, WNOHANG) != 0)
        die("the background ended too early");
    qsort(sample, n, sizeof *sample, compare_ns);
    printf("%zu %.2f %.2f\n", n, (double)quantile(sample, n, 0.5) / 1e3,
           (double)quantile(sample, n, 0.99) / 1e3);
}

static void parse(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"size", required_argument, NULL, 's'},
                                            {"fresh", no_argument, NULL, 'f'},
                                            {"background", required_argument, NULL, 'b'},
                                            {"settle", required_argument, NULL, 'w'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            config.port = (uint16_t)number("port", optarg, 1);
            break;
        case 't':
            config.seconds = number("seconds", optarg, 0.01);
            break;
        case 's':
            config.size = (size_t)number("size", optarg, 1);
            break;
        case 'w':
            config.settle_s = number("settle", optarg, 0);
            break;
        case 'f':
            config.fresh = true;
            break;
        case 'b':
            config.background = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (!config.port || config.size > SIZE_MAX_) {
        fprintf(stderr, "ping: expected --port, and a --size of at most %d\n", SIZE_MAX_);
        exit(2);
    }
}

int main(int argc, char **argv) {
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    pid_t background = start_background();
    if (background)
        sleep_ns((int64_t)(config.settle_s * NS_PER_S));
    run(background);
    if (background) {
        kill(background, SIGKILL);
        waitpid(background, NULL, 0);
    }
    return 0;
}
