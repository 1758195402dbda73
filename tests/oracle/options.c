/* SPDX-License-Identifier: MIT */
/*
 * options.c - socket options: read and set, before connect and after, and read back.
 *
 * Values that the kernel chooses (buffer sizes, segment sizes) are not printed: they differ between
 * two direct runs as well.
 */
#include <sys/time.h>

#include "oracle.h"

struct option {
    const char *name;
    int level, option;
    int set;             /* the value to set; -1: only read */
    bool volatile_value; /* do not print what reads back */
};

#define INTEGER(level, option, value)                                                              \
    { #option, level, option, value, false }
#define SIZE(level, option, value)                                                                 \
    { #option, level, option, value, true }
#define READ_ONLY(level, option)                                                                   \
    { #option, level, option, -1, false }
#define READ_SIZE(level, option)                                                                   \
    { #option, level, option, -1, true }

static const struct option options[] = {
    INTEGER(SOL_SOCKET, SO_KEEPALIVE, 1),
    INTEGER(SOL_SOCKET, SO_OOBINLINE, 1),
    INTEGER(SOL_SOCKET, SO_RCVLOWAT, 3),
    INTEGER(SOL_SOCKET, SO_PRIORITY, 4),
    INTEGER(SOL_SOCKET, SO_REUSEADDR, 1),
    INTEGER(SOL_SOCKET, SO_REUSEPORT, 1),
    INTEGER(SOL_SOCKET, SO_BROADCAST, 1),
    INTEGER(SOL_SOCKET, SO_DONTROUTE, 0),
    INTEGER(SOL_SOCKET, SO_SNDBUF, 20000),
    INTEGER(SOL_SOCKET, SO_RCVBUF, 30000),
    INTEGER(SOL_SOCKET, SO_SNDBUF, 1),
    INTEGER(SOL_SOCKET, SO_RCVBUF, 1),
    SIZE(SOL_SOCKET, SO_SNDBUF, 400000),
    INTEGER(SOL_SOCKET, SO_MARK, 5),
    INTEGER(SOL_SOCKET, SO_NO_CHECK, 0),
    INTEGER(SOL_SOCKET, SO_TIMESTAMP, 1),
    INTEGER(SOL_SOCKET, SO_BUSY_POLL, 0),
    READ_ONLY(SOL_SOCKET, SO_TYPE),
    READ_ONLY(SOL_SOCKET, SO_DOMAIN),
    READ_ONLY(SOL_SOCKET, SO_PROTOCOL),
    READ_ONLY(SOL_SOCKET, SO_ACCEPTCONN),
    READ_ONLY(SOL_SOCKET, SO_ERROR),
    READ_SIZE(SOL_SOCKET, SO_SNDBUF),
    INTEGER(SOL_SOCKET, SO_TYPE, 1),
    INTEGER(SOL_SOCKET, SO_PROTOCOL, 6),
    INTEGER(SOL_SOCKET, 12345, 1),
    INTEGER(IPPROTO_TCP, TCP_NODELAY, 1),
    INTEGER(IPPROTO_TCP, TCP_NODELAY, 7),
    INTEGER(IPPROTO_TCP, TCP_NODELAY, 0),
    INTEGER(IPPROTO_TCP, TCP_CORK, 1),
    INTEGER(IPPROTO_TCP, TCP_CORK, 0),
    INTEGER(IPPROTO_TCP, TCP_KEEPIDLE, 33),
    INTEGER(IPPROTO_TCP, TCP_KEEPIDLE, 0),
    INTEGER(IPPROTO_TCP, TCP_KEEPIDLE, 40000),
    INTEGER(IPPROTO_TCP, TCP_KEEPINTVL, 44),
    INTEGER(IPPROTO_TCP, TCP_KEEPINTVL, -5),
    INTEGER(IPPROTO_TCP, TCP_KEEPCNT, 5),
    INTEGER(IPPROTO_TCP, TCP_KEEPCNT, 128),
    INTEGER(IPPROTO_TCP, TCP_SYNCNT, 3),
    INTEGER(IPPROTO_TCP, TCP_SYNCNT, 999),
    INTEGER(IPPROTO_TCP, TCP_LINGER2, 20),
    INTEGER(IPPROTO_TCP, TCP_QUICKACK, 0),
    INTEGER(IPPROTO_TCP, TCP_USER_TIMEOUT, 5000),
    INTEGER(IPPROTO_TCP, TCP_USER_TIMEOUT, -1),
    INTEGER(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384),
    INTEGER(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1),
    INTEGER(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 5),
    INTEGER(IPPROTO_TCP, TCP_THIN_DUPACK, 1),
    INTEGER(IPPROTO_TCP, TCP_SAVE_SYN, 1),
    READ_SIZE(IPPROTO_TCP, TCP_MAXSEG),
    READ_SIZE(IPPROTO_TCP, TCP_WINDOW_CLAMP),
    READ_SIZE(IPPROTO_TCP, TCP_TIMESTAMP),
    INTEGER(IPPROTO_TCP, TCP_INFO, 1),
    INTEGER(IPPROTO_TCP, 12345, 1),
    INTEGER(IPPROTO_IP, IP_TOS, 16),
    INTEGER(IPPROTO_IP, IP_TTL, 33),
    INTEGER(IPPROTO_IP, IP_TTL, 0),
    INTEGER(IPPROTO_IP, IP_TTL, 256),
    INTEGER(IPPROTO_IP, IP_TTL, -1),
    INTEGER(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT),
    INTEGER(IPPROTO_IP, IP_MTU_DISCOVER, 99),
    INTEGER(IPPROTO_IP, IP_RECVERR, 1),
    INTEGER(IPPROTO_IP, IP_RECVTOS, 1),
    INTEGER(IPPROTO_IP, IP_RECVTTL, 1),
    INTEGER(IPPROTO_IP, IP_PKTINFO, 1),
    INTEGER(IPPROTO_IP, IP_FREEBIND, 1),
    INTEGER(IPPROTO_IP, IP_MINTTL, 5),
    INTEGER(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1),
    INTEGER(IPPROTO_IP, 12345, 1),
    INTEGER(IPPROTO_IPV6, IPV6_V6ONLY, 1),
    INTEGER(IPPROTO_IPV6, IPV6_TCLASS, 1),
    INTEGER(IPPROTO_UDP, 1, 1),
    INTEGER(4711, 1, 1),
};

static void read_one(const char *when, int fd, const struct option *option) {
    int value = 0;
    socklen_t len = sizeof value;
    int result = getsockopt(fd, option->level, option->option, &value, &len);
    if (result < 0)
        observe(when, "%s %s", option->name, error_name(errno));
    else if (option->volatile_value)
        observe(when, "%s length %u", option->name, len);
    else
        observe(when, "%s %d length %u", option->name, value, len);
}

static void set_one(const char *when, int fd, const struct option *option) {
    int result = setsockopt(fd, option->level, option->option, &option->set, sizeof option->set);
    observe(when, "%s %d: %s", option->name, option->set, result < 0 ? error_name(errno) : "0");
}

/* Each option on a separate socket, so that none hides another. */
static void each(const struct server *server) {
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int fd = tcp_socket(0);
        if (options[i].set != -1 || options[i].option == IP_TTL)
            set_one("set before", fd, &options[i]);
        connect_to(fd, server);
        read_one("read after", fd, &options[i]);
        close(fd);
        close(accept(server->fd, NULL, NULL));
        fd = tcp_socket(0);
        connect_to(fd, server);
        if (options[i].level != SOL_SOCKET ||
            (options[i].option != SO_SNDBUF && options[i].option != SO_RCVBUF))
            read_one("standard", fd, &options[i]);
        if (options[i].set != -1 || options[i].option == IP_TTL)
            set_one("set", fd, &options[i]);
        read_one("read", fd, &options[i]);
        close(fd);
        close(accept(server->fd, NULL, NULL));
    }
}

static void timeouts(const struct server *server) {
    int fd = tcp_socket(0);
    struct timeval set = {.tv_sec = 3, .tv_usec = 40000}, got = {0};
    struct linger linger = {1, 7}, linger_got = {0};
    socklen_t len = sizeof got;
    char byte;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &set, sizeof set);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &set, sizeof set);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    connect_to(fd, server);
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len);
    observe("SO_RCVTIMEO", "%ld.%06ld length %u", (long)got.tv_sec, (long)got.tv_usec, len);
    getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &got, &len);
    observe("SO_SNDTIMEO", "%ld.%06ld length %u", (long)got.tv_sec, (long)got.tv_usec, len);
    len = sizeof linger_got;
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger_got, &len);
    observe("SO_LINGER", "%d %d length %u", linger_got.l_onoff, linger_got.l_linger, len);
    set = (struct timeval){.tv_usec = 20000};
    observe_result("set SO_RCVTIMEO", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &set, sizeof set));
    observe_result("read that times out", read(fd, &byte, 1));
    close(fd);
}

