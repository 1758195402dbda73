/* SPDX-License-Identifier: MIT
 *
 * One end of a KCP connection by core/kcp.h, over UDP.  It sends SIZE bytes while it compares as
 * many from the other end; tests/interop/README.md has the rest.
 */
#include "core/kcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define LIMIT_MS   200000u /* for all of it, against hangs */
#define PACKET_MAX 1500
#define PIECE      4096

struct options {
    bool client, careful;
    struct sockaddr_in address;
    uint64_t size;
    uint32_t mtu, window;
};

struct end {
    struct options o;
    int fd;
    smux_kcp *kcp;
    uint64_t put, got;
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "kcp_peer: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static uint32_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
}

/* ---- Options --------------------------------------------------------------------------------- */

static uint64_t number(const char *name, const char *text, uint64_t most) {
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (!*text || *end || n > most)
        fail("%s: expected a number up to %llu, got %s", name, (unsigned long long)most, text);
    return n;
}

static void set_address(struct options *o, const char *text) {
    char host[64];
    unsigned port;
    o->address.sin_family = AF_INET;
    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
        inet_pton(AF_INET, host, &o->address.sin_addr) != 1)
        fail("expected an IPv4 address and a port, got %s", text);
    o->address.sin_port = htons((uint16_t)port);
}

static void set_option(struct options *o, const char *name, const char *value) {
    if (!strcmp(name, "--listen") || !strcmp(name, "--connect")) {
        o->client = !strcmp(name, "--connect");
        set_address(o, value);
    } else if (!strcmp(name, "--size")) {
        o->size = number(name, value, UINT32_MAX);
    } else if (!strcmp(name, "--mtu")) {
        o->mtu = (uint32_t)number(name, value, PACKET_MAX);
    } else if (!strcmp(name, "--window")) {
        o->window = (uint32_t)number(name, value, 32768);
    } else {
        fail("unknown option %s", name);
    }
}

static struct options parse_options(int argc, char **argv) {
    struct options o = {.size = 10 << 20, .mtu = 1400, .window = 128};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--careful")) {
            o.careful = true;
        } else if (i + 1 < argc) {
            set_option(&o, argv[i], argv[i + 1]);
            i++;
        } else {
            fail("%s: expected a value", argv[i]);
        }
    }
    if (!o.address.sin_family)
        fail("expected --listen or --connect HOST:PORT");
    return o;
}

/* ---- The connection -------------------------------------------------------------------------- */

static void open_kcp(struct end *e, uint32_t conv) {
    smux_kcp_config config;
    smux_kcp_config_init(&config);
    config.conv = conv;
    config.mtu = e->o.mtu;
    config.send_window = config.receive_window = e->o.window;
    config.nodelay = config.no_congestion_window = config.ack_no_delay = !e->o.careful;
    config.interval_ms = e->o.careful ? 40 : 10;
    config.resend = e->o.careful ? 0 : 2;
    config.dead_link = 1000; /* a machine that stands still is no failure */
    int error = smux_kcp_new(&e->kcp, &config, NULL);
    if (error)
        fail("cannot make a connection: error %d", error);
}

/* The conversation is the first number of the client's first packet, which stays in the socket. */
static void accept_client(struct end *e) {
    uint8_t packet[PACKET_MAX];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    if (poll(&p, 1, LIMIT_MS) != 1)
        fail("nobody has connected");
    ssize_t got = recvfrom(e->fd, packet, sizeof(packet), MSG_PEEK, (struct sockaddr *)&from, &len);
    if (got < 4 || connect(e->fd, (struct sockaddr *)&from, len))
        fail("the first packet, of %zd bytes, is none of KCP", got);
    open_kcp(e, packet[0] | (uint32_t)packet[1] << 8 | (uint32_t)packet[2] << 16 |
                    (uint32_t)packet[3] << 24);
}

static void open_end(struct end *e) {
    struct sockaddr *address = (struct sockaddr *)&e->o.address;
    e->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (e->fd < 0)
        fail("no socket");
    if (e->o.client) {
        if (connect(e->fd, address, sizeof(e->o.address)))
            fail("cannot connect");
        open_kcp(e, 0x12345678);
        return;
    }
    if (bind(e->fd, address, sizeof(e->o.address)))
        fail("cannot listen at port %u", ntohs(e->o.address.sin_port));
    printf("listening %s:%u\n", inet_ntoa(e->o.address.sin_addr), ntohs(e->o.address.sin_port));
    accept_client(e);
}

/* Byte `i` of what a side sends; the period of 65521 hides no lost or doubled packet. */
static uint8_t byte_at(bool client, uint64_t i) {
    i %= 65521;
    uint8_t b = (uint8_t)(i * 31 + (i >> 8) * 7);
    return client ? b : (uint8_t)~b;
}

static void send_bytes(struct end *e) {
    uint8_t data[PIECE];
    for (size_t taken = 1; taken && e->put < e->o.size; e->put += taken) {
        uint64_t left = e->o.size - e->put;
        size_t len = left < PIECE ? (size_t)left : PIECE;
        for (size_t i = 0; i < len; i++)
            data[i] = byte_at(e->o.client, e->put + i);
        taken = smux_kcp_send(e->kcp, data, len);
    }
}

static void receive_bytes(struct end *e) {
    uint8_t data[PIECE];
    for (size_t len; (len = smux_kcp_recv(e->kcp, data, PIECE)); e->got += len)
        for (size_t i = 0; i < len; i++)
            if (e->got + i >= e->o.size || data[i] != byte_at(!e->o.client, e->got + i))
                fail("byte %ju differs", (uintmax_t)e->got + i);
}

/* A packet that the system does not take is a lost one. */
static void exchange_packets(struct end *e, uint32_t wait_ms) {
    uint8_t packet[PACKET_MAX];
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    (void)poll(&p, 1, (int)wait_ms);
    ssize_t got;
    while ((got = recv(e->fd, packet, sizeof(packet), MSG_DONTWAIT)) >= 0)
        if (smux_kcp_input(e->kcp, packet, (size_t)got, clock_ms()))
            fail("a packet of %zd bytes is malformed", got);
    receive_bytes(e);
    send_bytes(e);
    for (size_t len; (len = smux_kcp_output(e->kcp, packet, clock_ms()));)
        (void)send(e->fd, packet, len, MSG_DONTWAIT);
}

/* Until somebody ends the process, so that what the other end still needs is acknowledged. */
static void serve(struct end *e) {
    uint32_t start = clock_ms();
    bool done = false;
    while (clock_ms() - start < LIMIT_MS) {
        uint32_t wait = smux_kcp_timeout(e->kcp, clock_ms());
        exchange_packets(e, wait < 1000 ? wait : 1000);
        bool all = e->got == e->o.size && e->put == e->o.size;
        if (all && !smux_kcp_unacknowledged(e->kcp) && !done) {
            printf("ok %llu bytes\n", (unsigned long long)e->o.size);
            done = true;
        }
        if (smux_kcp_is_dead(e->kcp))
            fail("the link is dead");
    }
    fail("it takes too long");
}

int main(int argc, char **argv) {
    static struct end e;
    setvbuf(stdout, NULL, _IOLBF, 0);
    e.o = parse_options(argc, argv);
    open_end(&e);
    serve(&e);
}
