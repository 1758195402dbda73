/* SPDX-License-Identifier: MIT */
/* names.c - getpeername and getsockname: before, during and after connect, truncated, with a bound
 * address, IPv6. */
#include "oracle.h"

static void names(const char *label, int fd, const struct server *server) {
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    printf("-- %s\n", label);
    memset(&name, 0, sizeof name);
    observe_result("getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    observe("length", "%d", (int)len);
    observe("is the destination", "%d", memcmp(&name, &server->addr, 8) == 0);
    len = sizeof name;
    memset(&name, 0, sizeof name);
    observe_result("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
    observe("length", "%d", (int)len);
    observe("family", "%d", name.sin_family);
    observe("has a port", "%d", name.sin_port != 0);
    observe("address", "%s", inet_ntoa(name.sin_addr));
}

static void cut(int fd) {
    struct sockaddr_storage name;
    for (socklen_t size = 0; size <= 16; size += 4) {
        socklen_t len = size;
        char label[40];
        memset(&name, 0x5a, sizeof name);
        snprintf(label, sizeof label, "getpeername, room for %u", size);
        observe_result(label, getpeername(fd, (struct sockaddr *)&name, &len));
        observe("true length", "%u", len);
        observe("nothing written behind", "%d", ((unsigned char *)&name)[size] == 0x5a);
        len = size;
        memset(&name, 0x5a, sizeof name);
        observe_result("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
        observe("true length", "%u", len);
        observe("nothing written behind", "%d", ((unsigned char *)&name)[size] == 0x5a);
    }
    socklen_t len = sizeof name;
    memset(&name, 0x5a, sizeof name);
    getpeername(fd, (struct sockaddr *)&name, &len);
    observe("nothing written behind the address", "%d", ((unsigned char *)&name)[16] == 0x5a);
    len = (socklen_t)-1;
    observe_result("negative length", getpeername(fd, (struct sockaddr *)&name, &len));
    observe_result("NULL length", getpeername(fd, (struct sockaddr *)&name, NULL));
    len = sizeof name;
    observe_result("NULL address", getpeername(fd, NULL, &len));
    len = sizeof name;
    observe_result("getsockname, NULL address", getsockname(fd, NULL, &len));
    observe_result("bad descriptor", getpeername(999, (struct sockaddr *)&name, &len));
}

/* The target sees our local address. */
static void local_address(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    struct sockaddr_in here = {0}, there = {0};
    socklen_t len = sizeof here;
    getsockname(pair.client, (struct sockaddr *)&here, &len);
    getpeername(pair.accepted, (struct sockaddr *)&there, &len);
    observe("the target sees our address", "%d", memcmp(&here, &there, 8) == 0);
    close_pair(&pair);
}

static void bound(const struct server *server) {
    int fd = tcp_socket(0), on = 1;
    struct sockaddr_in want = {.sin_family = AF_INET}, have = {0};
    struct server reserve = serve();
    socklen_t len = sizeof have;
    want.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    want.sin_port = reserve.addr.sin_port;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    observe_result("bind", bind(fd, (struct sockaddr *)&want, sizeof want));
    observe_result("connect", connect_to(fd, server));
    getsockname(fd, (struct sockaddr *)&have, &len);
    observe("bound address kept", "%s", inet_ntoa(have.sin_addr));
    observe("bound port kept", "%d", have.sin_port == want.sin_port);
    observe_result("bind when connected", bind(fd, (struct sockaddr *)&want, sizeof want));
    observe_result("listen when connected", listen(fd, 1));
    observe_result("accept when connected", accept(fd, NULL, NULL));
    close(fd);
    close(reserve.fd);
}

static struct sockaddr_in6 serve6(int *fd, const char *text) {
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
    socklen_t len = sizeof addr;
    int off = 0;
    inet_pton(AF_INET6, text, &addr.sin6_addr);
    *fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(*fd, (struct sockaddr *)&addr, len) != 0 || listen(*fd, 8) != 0 ||
        getsockname(*fd, (struct sockaddr *)&addr, &len) != 0)
        die("IPv6 server");
    return addr;
}

static void names6(const char *label, const struct sockaddr_in6 *addr) {
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), number = 0;
    struct sockaddr_in6 name = {0};
    socklen_t len = sizeof name;
    char text[64];
    printf("-- %s\n", label);
    observe_result("connect", connect(fd, (const struct sockaddr *)addr, sizeof *addr));
    observe_result("getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    observe("length", "%d", (int)len);
    observe("address", "%s", inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof text));
    observe("port", "%d", name.sin6_port == addr->sin6_port);
    observe("scope", "%u", name.sin6_scope_id);
    len = sizeof name;
    observe_result("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
    observe("family", "%d", name.sin6_family);
    observe("own address", "%s", inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof text));
    len = sizeof number;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &number, &len);
    observe("SO_DOMAIN", "%d", number);
    number = 0;
    observe_result("IPV6_V6ONLY", getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &number, &len));
    observe("is", "%d", number);
    close(fd);
}