static void lengths(const struct server *server) {
    int fd = tcp_socket(0);
    unsigned char bytes[64];
    socklen_t len;
    connect_to(fd, server);
    for (int size = 0; size <= 5; size++) {
        len = (socklen_t)size;
        memset(bytes, 0x5a, sizeof bytes);
        observe_result("TCP_NODELAY, little room",
                       getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bytes, &len));
        observe("length", "%u", len);
        observe_result("set with little room",
                       setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bytes, (socklen_t)size));
        len = (socklen_t)size;
        observe_result("SO_ERROR, little room", getsockopt(fd, SOL_SOCKET, SO_ERROR, bytes, &len));
        observe("length", "%u", len);
        len = (socklen_t)size;
        observe_result("IP_TOS, little room", getsockopt(fd, IPPROTO_IP, IP_TOS, bytes, &len));
        observe("length", "%u", len);
    }
    observe_result("NULL value", getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, NULL, &len));
    observe_result("NULL length", getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bytes, NULL));
    observe_result("set NULL", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, NULL, sizeof(int)));
    len = (socklen_t)-1;
    observe_result("negative length", getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bytes, &len));
    close(fd);
}

/* Options that must fail, so that programs fall back, because they could not work here. On a direct
 * connection they may succeed, so what a program then does is observed. */
