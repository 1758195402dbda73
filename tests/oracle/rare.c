/* SPDX-License-Identifier: MIT */
/* rare.c - rare uses: fast open, signal-driven I/O, bound devices, copies made before connect. */
#include <net/if.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "oracle.h"

/* TCP fast open without a cookie is a connect and a send in one call. */
static void fast_open(const struct server *server) {
    char buf[8] = {0};
    int fd = tcp_socket(0);
    observe_result("MSG_FASTOPEN, blocking",
                   sendto(fd, "fast", 4, MSG_FASTOPEN, (const struct sockaddr *)&server->addr,
                          sizeof server->addr));
    int accepted = accept(server->fd, NULL, NULL);
    observe_result("arrives", receive_all(accepted, buf, 4));
    observe_result("MSG_FASTOPEN when connected",
                   sendto(fd, "more", 4, MSG_FASTOPEN, (const struct sockaddr *)&server->addr,
                          sizeof server->addr));
    close(accepted);
    close(fd);
    fd = tcp_socket(0);
    observe_result("MSG_FASTOPEN without an address", send(fd, "x", 1, MSG_FASTOPEN));
    close(fd);
}

static void fast_open_connect(const struct server *server) {
    char buf[8] = {0};
    int fd = tcp_socket(0), on = 1;
    observe_result("TCP_FASTOPEN_CONNECT",
                   setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
    observe_result("connect with it", connect_to(fd, server));
    observe_result("first write", write(fd, "tfo", 3));
    int accepted = accept(server->fd, NULL, NULL);
    observe_result("it arrives", receive_all(accepted, buf, 3));
    observe_result("set when connected",
                   setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
    close(accepted);
    close(fd);
}

/* Sends as a program would: it copies after ENOBUFS, or waits for the completion. */
static bool send_zerocopy(int fd, const char *text) {
    ssize_t n = send(fd, text, strlen(text), MSG_ZEROCOPY);
    char control[200];
    struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof control};
    if (n < 0 && errno == ENOBUFS)
        return send(fd, text, strlen(text), 0) == (ssize_t)strlen(text);
    return n == (ssize_t)strlen(text) && wait_for(fd, POLLERR) &&
           recvmsg(fd, &msg, MSG_ERRQUEUE) == 0 && msg.msg_controllen > 0;
}

static void zerocopy(const struct server *server) {
    char buf[16];
    int on = 1;
    struct msghdr nothing = {0};
    for (int set = 1; set >= 0; set--) {
        int fd = tcp_socket(0);
        if (set)
            observe_result("SO_ZEROCOPY before connect",
                           setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on));
        connect_to(fd, server);
        int accepted = accept(server->fd, NULL, NULL);
        socklen_t len = sizeof on;
        getsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, &len);
        observe("SO_ZEROCOPY", "%d", on);
        if (set)
            observe("MSG_ZEROCOPY comes to an end", "%d", send_zerocopy(fd, "zerocopy"));
        else
            observe_result("MSG_ZEROCOPY without it", send(fd, "zerocopy", 8, MSG_ZEROCOPY));
        observe_result("arrives", receive_all(accepted, buf, 8));
        observe_result("MSG_ERRQUEUE with nothing in it", recvmsg(fd, &nothing, MSG_ERRQUEUE));
        close(accepted);
        close(fd);
        on = 1;
    }
}

static void unconnected(void) {
    int fd = tcp_socket(0);
    char byte;
    signal(SIGPIPE, SIG_IGN);
    observe_result("send without a connection", send(fd, "x", 1, 0));
    observe_result("recv without a connection", recv(fd, &byte, 1, 0));
    observe_result("shutdown without a connection", shutdown(fd, SHUT_RDWR));
    close(fd);
}

static volatile sig_atomic_t io_signals;

static void on_io(int signal) {
    (void)signal;
    io_signals++;
}

static volatile sig_atomic_t io_fd = -1;

static void on_io_of(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    io_fd = info->si_fd;
}