static void version_6(void) {
    int fd;
    struct sockaddr_in6 addr = serve6(&fd, "::1");
    names6("IPv6", &addr);
    close(fd);
    addr = serve6(&fd, "::ffff:127.0.0.1");
    names6("v4-mapped", &addr);
    int v4 = tcp_socket(0);
    observe_result("IPv6 address on IPv4 socket",
                   connect(v4, (struct sockaddr *)&addr, sizeof addr));
    close(v4);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = addr.sin6_port};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int v6 = socket(AF_INET6, SOCK_STREAM, 0);
    observe_result("IPv4 address on IPv6 socket", connect(v6, (struct sockaddr *)&in, sizeof in));
    observe_result("RFC 2133's shorter address", connect(v6, (struct sockaddr *)&addr, 24));
    close(v6);
    close(fd);
}

/* The peer's name as an option: it accepts less room than getpeername, but not more than the name
 * needs. */
static void option(const char *label, int fd, const void *peer) {
    printf("-- SO_PEERNAME, %s\n", label);
    for (socklen_t size = 0; size <= sizeof(struct sockaddr_storage); size += 4) {
        unsigned char name[sizeof(struct sockaddr_storage)];
        socklen_t len = size;
        memset(name, 0x5a, sizeof name);
        int result = getsockopt(fd, SOL_SOCKET, SO_PEERNAME, name, &len);
        observe("result", "%s length %u", result ? error_name(errno) : "0", len);
        observe("is the destination", "%d", memcmp(name, peer, size < 8 ? size : 8) == 0);
        observe("nothing written behind", "%d",
                size == sizeof name || name[result ? 0 : size] == 0x5a);
        if (size > 32)
            size += 20;
    }
}

/* TCP reports no source address, and does not touch the buffer for it. */
static void source(void) {
    struct server server = serve();
    struct pair pair = connected_pair(&server, 0);
    unsigned char name[sizeof(struct sockaddr_storage)], untouched[sizeof name];
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_name = name, .msg_iov = &iov, .msg_iovlen = 1};
    memset(untouched, 0x5a, sizeof untouched);
    for (socklen_t size = 0; size <= sizeof name; size = size ? 8 * size : 2) {
        memcpy(name, untouched, sizeof name);
        msg.msg_namelen = size;
        (void)!write(pair.accepted, "x", 1);
        observe_result("recvmsg with room for a name", recvmsg(pair.client, &msg, 0));
        observe("length", "%u", msg.msg_namelen);
        observe("left alone", "%d", memcmp(name, untouched, sizeof name) == 0);
    }
    close_pair(&pair);
    close(server.fd);
}

static void options(void) {
    struct server server = serve();
    struct server closed = refuse();
    int fd6, fd = tcp_socket(0);
    struct sockaddr_in6 addr = serve6(&fd6, "::1");
    option("fresh socket", fd, &server.addr);
    connect_to(fd, &closed);
    option("refused", fd, &closed.addr);
    close(fd);
    close(closed.fd);
    struct pair pair = connected_pair(&server, 0);
    option("connected", pair.client, &server.addr);
    socklen_t len = 16;
    observe_result("at NULL", getsockopt(pair.client, SOL_SOCKET, SO_PEERNAME, NULL, &len));
    close(pair.accepted);
    shutdown(pair.client, SHUT_WR);
    wait_for(pair.client, POLLHUP);
    option("ended", pair.client, &server.addr);
    close(pair.client);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connect(fd, (struct sockaddr *)&addr, sizeof addr);
    option("IPv6", fd, &addr);
    close(fd);
    close(fd6);
    close(server.fd);
}