static void info(const struct server *server) {
    int fd = tcp_socket(0);
    struct tcp_info info = {0};
    struct ucred cred = {1, 2, 3};
    char name[16] = {0};
    socklen_t len = sizeof info;
    connect_to(fd, server);
    observe_result("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    observe("state", "%d", info.tcpi_state);
    observe("has an MSS", "%d", info.tcpi_snd_mss > 500 && info.tcpi_rcv_mss > 500);
    observe("has a window", "%d", info.tcpi_snd_cwnd > 0);
    observe("has a round-trip time", "%d", info.tcpi_rtt > 0 && info.tcpi_rtt < 10000000);
    observe("lost nothing", "%u", info.tcpi_lost);
    len = 1;
    observe_result("one byte of TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    len = sizeof name;
    observe_result("TCP_CONGESTION", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    observe("length", "%u", len);
    observe("TCP_CONGESTION is a name", "%d", name[0] >= 'a' && name[0] <= 'z');
    observe_result("set TCP_CONGESTION",
                   setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)));
    observe_result("set a strange one", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6));
    len = sizeof cred;
    observe_result("SO_PEERCRED", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
    observe("SO_PEERCRED says", "%d %d %d", (int)cred.pid, (int)cred.uid, (int)cred.gid);
    len = 0;
    observe_result("SO_PEERGROUPS", getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, name, &len));
    int mss = 0;
    len = sizeof mss;
    getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, &len);
    observe("TCP_MAXSEG is plausible", "%d", mss >= 500);
    close(fd);
}

static bool congestion_is(int fd, const char *name) {
    char got[16] = {0};
    socklen_t len = sizeof got;
    return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &len) == 0 && len == sizeof got &&
           strcmp(got, name) == 0;
}

/* All available names: set before connect and after, and read back. */
static void congestion(void) {
    static const char list[] = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
    char name[16];
    FILE *names = fopen(list, "r");
    struct server server = serve();
    bool before = true, after = true, back = true;
    int n = 0;
    while (names && fscanf(names, "%15s", name) == 1) {
        struct sockaddr none = {.sa_family = AF_UNSPEC};
        int fd = tcp_socket(0), other = tcp_socket(0);
        before &= setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)) == 0;
        connect_to(fd, &server);
        before &= congestion_is(fd, name);
        connect_to(other, &server);
        after &= setsockopt(other, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)) == 0 &&
                 congestion_is(other, name);
        connect(other, &none, sizeof none);
        back &= congestion_is(other, name);
        close(fd);
        close(other);
        n++;
    }
    if (names)
        fclose(names);
    observe("there are congestion controls", "%d", n > 0);
    observe("set before connect, they read back", "%d", before);
    observe("set after it", "%d", after);
    observe("and after a disconnect", "%d", back);
    int fd = tcp_socket(0);
    connect_to(fd, &server);
    observe_result("an empty name", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 0));
    observe_result("a name at NULL", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, NULL, 4));
    observe_result("part of a text", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "renown", 4));
    observe("is what it names", "%d", congestion_is(fd, "reno"));
    close(fd);
    close(server.fd);
}