/* With F_SETSIG the signal says which descriptor it is about. */
static void signal_with_descriptor(const struct server *server) {
    struct sigaction action = {.sa_sigaction = on_io_of, .sa_flags = SA_SIGINFO};
    int fd = tcp_socket(0);
    sigaction(SIGRTMIN, &action, NULL);
    fcntl(fd, F_SETSIG, SIGRTMIN);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, O_ASYNC);
    connect_to(fd, server);
    int accepted = accept(server->fd, NULL, NULL);
    io_fd = -1;
    (void)!write(accepted, "x", 1);
    for (int i = 0; i < WAIT_MS && io_fd < 0; i++)
        usleep(1000);
    observe("F_SETSIG: the signal's descriptor", "%d", io_fd == fd);
    close(accepted);
    close(fd);
}

/* The owner and the flag are set before connect, and must hold after it. */
static void signal_driven(const struct server *server) {
    int fd = tcp_socket(0);
    signal(SIGIO, on_io);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, O_ASYNC);
    connect_to(fd, server);
    observe("O_ASYNC kept", "%d", (fcntl(fd, F_GETFL) & O_ASYNC) != 0);
    observe("owner kept", "%d", fcntl(fd, F_GETOWN) == getpid());
    int accepted = accept(server->fd, NULL, NULL);
    io_signals = 0;
    (void)!write(accepted, "x", 1);
    for (int i = 0; i < WAIT_MS && !io_signals; i++)
        usleep(1000);
    observe("SIGIO comes with data", "%d", io_signals > 0);
    close(accepted);
    close(fd);
}

static void ports_and_devices(const struct server *server) {
    int fd = tcp_socket(0), on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof any;
    observe_result("bind to any port", bind(fd, (struct sockaddr *)&any, sizeof any));
    getsockname(fd, (struct sockaddr *)&any, &len);
    in_port_t port = any.sin_port;
    observe_result("connect", connect_to(fd, server));
    getsockname(fd, (struct sockaddr *)&any, &len);
    observe("the port stays", "%d", any.sin_port == port);
    observe("address is known", "%s", inet_ntoa(any.sin_addr));
    close(fd);
    fd = tcp_socket(0);
    any = (struct sockaddr_in){.sin_family = AF_INET};
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    observe_result("bind to an address without port",
                   bind(fd, (struct sockaddr *)&any, sizeof any));
    observe_result("connect then", connect_to(fd, server));
    getsockname(fd, (struct sockaddr *)&any, &len);
    observe("has a port then", "%d", any.sin_port != 0);
    close(fd);
    fd = tcp_socket(0);
    observe_result("SO_BINDTODEVICE", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
    observe_result("connect over it", connect_to(fd, server));
    char device[IFNAMSIZ] = "";
    int index = 0;
    len = sizeof device;
    getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len);
    observe("the device", "%s length %u", device, len);
    len = sizeof index;
    getsockopt(fd, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */, &index, &len);
    observe("its index", "%d", index == (int)if_nametoindex("lo"));
    close(fd);
}

static void exceptional(const struct server *server, const struct server *closed) {
    fd_set readable, writable, exceptional;
    struct timeval timeout = {10, 0};
    int fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, closed);
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    writable = exceptional = readable;
    observe_result("select of a refused connect",
                   select(fd + 1, &readable, &writable, &exceptional, &timeout));
    observe("readable, writable, exceptional", "%d %d %d", FD_ISSET(fd, &readable) != 0,
            FD_ISSET(fd, &writable) != 0, FD_ISSET(fd, &exceptional) != 0);
    close(fd);
    (void)server;
}

static void listening_after_failure(const struct server *closed) {
    int fd = tcp_socket(0);
    connect_to(fd, closed);
    struct sockaddr_in any = {.sin_family = AF_INET};
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    observe_result("listen after a failed connect", listen(fd, 1));
    close(fd);
    fd = tcp_socket(0);
    connect_to(fd, closed);
    observe_result("bind after a failed connect", bind(fd, (struct sockaddr *)&any, sizeof any));
    close(fd);
}

