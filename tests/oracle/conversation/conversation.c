/* SPDX-License-Identifier: MIT */
/*
 * conversation.c - random conversations over one connection each, every byte and every end checked.
 *
 *     conversation [--seed FIRST] [--count N] [--jobs N] [--stall SECONDS]
 *                  [--no-reset] [--via PORT] [--describe]
 *
 * Run it direct: nothing may be wrong. Then under the shim. What is wrong, or makes no progress for
 * --stall seconds, is said with its seed, settings and the command that repeats it.
 *
 * --no-reset: the path cannot tell a reset from an end of file. --via: connect to 127.0.0.1:PORT,
 * where plain_peer takes the first two bytes for the port to connect to.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/oracle/conversation/conversation.h"

static struct {
    uint64_t seed;
    long count, jobs;
    int stall_s, via;
    bool no_reset, describe;
} config = {.seed = 1, .count = 1, .jobs = 1, .stall_s = 20};

void wrong(const struct plan *plan, const char *format, ...) {
    char what[300], settings[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    plan_describe(plan, settings, sizeof settings);
    printf("seed %llu: %s\n    %s\n    repeat: conversation --seed %llu%s\n",
           (unsigned long long)plan->seed, what, settings, (unsigned long long)plan->seed,
           config.no_reset ? " --no-reset" : "");
    fflush(stdout);
    _exit(1);
}

/* ---- The pattern ---- */

#define PERIOD 65521u

int pattern_file;
static uint8_t pattern[3 * PERIOD];

void pattern_init(void) {
    struct rng rng = {12345};
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i < PERIOD ? (uint8_t)rng_next(&rng) : pattern[i - PERIOD];
    pattern_file = memfd_create("pattern", MFD_CLOEXEC);
    if (pattern_file < 0 || write(pattern_file, pattern, sizeof pattern) != sizeof pattern)
        abort();
}

off_t pattern_offset(enum side side, size_t at) {
    return (off_t)((at + (side == CLIENT ? 0 : PERIOD / 2)) % PERIOD);
}

const uint8_t *pattern_at(enum side side, size_t at) {
    return pattern + pattern_offset(side, at);
}

/* ---- The connection ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct world {
    struct plan plan;
    struct talk talk[2];
    union address address;
    socklen_t address_len;
    int listener;
};

static void fail_call(const struct world *world, const char *call) {
    wrong(&world->plan, "%s: %s", call, strerror(errno));
}

static void set_int(int fd, int level, int name, int value) {
    if (setsockopt(fd, level, name, &value, sizeof value) != 0)
        abort();
}

static void set_buffers(const struct part *part, int fd, bool late) {
    if (part->sndbuf && part->buffers_late == late)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, part->sndbuf);
    if (part->rcvbuf && part->buffers_late == late)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, part->rcvbuf);
}

static void set_up(const struct part *part, int fd) {
    struct timeval short_time = {.tv_usec = 20000};
    if (part->nodelay)
        set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (part->write_wait == WAIT_TIMEOUT)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof short_time);
    if (part->read_wait == WAIT_TIMEOUT)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time);
    set_buffers(part, fd, true);
}

static void open_listener(struct world *world) {
    bool ipv6 = world->plan.ipv6 && !config.via;
    world->address_len = ipv6 ? sizeof world->address.v6 : sizeof world->address.v4;
    if (ipv6)
        world->address.v6 =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    else
        world->address.v4 =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    world->listener = socket(world->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_buffers(&world->plan.part[SERVER], world->listener, false);
    if (bind(world->listener, &world->address.any, world->address_len) != 0 ||
        listen(world->listener, 4) != 0 ||
        getsockname(world->listener, &world->address.any, &world->address_len) != 0)
        fail_call(world, "listen");
}

/* Registered before the connect, as event loops do. */
static void wait_connected(const struct world *world, int fd, int epoll) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    struct epoll_event event;
    int error = 0;
    socklen_t len = sizeof error;
    if (epoll >= 0)
        do
            epoll_wait(epoll, &event, 1, -1);
        while (!(event.events & (EPOLLOUT | EPOLLERR)));
    else
        poll(&p, 1, -1);
    /* The query would clear a reset that has already arrived. */
    if (world->plan.shape != SHAPE_AT_ONCE)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        errno = error;
        fail_call(world, "connect");
    }
}