/* Observes the state in TCP_INFO once the peer has acknowledged everything. */
static void observe_state(const char *name, int fd) {
    enum { FIN_WAIT1 = 4, LAST_ACK = 9, CLOSING = 11 };
    struct tcp_info info = {.tcpi_state = 0};
    for (int ms = 0; ms < WAIT_MS; ms++) {
        socklen_t len = sizeof info;
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
        if (info.tcpi_state != FIN_WAIT1 && info.tcpi_state != LAST_ACK &&
            info.tcpi_state != CLOSING)
            break;
        usleep(1000);
    }
    observe(name, "%d", info.tcpi_state);
}

static void states(void) {
    struct server server = serve(), closed = refuse();
    struct full_server full = serve_full();
    struct pair pair = connected_pair(&server, 0);
    shutdown(pair.accepted, SHUT_WR);
    wait_for(pair.client, POLLRDHUP);
    observe_state("state after the target's end", pair.client);
    shutdown(pair.client, SHUT_WR);
    wait_for(pair.client, POLLHUP);
    observe_state("state after both ends", pair.client);
    close_pair(&pair);
    pair = connected_pair(&server, 0);
    shutdown(pair.client, SHUT_WR);
    wait_for(pair.accepted, POLLRDHUP);
    observe_state("state after the own end", pair.client);
    shutdown(pair.accepted, SHUT_WR);
    wait_for(pair.client, POLLHUP);
    observe_state("state after both, the own first", pair.client);
    close_pair(&pair);
    pair = connected_pair(&server, 0);
    reset_close(pair.accepted);
    wait_for(pair.client, POLLHUP);
    observe_state("state after a reset", pair.client);
    close(pair.client);
    int fd = tcp_socket(0);
    observe_state("state of a fresh socket", fd);
    connect_to(fd, &closed);
    observe_state("state after a refusal", fd);
    close(fd);
    fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, &full.server);
    observe_state("state while connecting", fd);
    close(fd);
    end_full(&full);
    close(server.fd);
    close(closed.fd);
}

/* What the target sees of a close when SO_LINGER {1, 0} was set while the connect was in
 * progress. */
static void linger_while_pending(bool taken_back) {
    struct full_server full = serve_full();
    struct linger now = {.l_onoff = 1};
    int fd = tcp_socket(SOCK_NONBLOCK), accepted[32], n = 0, ours = -1;
    char byte;
    connect_to(fd, &full.server);
    observe_result("SO_LINGER while connecting",
                   setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now));
    now.l_onoff = 0;
    if (taken_back)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fcntl(full.server.fd, F_SETFL, O_NONBLOCK);
    for (int ms = 0; ms < WAIT_MS && ours < 0; ms += 10) {
        if (n < 32 && (accepted[n] = accept(full.server.fd, NULL, NULL)) >= 0)
            n++;
        if (poll_now(fd, POLLOUT) & POLLOUT)
            (void)!send(fd, "x", 1, MSG_NOSIGNAL);
        for (int i = 0; i < n; i++)
            if (poll_now(accepted[i], POLLIN))
                ours = accepted[i];
        usleep(10000);
    }
    observe("connected then", "%s", error_name(socket_error(fd)));
    close(fd);
    ssize_t got = 1;
    while (got > 0 && wait_for(ours, POLLIN))
        got = read(ours, &byte, 1);
    observe_result("what the target reads in the end", got);
    for (int i = 0; i < n; i++)
        close(accepted[i]);
    end_full(&full);
}

/* ---- Options kept over several connects, and over exec ---- */

static void set_kept(int fd) {
    const struct {
        int level, name, value;
    } kept[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},   {IPPROTO_TCP, TCP_USER_TIMEOUT, 7777},
        {IPPROTO_TCP, TCP_KEEPIDLE, 44}, {IPPROTO_TCP, TCP_LINGER2, 33},
        {SOL_SOCKET, SO_KEEPALIVE, 1},   {SOL_SOCKET, SO_SNDBUF, 100000},
        {SOL_SOCKET, SO_PRIORITY, 5},    {SOL_SOCKET, SO_REUSEADDR, 1},
        {SOL_SOCKET, SO_OOBINLINE, 1},   {SOL_SOCKET, SO_RCVLOWAT, 3},
        {SOL_SOCKET, SO_REUSEPORT, 1},   {IPPROTO_IP, IP_TOS, 16},
    };
    struct timeval little = {.tv_usec = 200000};
    struct linger now = {.l_onoff = 1};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        setsockopt(fd, kept[i].level, kept[i].name, &kept[i].value, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
}

