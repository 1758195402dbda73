/* SPDX-License-Identifier: MIT */
/*
 * strangers.c - many who connect to a gateway and never say who they are.
 *
 *     strangers --port N [--count N] [--rate N] [--sources N]
 *
 * Opens --count connections, --rate of them per second, from as many addresses of 127.1.0.0/16 as
 * --sources says. A third of them says nothing, a third sends the hello of a TLS client and nothing
 * more, and a third sends a byte of it every second. Prints "opened open", how many were opened and
 * how many of these the gateway has not closed, when all have been opened; then holds them until
 * its input ends.
 */
#include "tests/bench/path/net.h"

#include <getopt.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define UP_TO_32                                                                                   \
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, \
        27, 28, 29, 30, 31, 32

/* The hello of a client that offers one key (x25519) and no secret, with ALPN "smux". */
static const uint8_t hello[] = {
    22,
    3,
    1,
    0,
    151,
    1,
    0,
    0,
    147,
    3,
    3,
    /* random */ UP_TO_32,
    /* no session; TLS_AES_128_GCM_SHA256; no compression; extensions */ 0,
    0,
    2,
    0x13,
    1,
    1,
    0,
    0,
    104,
    /* ALPN */ 0,
    16,
    0,
    7,
    0,
    5,
    4,
    's',
    'm',
    'u',
    'x',
    /* groups: x25519 */ 0,
    10,
    0,
    4,
    0,
    2,
    0,
    29,
    /* signatures: ecdsa_secp256r1_sha256 */ 0,
    13,
    0,
    4,
    0,
    2,
    4,
    3,
    /* versions: TLS 1.3 */ 0,
    43,
    0,
    3,
    2,
    3,
    4,
    /* key exchange with a secret */ 0,
    45,
    0,
    2,
    1,
    1,
    /* server name */ 0,
    0,
    0,
    18,
    0,
    16,
    0,
    0,
    13,
    'g',
    'a',
    't',
    'e',
    'w',
    'a',
    'y',
    '.',
    't',
    'e',
    's',
    't',
    's',
    /* key: any 32 bytes are one */ 0,
    51,
    0,
    38,
    0,
    36,
    0,
    29,
    0,
    32,
    UP_TO_32};

static struct {
    uint16_t port;
    size_t count, sources;
    double rate;
} config = {.count = 20000, .sources = 500, .rate = 2000};

static struct stranger {
    int fd; /* -1: not open */
    size_t said;
} * strangers;
static size_t opened, open_now;
static int epoll;

static void dial_from(size_t i) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = loopback(config.port);
    size_t source = i % config.sources;
    from.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)source);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("stranger %zu: %s", i, strerror(errno));
    if (i % 3 == 1 && !write_all(fd, hello, sizeof hello) && errno != EPIPE && errno != ECONNRESET)
        die("stranger %zu: %s", i, strerror(errno));
    strangers[i] = (struct stranger){fd, 0};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLRDHUP, .data.u64 = i});
    opened++;
    open_now++;
}

/* Closes those that the gateway has closed. */
static void look(int wait_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, wait_ms);
    for (int i = 0; i < n; i++) {
        struct stranger *s = &strangers[events[i].data.u64];
        close(s->fd);
        s->fd = -1;
        open_now--;
    }
}

/* A byte from each of those that say one a second. */
static void drip(void) {
    static int64_t due_ns;
    if (now_ns() < due_ns)
        return;
    due_ns = now_ns() + NS_PER_S;
    for (size_t i = 2; i < opened; i += 3) {
        struct stranger *s = &strangers[i];
        if (s->fd >= 0 && s->said < sizeof hello && write_all(s->fd, hello + s->said, 1))
            s->said++;
    }
}

static void open_all(void) {
    int64_t start = now_ns();
    for (size_t i = 0; i < config.count; i++) {
        while ((double)(now_ns() - start) / 1e9 * config.rate < (double)i)
            look(1);
        if (i % 64 == 0)
            look(0);
        dial_from(i);
        drip();
    }
}

/* Waits until the gateway has accepted them all, and closes no more. */
static void settle(void) {
    size_t before = 0;
    for (int64_t end = now_ns() + 5 * NS_PER_S; before != open_now && now_ns() < end;) {
        before = open_now;
        for (int64_t half = now_ns() + NS_PER_S / 2; now_ns() < half;)
            look(10);
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"sources", required_argument, NULL, 's'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p')
            config.port = (uint16_t)number("port", optarg, 1);
        else if (option == 'n')
            config.count = (size_t)number("count", optarg, 1);
        else if (option == 'r')
            config.rate = number("rate", optarg, 1);
        else if (option == 's')
            config.sources = (size_t)number("sources", optarg, 1);
        else
            return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    strangers = calloc(config.count, sizeof *strangers);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!strangers || epoll < 0 || config.port == 0)
        die("expected --port, and memory");
    open_all();
    settle();
    printf("%zu %zu\n", opened, open_now);
    fflush(stdout);
    char byte;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 0) == 0 || read(0, &byte, 1) > 0) {
        look(20);
        drip();
    }
    return 0;
}