static void connect_by(const struct world *world, int fd, const union address *to, socklen_t len) {
    enum connect_way way = world->plan.connect_way;
    int flags = fcntl(fd, F_GETFL), epoll = -1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    if (way == CONNECT_EPOLL) {
        epoll = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    if (way != CONNECT_BLOCK)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (connect(fd, &to->any, len) != 0) {
        if (errno != EINPROGRESS)
            fail_call(world, "connect");
        wait_connected(world, fd, epoll);
    }
    if (epoll >= 0)
        close(epoll);
    fcntl(fd, F_SETFL, flags);
}

static int open_client(struct world *world) {
    const struct part *part = &world->plan.part[CLIENT];
    union address via = {.v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    int fd =
        socket(config.via ? AF_INET : world->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_buffers(part, fd, false);
    via.v4.sin_port = htons((uint16_t)config.via);
    if (config.via)
        connect_by(world, fd, &via, sizeof via.v4);
    else
        connect_by(world, fd, &world->address, world->address_len);
    if (config.via && write(fd, &world->address.v4.sin_port, 2) != 2)
        fail_call(world, "write");
    return fd;
}

/* ---- The ends ---- */

static void *run_writer(void *argument) {
    talk_write(argument);
    return NULL;
}

static void end_connection(const struct world *world, int fd, enum side side) {
    struct linger now = {.l_onoff = 1};
    if (world->plan.ending == END_RESET && side == world->plan.ender)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (close(fd) != 0)
        fail_call(world, "close");
}

static void run_side(struct world *world, enum side side) {
    struct talk *talk = &world->talk[side];
    const struct plan *plan = &world->plan;
    const struct part *part = &plan->part[side];
    pthread_t writer;
    if (!(plan->shape == SHAPE_AT_ONCE && side == plan->ender))
        set_up(part, talk->fd);
    if (part->nonblocking)
        fcntl(talk->fd, F_SETFL, O_NONBLOCK);
    if (plan->shape == SHAPE_AT_ONCE) {
        talk_write(talk);
    } else {
        pthread_create(&writer, NULL, run_writer, talk);
        talk_read(talk);
        pthread_join(writer, NULL);
    }
    if (plan->shape == SHAPE_AT_ONCE && side != plan->ender)
        talk_read(talk);
    if (plan->ending == END_SHUTDOWN || side != plan->ender)
        talk_expect_end(talk);
    talk->doing_read = talk->doing_write = "closes";
    end_connection(world, talk->fd, side);
    talk->doing_read = talk->doing_write = "is done";
}

static void *run_server(void *argument) {
    struct world *world = argument;
    struct talk *talk = &world->talk[SERVER];
    talk->doing_read = talk->doing_write = "accepts";
    talk->fd = accept4(world->listener, NULL, NULL, SOCK_CLOEXEC);
    if (talk->fd < 0)
        fail_call(world, "accept");
    run_side(world, SERVER);
    return NULL;
}

static void *run_client(void *argument) {
    struct world *world = argument;
    struct talk *talk = &world->talk[CLIENT];
    talk->doing_read = talk->doing_write = "connects";
    talk->fd = open_client(world);
    run_side(world, CLIENT);
    return NULL;
}

/* ---- One conversation, in a process of its own ---- */

static size_t progress(const struct world *world) {
    size_t sum = 0;
    for (int i = 0; i < 2; i++)
        sum += atomic_load(&world->talk[i].sent) + atomic_load(&world->talk[i].got);
    return sum;
}

static void stalled(struct world *world) {
    const struct talk *client = &world->talk[CLIENT], *server = &world->talk[SERVER];
    wrong(
        &world->plan,
        "stalled; the client %s (sent %zu) and %s (got %zu), the server %s (sent %zu) and %s (got "
        "%zu)",
        client->doing_write, client->sent, client->doing_read, client->got, server->doing_write,
        server->sent, server->doing_read, server->got);
}

/* Joins a thread; a conversation that makes no progress for too long has stalled. */
static void join_watching(struct world *world, pthread_t thread) {
    size_t last = progress(world);
    int idle_s = 0;
    struct timespec limit;
    for (;;) {
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec++;
        if (pthread_timedjoin_np(thread, NULL, &limit) == 0)
            return;
        size_t now = progress(world);
        idle_s = now == last ? idle_s + 1 : 0;
        last = now;
        if (idle_s >= config.stall_s)
            stalled(world);
    }
}

static void converse(uint64_t seed) {
    static struct world world;
    pthread_t client, server;
    signal(SIGPIPE, SIG_IGN);
    plan_make(&world.plan, seed, !config.no_reset);
    if (config.describe) {
        char text[1000];
        plan_describe(&world.plan, text, sizeof text);
        printf("seed %llu: %s\n", (unsigned long long)seed, text);
        fflush(stdout);
    }
    open_listener(&world);
    for (int i = 0; i < 2; i++) {
        world.talk[i].plan = &world.plan;
        world.talk[i].side = (enum side)i;
        world.talk[i].doing_read = world.talk[i].doing_write = "starts";
        if (pipe(world.talk[i].pipes) != 0)
            fail_call(&world, "pipe");
    }
    pthread_create(&server, NULL, run_server, &world);
    pthread_create(&client, NULL, run_client, &world);
    join_watching(&world, client);
    join_watching(&world, server);
    _exit(0);
}

/* ---- Many ---- */

static long wait_for_one(void) {
    int status;
    pid_t pid = wait(&status);
    if (pid < 0)
        abort();
    if (WIFSIGNALED(status))
        printf("a conversation was ended by signal %d\n", WTERMSIG(status));
    return status != 0;
}

static long run_all(void) {
    long failed = 0, running = 0;
    for (long i = 0; i < config.count; i++) {
        if (running == config.jobs) {
            failed += wait_for_one();
            running--;
        }
        pid_t pid = fork();
        if (pid < 0)
            abort();
        if (pid == 0)
            converse(config.seed + (uint64_t)i);
        running++;
    }
    for (; running > 0; running--)
        failed += wait_for_one();
    return failed;
}

static void read_options(int argc, char **argv) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"count", required_argument, NULL, 'c'},
        {"jobs", required_argument, NULL, 'j'}, {"stall", required_argument, NULL, 't'},
        {"via", required_argument, NULL, 'v'},  {"no-reset", no_argument, NULL, 'n'},
        {"describe", no_argument, NULL, 'd'},   {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        long value = optarg ? strtol(optarg, NULL, 10) : 0;
        if (c == 's')
            config.seed = (uint64_t)value;
        else if (c == 'c')
            config.count = value;
        else if (c == 'j')
            config.jobs = value;
        else if (c == 't')
            config.stall_s = (int)value;
        else if (c == 'v')
            config.via = (int)value;
        else if (c == 'n')
            config.no_reset = true;
        else if (c == 'd')
            config.describe = true;
        else
            exit(2);
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    pattern_init();
    long failed = run_all();
    printf("conversations: %ld, failed: %ld\n", config.count, failed);
    return failed != 0;
}