/* A connect to the unspecified address goes to the own address. */
static void unspecified(void) {
    struct sockaddr_in peer, any = {.sin_family = AF_INET};
    struct sockaddr_in6 peer6, addr6;
    char text[64];
    int listener = tcp_socket(0), fd;
    socklen_t len = sizeof any;
    if (bind(listener, (struct sockaddr *)&any, len) != 0 || listen(listener, 8) != 0 ||
        getsockname(listener, (struct sockaddr *)&any, &len) != 0)
        die("server");
    for (in_addr_t own = 0; own <= 1; own++) {
        struct sockaddr_in local = {.sin_family = AF_INET};
        local.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 4);
        fd = tcp_socket(0);
        if (own)
            observe_result("bound", bind(fd, (struct sockaddr *)&local, sizeof local));
        observe_result("connect to 0.0.0.0", connect(fd, (struct sockaddr *)&any, sizeof any));
        len = sizeof peer;
        observe_result("getpeername", getpeername(fd, (struct sockaddr *)&peer, &len));
        observe("is", "%s, port %d", inet_ntoa(peer.sin_addr), peer.sin_port == any.sin_port);
        getsockname(fd, (struct sockaddr *)&local, &len);
        observe("own", "%s", inet_ntoa(local.sin_addr));
        close(fd);
    }
    close(listener);
    addr6 = serve6(&listener, "::");
    for (int mapped = 0; mapped <= 1; mapped++) {
        struct sockaddr_in6 local = {.sin6_family = AF_INET6};
        inet_pton(AF_INET6, "::ffff:127.0.0.5", &local.sin6_addr);
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (mapped)
            observe_result("bound", bind(fd, (struct sockaddr *)&local, sizeof local));
        observe_result("connect to ::", connect(fd, (struct sockaddr *)&addr6, sizeof addr6));
        len = sizeof peer6;
        observe_result("getpeername", getpeername(fd, (struct sockaddr *)&peer6, &len));
        observe("is", "%s", inet_ntop(AF_INET6, &peer6.sin6_addr, text, sizeof text));
        close(fd);
    }
    inet_pton(AF_INET6, "::ffff:0.0.0.0", &addr6.sin6_addr);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    observe_result("to ::ffff:0.0.0.0", connect(fd, (struct sockaddr *)&addr6, sizeof addr6));
    len = sizeof peer6;
    getpeername(fd, (struct sockaddr *)&peer6, &len);
    observe("is", "%s", inet_ntop(AF_INET6, &peer6.sin6_addr, text, sizeof text));
    close(fd);
    close(listener);
}

static struct sockaddr_in own_name(const char *label, int fd) {
    struct sockaddr_in own = {0};
    socklen_t len = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &len);
    observe(label, "%s, a port %d", inet_ntoa(own.sin_addr), own.sin_port != 0);
    return own;
}

/* The names of a socket whose connect has failed. */
static void after_failure(void) {
    struct server closed = refuse();
    struct sockaddr_in first, own;
    socklen_t len = sizeof own;
    int fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("refused", connect_to(fd, &closed));
    wait_failed(fd, POLLOUT);
    first = own_name("refused, and nobody told", fd);
    observe_result("getpeername", getpeername(fd, (struct sockaddr *)&own, &len));
    observe("SO_ERROR", "%s", error_name(socket_error(fd)));
    own = own_name("told by SO_ERROR", fd);
    observe("the same", "%d", own.sin_port == first.sin_port);
    int copy = dup(fd);
    close(fd);
    own = own_name("a copy", copy);
    observe("the same", "%d", own.sin_port == first.sin_port);
    close(copy);

    fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, &closed);
    wait_failed(fd, POLLOUT);
    first = own_name("refused, and asked before", fd);
    observe_result("connect tells", connect_to(fd, &closed));
    own = own_name("told by connect", fd);
    observe("the same port", "%d", own.sin_port == first.sin_port);
    close(fd);

    fd = tcp_socket(0);
    observe_result("refused, blocking", connect_to(fd, &closed));
    first = own_name("then", fd);
    close(fd);
    close(closed.fd);
}

int main(void) {
    struct server server = serve();
    int fd = tcp_socket(0);
    names("fresh socket", fd, &server);
    connect_to(fd, &server);
    names("connected", fd, &server);
    cut(fd);
    int accepted = accept(server.fd, NULL, NULL);
    close(accepted);
    wait_for(fd, POLLRDHUP);
    names("the peer has closed", fd, &server);
    close(fd);
    names("closed", fd, &server);
    struct server other = serve();
    local_address(&other);
    bound(&other);
    version_6();
    options();
    source();
    unspecified();
    after_failure();
    return 0;
}
