/* SPDX-License-Identifier: MIT */
/* connect_plain.c - the ordinary uses of connect, and its ordinary failures. */
#include "oracle.h"

static void blocking(const struct server *server) {
    int fd = tcp_socket(0);
    observe_result("blocking connect", connect_to(fd, server));
    observe_result("second connect", connect_to(fd, server));
    observe_result("third connect", connect_to(fd, server));
    observe("SO_ERROR", "%s", error_name(socket_error(fd)));
    close(fd);
}

static void nonblocking(const struct server *server) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("non-blocking connect", connect_to(fd, server));
    observe("poll for OUT", "%s", events_text((unsigned)wait_for(fd, POLLOUT)));
    observe("SO_ERROR after success", "%s", error_name(socket_error(fd)));
    observe_result("connect after success", connect_to(fd, server));
    observe_result("connect after that", connect_to(fd, server));
    observe("flags kept", "%d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    close(fd);
}

static void with_select(const struct server *server) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    fd_set writable;
    struct timeval timeout = {10, 0};
    connect_to(fd, server);
    FD_ZERO(&writable);
    FD_SET(fd, &writable);
    observe_result("select for write", select(fd + 1, NULL, &writable, NULL, &timeout));
    observe("select says writable", "%d", FD_ISSET(fd, &writable) != 0);
    close(fd);
}

static void refused_blocking(const struct server *closed, const struct server *server) {
    int fd = tcp_socket(0);
    observe_result("refused, blocking", connect_to(fd, closed));
    observe("refused: SO_ERROR", "%s", error_name(socket_error(fd)));
    observe_result("refused again", connect_to(fd, closed));
    observe_result("another address on the same socket", connect_to(fd, server));
    observe_result("and once more", connect_to(fd, server));
    close(fd);
}

/* The socket stays bound when a connect fails. */
static void refused_bound(const struct server *closed, const struct server *server) {
    struct sockaddr_in own = {.sin_family = AF_INET}, name;
    socklen_t len = sizeof own;
    int fd = tcp_socket(0);
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8);
    /* A port that is free: that of a socket which is closed. */
    int other = tcp_socket(0);
    bind(other, (struct sockaddr *)&own, sizeof own);
    getsockname(other, (struct sockaddr *)&own, &len);
    close(other);
    observe_result("bound", bind(fd, (struct sockaddr *)&own, sizeof own));
    observe_result("bound: refused", connect_to(fd, closed));
    observe_result("bound: another address", connect_to(fd, server));
    len = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &len);
    observe("bound: still that address", "%s", inet_ntoa(name.sin_addr));
    observe("bound: and that port", "%d", name.sin_port == own.sin_port);
    close(fd);
}

static void refused_nonblocking(const struct server *closed, const struct server *server) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("refused, non-blocking", connect_to(fd, closed));
    observe("refused: poll", "%s",
            events_text((unsigned)wait_failed(fd, POLLIN | POLLOUT | POLLRDHUP)));
    observe("refused: SO_ERROR first", "%s", error_name(socket_error(fd)));
    observe("refused: SO_ERROR second", "%s", error_name(socket_error(fd)));
    observe_result("refused: next connect", connect_to(fd, server));
    observe_result("refused: connect after that", connect_to(fd, server));
    observe("then writable", "%s", events_text((unsigned)wait_for(fd, POLLOUT)));
    observe("then SO_ERROR", "%s", error_name(socket_error(fd)));
    close(fd);
}

static void refused_unasked(const struct server *closed, const struct server *server) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, closed);
    wait_for(fd, POLLOUT);
    observe_result("failed, and connect asks first", connect_to(fd, server));
    observe_result("connect after the answer", connect_to(fd, server));
    wait_for(fd, POLLOUT);
    observe("which succeeds", "%s", error_name(socket_error(fd)));
    close(fd);
}

static long fast_open(int fd, const struct server *server) {
    return sendto(fd, "fast", 4, MSG_FASTOPEN | MSG_NOSIGNAL,
                  (const struct sockaddr *)&server->addr, sizeof server->addr);
}

