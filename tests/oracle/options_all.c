/* SPDX-License-Identifier: MIT */
/*
 * options_all.c - every possible option number: its value, whether it can be set before connect and
 * after, and its value then. Values that the kernel chooses for each socket are not printed, nor
 * are differences that README.md lists.
 */
#include "oracle.h"

static const struct {
    const char *name;
    int level, last;
} levels[] = {{"SOL_SOCKET", SOL_SOCKET, 90},
              {"TCP", IPPROTO_TCP, 50},
              {"IP", IPPROTO_IP, 70},
              {"IPV6", IPPROTO_IPV6, 90}};
#define N_LEVELS (sizeof levels / sizeof *levels)

/* What the kernel chooses (random, or from its interface and memory), and what differs (README.md).
 * */
static const struct {
    int level, option;
} left_out[] = {
    {SOL_SOCKET, SO_SNDBUF},
    {SOL_SOCKET, SO_RCVBUF},
    {SOL_SOCKET, SO_PEERNAME}, /* has a port in it; see names.c */
    {SOL_SOCKET, SO_INCOMING_CPU},
    {SOL_SOCKET, SO_COOKIE},
    {SOL_SOCKET, SO_MEMINFO},
    {SOL_SOCKET, SO_INCOMING_NAPI_ID},
    {SOL_SOCKET, SO_LOCK_FILTER}, /* there is nothing to lock: it can be taken back */
    {SOL_SOCKET, SO_ZEROCOPY},
    {SOL_SOCKET, SO_PASSCRED}, /* AF_UNIX has these, and newer kernels refuse them for TCP */
    {SOL_SOCKET, SO_PASSSEC},
    {SOL_SOCKET, 76 /* SO_PASSPIDFD */},
    {SOL_SOCKET, 83 /* SO_PASSRIGHTS */},
    {SOL_SOCKET, 78 /* SO_DEVMEM_LINEAR */},
    {SOL_SOCKET, 79 /* SO_DEVMEM_DMABUF */},
    {SOL_SOCKET, 80 /* SO_DEVMEM_DONTNEED */},
    {IPPROTO_TCP, TCP_MAXSEG},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP},
    {IPPROTO_TCP, TCP_INFO},
    {IPPROTO_TCP, TCP_CC_INFO},
    {IPPROTO_TCP, TCP_TIMESTAMP},
    {IPPROTO_TCP, TCP_MD5SIG}, /* from here on: refused, so that users fall back */
    {IPPROTO_TCP, TCP_REPAIR},
    {IPPROTO_TCP, TCP_REPAIR_QUEUE},
    {IPPROTO_TCP, TCP_QUEUE_SEQ},
    {IPPROTO_TCP, TCP_REPAIR_OPTIONS},
    {IPPROTO_TCP, TCP_REPAIR_WINDOW},
    {IPPROTO_TCP, TCP_ULP},
    {IPPROTO_TCP, TCP_MD5SIG_EXT},
    {IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE},
    {IPPROTO_TCP, TCP_INQ},
    {IPPROTO_IP, IP_OPTIONS}, /* kept, but not carried over a connect */
    {IPPROTO_IP, IP_MTU},
    {IPPROTO_IP, IP_MULTICAST_ALL}, /* its default differs for IPv6 sockets */
    {IPPROTO_IP, 52 /* IP_PROTOCOL */},
    {IPPROTO_IPV6, IPV6_MTU},
    {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES},
};

static bool is_left_out(int level, int option) {
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (left_out[i].level == level && left_out[i].option == option)
            return true;
    return false;
}

static int socket_of(bool v6) {
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    return fd;
}

static int connect_either(int fd, const struct server *server, bool v6) {
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = server->addr.sin_port};
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped.sin6_addr.s6_addr + 12, &server->addr.sin_addr, 4);
    return v6 ? connect(fd, (struct sockaddr *)&mapped, sizeof mapped) : connect_to(fd, server);
}

static void get(const char *what, int fd, size_t level, int option) {
    unsigned char bytes[256] = {0};
    int value;
    socklen_t len = sizeof value;
    char name[80];
    snprintf(name, sizeof name, "%s %d %s", levels[level].name, option, what);
    if (getsockopt(fd, levels[level].level, option, bytes, &len) != 0) {
        observe(name, "%s", error_name(errno));
        return;
    }
    memcpy(&value, bytes, sizeof value);
    observe(name, "%d length %u", value, len);
}

static bool set(const char *what, int fd, size_t level, int option, int value) {
    char name[80];
    snprintf(name, sizeof name, "%s %d %s %d", levels[level].name, option, what, value);
    int result = setsockopt(fd, levels[level].level, option, &value, sizeof value);
    observe_result(name, result);
    return result == 0;
}

static void one(const struct server *server, bool v6, size_t level, int option) {
    int fd = socket_of(v6);
    set("before", fd, level, option, 1);
    if (connect_either(fd, server, v6) == 0)
        get("after that", fd, level, option);
    close(fd);
    fd = socket_of(v6);
    connect_either(fd, server, v6);
    get("connected", fd, level, option);
    if (set("then", fd, level, option, 1))
        get("and reads", fd, level, option);
    if (set("then", fd, level, option, 0))
        get("and reads", fd, level, option);
    close(fd);
    for (int i = 0; i < 2; i++)
        close(accept(server->fd, NULL, NULL));
}

int main(void) {
    struct server server = serve();
    fcntl(server.fd, F_SETFL, O_NONBLOCK);
    for (int v6 = 0; v6 <= 1; v6++) {
        observe("-- family", "%s", v6 ? "IPv6" : "IPv4");
        for (size_t level = 0; level < N_LEVELS; level++)
            for (int option = 0; option <= levels[level].last; option++)
                if (!is_left_out(levels[level].level, option))
                    one(&server, v6, level, option);
    }
    return 0;
}