static int integer_of(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;
    getsockopt(fd, level, name, &value, &len);
    return value;
}

static void observe_kept(const char *when, int fd) {
    char name[64], device[16] = "";
    struct timeval receive = {0};
    struct linger linger = {0};
    socklen_t len = sizeof receive;
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, &len);
    len = sizeof linger;
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len);
    len = sizeof device;
    getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len);
    snprintf(name, sizeof name, "%s: TCP", when);
    observe(name, "%d %d %d %d %d", integer_of(fd, IPPROTO_TCP, TCP_NODELAY),
            integer_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
            integer_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), integer_of(fd, IPPROTO_TCP, TCP_LINGER2),
            integer_of(fd, IPPROTO_IP, IP_TOS));
    snprintf(name, sizeof name, "%s: SOL_SOCKET", when);
    observe(name, "%d %d %d %d %d %d %d", integer_of(fd, SOL_SOCKET, SO_KEEPALIVE),
            integer_of(fd, SOL_SOCKET, SO_SNDBUF), integer_of(fd, SOL_SOCKET, SO_PRIORITY),
            integer_of(fd, SOL_SOCKET, SO_REUSEADDR), integer_of(fd, SOL_SOCKET, SO_OOBINLINE),
            integer_of(fd, SOL_SOCKET, SO_RCVLOWAT), integer_of(fd, SOL_SOCKET, SO_REUSEPORT));
    snprintf(name, sizeof name, "%s: others", when);
    observe(name, "%ld %d %d %s", (long)receive.tv_usec, linger.l_onoff, linger.l_linger, device);
}

/* Connects, waits in vain for data, and closes; SO_LINGER makes it a reset. */
static void end_kept(const char *when, int fd, const struct server *server) {
    char name[64], byte;
    snprintf(name, sizeof name, "%s: connect", when);
    observe_result(name, connect_to(fd, server));
    int accepted = accept(server->fd, NULL, NULL);
    observe_kept(when, fd);
    snprintf(name, sizeof name, "%s: recv", when);
    observe_result(name, recv(fd, &byte, 1, 0));
    close(fd);
    wait_for(accepted, POLLIN);
    snprintf(name, sizeof name, "%s: the target reads", when);
    observe_result(name, read(accepted, &byte, 1));
    close(accepted);
}

static void kept_over_connects(void) {
    const struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    struct server server = serve(), closed = refuse();
    int fd = tcp_socket(0);
    set_kept(fd);
    connect_to(fd, &closed);
    observe_kept("refused", fd);
    end_kept("after a refusal", fd, &server);

    fd = tcp_socket(0);
    set_kept(fd);
    connect_to(fd, &server);
    close(accept(server.fd, NULL, NULL));
    connect(fd, &unspecified, sizeof unspecified);
    observe_kept("disconnected", fd);
    end_kept("after AF_UNSPEC", fd, &server);
    close(closed.fd);
    close(server.fd);
}

static void kept_over_exec(void) {
    struct server server = serve();
    char number[12], target[12], *args[] = {"options", number, target, NULL};
    int fd = socket(AF_INET, SOCK_STREAM, 0), listener = dup(server.fd);
    set_kept(fd);
    snprintf(number, sizeof number, "%d", fd);
    snprintf(target, sizeof target, "%d", listener);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execv("/proc/self/exe", args);
        _exit(1);
    }
    close(fd);
    close(listener);
    waitpid(child, NULL, 0);
    close(server.fd);
}

static int inherit(int fd, int listener) {
    struct server server = {.fd = listener};
    socklen_t len = sizeof server.addr;
    getsockname(listener, (struct sockaddr *)&server.addr, &len);
    end_kept("after exec", fd, &server);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3)
        return inherit(atoi(argv[1]), atoi(argv[2]));
    struct server server = serve();
    each(&server);
    timeouts(&server);
    lengths(&server);
    info(&server);
    congestion();
    states();
    linger_while_pending(false);
    linger_while_pending(true);
    kept_over_connects();
    kept_over_exec();
    return 0;
}