/* A send that connects: without a cookie from the server it carries no data. */
static void fast_opens(const struct server *closed, const struct server *server) {
    char buf[16];
    int fd = tcp_socket(0);
    observe_result("fast open, refused", fast_open(fd, closed));
    observe("its SO_ERROR", "%s", error_name(socket_error(fd)));
    observe_result("its write", send(fd, "x", 1, MSG_NOSIGNAL));
    observe_result("fast open to another", fast_open(fd, server));
    close(fd);

    struct server own = serve();
    fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("fast open, non-blocking", fast_open(fd, &own));
    wait_for(fd, POLLOUT);
    observe("its outcome", "%s", error_name(socket_error(fd)));
    observe_result("its data is to be sent again", send(fd, "again", 5, 0));
    close(fd);
    int accepted = accept(own.fd, NULL, NULL);
    observe_result("which is all that arrives", receive_all(accepted, buf, sizeof buf));
    close(accepted);
    close(own.fd);

    fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("fast open, non-blocking, refused", fast_open(fd, closed));
    wait_failed(fd, POLLOUT);
    observe_result("then", fast_open(fd, closed));
    close(fd);
    fd = tcp_socket(SOCK_NONBLOCK);
    fast_open(fd, closed);
    wait_failed(fd, POLLOUT);
    observe("or SO_ERROR", "%s", error_name(socket_error(fd)));
    close(fd);
}

static void wrong_arguments(const struct server *server) {
    int fd = tcp_socket(0), file = open("/dev/null", O_RDWR);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = server->addr.sin_port};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    struct sockaddr_in strange = server->addr;
    const struct sockaddr *addr = (const struct sockaddr *)&server->addr;
    strange.sin_family = 77;
    observe_result("length 0", connect(fd, addr, 0));
    observe_result("length 1", connect(fd, addr, 1));
    observe_result("length 8", connect(fd, addr, 8));
    observe_result("length 15", connect(fd, addr, 15));
    observe_result("negative length", connect(fd, addr, (socklen_t)-1));
    observe_result("too long a length", connect(fd, addr, 1000));
    observe_result("NULL address", connect(fd, NULL, sizeof server->addr));
    observe_result("address 1", connect(fd, (void *)1, sizeof server->addr));
    observe_result("IPv6 address on an IPv4 socket", connect(fd, (void *)&v6, sizeof v6));
    observe_result("unix address on an IPv4 socket", connect(fd, (void *)&local, sizeof local));
    observe_result("unknown family", connect(fd, (void *)&strange, sizeof strange));
    observe_result("descriptor that is not open", connect(999, addr, sizeof server->addr));
    observe_result("descriptor -1", connect(-1, addr, sizeof server->addr));
    observe_result("no socket", connect(file, addr, sizeof server->addr));
    observe_result("listening socket", connect(server->fd, addr, sizeof server->addr));
    observe_result("after all that", connect_to(fd, server));
    observe_result("wrong family when connected", connect(fd, (void *)&strange, sizeof strange));
    observe_result("short length when connected", connect(fd, addr, 8));
    close(fd);
    close(file);
}

static void disconnect(const struct server *server) {
    int fd = tcp_socket(0);
    struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    observe_result("AF_UNSPEC on a fresh socket", connect(fd, &unspecified, sizeof unspecified));
    connect_to(fd, server);
    observe_result("AF_UNSPEC when connected", connect(fd, &unspecified, sizeof unspecified));
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    observe_result("then getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    observe_result("then connect", connect_to(fd, server));
    observe_result("and a write", write(fd, "x", 1));
    close(fd);
}

static void port_zero(void) {
    struct server nowhere = {.addr = {.sin_family = AF_INET}};
    nowhere.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = tcp_socket(0);
    observe_result("port 0", connect_to(fd, &nowhere));
    close(fd);
}

static void other_sockets(const struct server *server) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0), pair[2], domain = 0;
    socklen_t len = sizeof domain;
    struct sockaddr_in name;
    errno = 0;
    observe_result("UDP connect", connect_to(udp, server));
    observe("UDP connect leaves errno alone", "%s", error_name(errno));
    len = sizeof name;
    observe_result("UDP getpeername", getpeername(udp, (struct sockaddr *)&name, &len));
    observe("UDP peer is the one", "%d", name.sin_port == server->addr.sin_port);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    len = sizeof domain;
    getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &domain, &len);
    observe("domain of a unix pair", "%d", domain);
    observe_result("unix pair, IPv4 connect", connect_to(pair[0], server));
    close(udp);
    close(pair[0]);
    close(pair[1]);
}

int main(void) {
    struct server server = serve(), closed = refuse();
    blocking(&server);
    nonblocking(&server);
    with_select(&server);
    refused_blocking(&closed, &server);
    refused_bound(&closed, &server);
    refused_nonblocking(&closed, &server);
    refused_unasked(&closed, &server);
    fast_opens(&closed, &server);
    wrong_arguments(&server);
    disconnect(&server);
    port_zero();
    other_sockets(&server);
    return 0;
}