static void kinds(const struct server *server) {
    static const struct {
        const char *name;
        int type, protocol;
    } sockets[] = {{"IPPROTO_TCP", SOCK_STREAM, IPPROTO_TCP},
                   {"IPPROTO_IP", SOCK_STREAM, IPPROTO_IP},
                   {"UDP", SOCK_DGRAM, 0},
                   {"MPTCP", SOCK_STREAM, 262}};
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        int fd = socket(AF_INET, sockets[i].type, sockets[i].protocol), type = 0, domain = 0;
        socklen_t len = sizeof type;
        if (fd < 0) {
            observe(sockets[i].name, "%s", error_name(errno));
            continue;
        }
        int result = connect_to(fd, server);
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
        observe(sockets[i].name, "connect %d type %d domain %d", result, type, domain);
        close(fd);
        if (sockets[i].type == SOCK_STREAM)
            close(accept(server->fd, NULL, NULL));
    }
}

/* Requests that are about the network, not the connection. */
static void network_requests(const char *family, int fd) {
    static const struct {
        const char *name;
        unsigned long request;
    } requests[] = {{"SIOCGIFADDR", SIOCGIFADDR},       {"SIOCGIFNETMASK", SIOCGIFNETMASK},
                    {"SIOCGIFBRDADDR", SIOCGIFBRDADDR}, {"SIOCGIFFLAGS", SIOCGIFFLAGS},
                    {"SIOCGIFINDEX", SIOCGIFINDEX},     {"SIOCGIFMTU", SIOCGIFMTU},
                    {"SIOCGIFHWADDR", SIOCGIFHWADDR},   {"SIOCGSTAMP", 0x8906},
                    {"SIOCGSTAMPNS", 0x8907},           {"SIOCUNIXFILE", 0x89e0},
                    {"an unknown one", 0x89df},         {"of another kind", 0x1234}};
    printf("-- ioctl, %s\n", family);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        union {
            struct ifreq interface;
            char room[256];
        } argument;
        memset(&argument, 0, sizeof argument);
        strcpy(argument.interface.ifr_name, "lo");
        observe_result(requests[i].name, ioctl(fd, requests[i].request, &argument));
        if (requests[i].request == SIOCGIFADDR)
            observe("address of lo", "%d",
                    ((struct sockaddr_in *)(void *)&argument.interface.ifr_addr)->sin_addr.s_addr ==
                        htonl(INADDR_LOOPBACK));
        strcpy(argument.interface.ifr_name, "nosuch");
        observe_result("of no interface", ioctl(fd, requests[i].request, &argument));
    }
}

static void network(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    network_requests("connected", pair.client);
    close_pair(&pair);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = server->addr.sin_port};
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped.sin6_addr.s6_addr + 12, &server->addr.sin_addr, 4);
    observe_result("connect", connect(fd, (struct sockaddr *)&mapped, sizeof mapped));
    network_requests("IPv6", fd);
    close(fd);
    close(accept(server->fd, NULL, NULL));
}

static void stat_it(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char link[64], path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", pair.client);
    ssize_t n = readlink(path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = '\0';
    observe("is a socket", "%.7s", link);
    observe_result("isatty", isatty(pair.client));
    observe("isatty's errno", "%s", error_name(errno));
    observe_result("fsync", fsync(pair.client));
    observe_result("lockf", lockf(pair.client, F_TEST, 0));
    close_pair(&pair);
}

int main(void) {
    struct server server = serve(), closed = refuse();
    fast_open(&server);
    fast_open_connect(&server);
    zerocopy(&server);
    unconnected();
    signal_driven(&server);
    signal_with_descriptor(&server);
    ports_and_devices(&server);
    exceptional(&server, &closed);
    listening_after_failure(&closed);
    struct server fresh = serve();
    kinds(&fresh);
    stat_it(&fresh);
    network(&fresh);
    return 0;
}
