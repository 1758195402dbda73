/* SPDX-License-Identifier: MIT */
/* lookups.c - names to addresses and back: lookups that no route concerns behave exactly as libc's,
 * to the last flag, error and byte of a buffer. */
#include "oracle.h"

#include <netdb.h>
#include <resolv.h>

static const char *eai_name(int error) {
    static const struct {
        int error;
        const char *name;
    } names[] = {{0, "0"},
                 {EAI_ADDRFAMILY, "EAI_ADDRFAMILY"},
                 {EAI_AGAIN, "EAI_AGAIN"},
                 {EAI_BADFLAGS, "EAI_BADFLAGS"},
                 {EAI_FAIL, "EAI_FAIL"},
                 {EAI_FAMILY, "EAI_FAMILY"},
                 {EAI_MEMORY, "EAI_MEMORY"},
                 {EAI_NODATA, "EAI_NODATA"},
                 {EAI_NONAME, "EAI_NONAME"},
                 {EAI_OVERFLOW, "EAI_OVERFLOW"},
                 {EAI_SERVICE, "EAI_SERVICE"},
                 {EAI_SOCKTYPE, "EAI_SOCKTYPE"},
                 {EAI_SYSTEM, "EAI_SYSTEM"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == error)
            return names[i].name;
    return "?";
}

static const char *address_text(int family, const void *address) {
    static char text[INET6_ADDRSTRLEN];
    return inet_ntop(family, address, text, sizeof text) ? text : "?";
}

/* One entry: family, type, protocol, address and port. */
static void entry(const struct addrinfo *info) {
    const struct sockaddr_in *in = (const void *)info->ai_addr;
    const struct sockaddr_in6 *in6 = (const void *)info->ai_addr;
    bool v6 = info->ai_family == AF_INET6;
    observe("  entry", "%d %d %d %s %u %u %s", info->ai_family, info->ai_socktype,
            info->ai_protocol,
            address_text(info->ai_family, v6 ? (const void *)&in6->sin6_addr : &in->sin_addr),
            ntohs(in->sin_port), v6 ? in6->sin6_scope_id : 0,
            info->ai_canonname ? info->ai_canonname : "-");
}

static void lookup(const char *label, const char *node, const char *service,
                   const struct addrinfo *hints) {
    struct addrinfo *list = NULL;
    int error = getaddrinfo(node, service, hints, &list);
    observe(label, "%s", eai_name(error));
    if (error == EAI_SYSTEM)
        observe("  errno", "%s", error_name(errno));
    for (struct addrinfo *info = list; info && !error; info = info->ai_next)
        entry(info);
    if (!error)
        freeaddrinfo(list);
}

static struct addrinfo hint(int family, int type, int flags) {
    return (struct addrinfo){.ai_family = family, .ai_socktype = type, .ai_flags = flags};
}

static void forward(void) {
    struct addrinfo stream = hint(0, SOCK_STREAM, 0), four = hint(AF_INET, SOCK_STREAM, 0);
    struct addrinfo six = hint(AF_INET6, SOCK_STREAM, 0);
    struct addrinfo passive = hint(0, SOCK_STREAM, AI_PASSIVE);
    struct addrinfo numeric = hint(0, SOCK_STREAM, AI_NUMERICHOST);
    struct addrinfo port = hint(0, SOCK_STREAM, AI_NUMERICSERV);
    struct addrinfo canon = hint(AF_INET, SOCK_STREAM, AI_CANONNAME);
    struct addrinfo mapped = hint(AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ALL);
    lookup("no hints", "127.0.0.1", "80", NULL);
    lookup("no service", "127.0.0.1", NULL, &stream);
    lookup("no node", NULL, "80", &stream);
    lookup("no node, passive", NULL, "80", &passive);
    lookup("neither", NULL, NULL, &stream);
    lookup("localhost", "localhost", "80", &four);
    lookup("localhost, IPv6", "localhost", "80", &six);
    lookup("localhost, any", "localhost", "80", &stream);
    lookup("localhost, canonical", "localhost", "80", &canon);
    lookup("canonical without node", NULL, "80", &canon);
    lookup("canonical of numbers", "127.0.0.1", "80", &canon);
    lookup("localhost, numeric only", "localhost", "80", &numeric);
    lookup("numeric", "127.0.0.1", "80", &numeric);
    lookup("short form", "127.1", "80", &four);
    lookup("numeric IPv6", "::1", "80", &numeric);
    lookup("with scope", "fe80::1%lo", "80", &numeric);
    lookup("with a scope that is none", "fe80::1%nosuch0", "80", &numeric);
    lookup("IPv4 in IPv6", "127.0.0.1", "80", &six);
    lookup("IPv6 in IPv4", "::1", "80", &four);
    lookup("v4-mapped", "127.0.0.1", "80", &mapped);
    lookup("service by name", "127.0.0.1", "http", &stream);
    lookup("service by name, numeric only", "127.0.0.1", "http", &port);
    lookup("service that is none", "localhost", "no-such-service", &stream);
    lookup("port out of range", "127.0.0.1", "99999", &stream);
    struct addrinfo bad = hint(77, SOCK_STREAM, 0);
    lookup("family that is none", "localhost", "80", &bad);
    bad = hint(0, 77, 0);
    lookup("type that is none", "localhost", "80", &bad);
    bad = hint(0, SOCK_STREAM, 0x40000000);
    lookup("flags that are none", "localhost", "80", &bad);
    bad = (struct addrinfo){.ai_protocol = IPPROTO_UDP, .ai_socktype = SOCK_STREAM};
    lookup("protocol that does not fit", "localhost", "80", &bad);
    lookup("nobody's name", "nosuch.invalid", "80", &stream);
    lookup("nobody's name, IPv4", "nosuch.invalid", "80", &four);
    lookup("nobody's name, IPv6", "nosuch.invalid", "80", &six);
    lookup("empty name", "", "80", &stream);
    lookup("blank name", " ", "80", &numeric);
}

static void host(const char *label, const struct hostent *found) {
    observe(label, "%s", found ? found->h_name : "-");
    for (int i = 0; found && found->h_addr_list[i]; i++)
        observe("  address", "%d %d %s", found->h_addrtype, found->h_length,
                address_text(found->h_addrtype, found->h_addr_list[i]));
    if (!found)
        observe("  h_errno", "%d", h_errno);
}

static void old_interface(void) {
    struct hostent room, *found = NULL;
    char buf[2000];
    int h_error = -1;
    host("gethostbyname localhost", gethostbyname("localhost"));
    host("gethostbyname 127.0.0.1", gethostbyname("127.0.0.1"));
    host("gethostbyname nobody", gethostbyname("nosuch.invalid"));
    host("gethostbyname2 ::1", gethostbyname2("::1", AF_INET6));
    host("gethostbyname2 localhost", gethostbyname2("localhost", AF_INET));
    for (size_t len = 0; len <= sizeof buf; len += 500) {
        char label[40];
        snprintf(label, sizeof label, "gethostbyname_r, room for %zu", len);
        int result = gethostbyname_r("localhost", &room, buf, len, &found, &h_error);
        observe(label, "%s", error_name(result));
        observe("  found", "%s", found ? found->h_name : "-");
    }
    int result = gethostbyname2_r("127.0.0.1", AF_INET, &room, buf, sizeof buf, &found, &h_error);
    observe("gethostbyname2_r", "%s %s", error_name(result), found ? found->h_name : "-");
    result = gethostbyname_r("nosuch.invalid", &room, buf, sizeof buf, &found, &h_error);
    observe("gethostbyname_r nobody", "%s %d %d", error_name(result), found != NULL, h_error);
}

static void back(const char *label, const void *addr, socklen_t len, socklen_t host_len,
                 socklen_t serv_len, int flags) {
    char host_text[300] = "untouched", serv[100] = "untouched";
    int error = getnameinfo(addr, len, host_len ? host_text : NULL, host_len,
                            serv_len ? serv : NULL, serv_len, flags);
    observe(label, "%s", eai_name(error));
    if (!error)
        observe("  names", "%s %s", host_text, serv);
}

static void reverse(void) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in6.sin6_addr = in6addr_loopback;
    back("loopback", &in, sizeof in, 300, 100, 0);
    back("loopback, numbers", &in, sizeof in, 300, 100, NI_NUMERICHOST | NI_NUMERICSERV);
    back("loopback, IPv6", &in6, sizeof in6, 300, 100, NI_NUMERICSERV);
    back("host alone", &in, sizeof in, 300, 0, 0);
    back("service alone", &in, sizeof in, 0, 100, 0);
    back("nothing", &in, sizeof in, 0, 0, 0);
    back("no room for the host", &in, sizeof in, 3, 100, 0);
    back("no room for the service", &in, sizeof in, 300, 1, NI_NUMERICSERV);
    back("short address", &in, 8, 300, 100, 0);
    in.sin_family = 77;
    back("family that is none", &in, sizeof in, 300, 100, 0);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    host("gethostbyaddr", gethostbyaddr(&loopback, 4, AF_INET));
    host("gethostbyaddr, wrong length", gethostbyaddr(&loopback, 3, AF_INET));
    struct hostent room, *found = NULL;
    char buf[1000];
    int h_error = -1;
    for (size_t len = 0; len <= sizeof buf; len += 1000) {
        int result = gethostbyaddr_r(&loopback, 4, AF_INET, &room, buf, len, &found, &h_error);
        observe("gethostbyaddr_r", "%s %s", error_name(result), found ? found->h_name : "-");
    }
}

/* A lookup, and the connect that follows. */
static void used(void) {
    struct server server = serve();
    struct addrinfo hints = hint(AF_INET, SOCK_STREAM, 0), *list = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", ntohs(server.addr.sin_port));
    observe("lookup", "%s", eai_name(getaddrinfo("localhost", port, &hints, &list)));
    int fd = tcp_socket(0);
    observe_result("connect", connect(fd, list->ai_addr, list->ai_addrlen));
    struct sockaddr_in peer = {0};
    socklen_t len = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &len);
    observe("peer", "%s", inet_ntoa(peer.sin_addr));
    close(fd);
    freeaddrinfo(list);
}

/* Replaces the machine's name servers by one that refuses at once. */
static void ask_nobody(void) {
    res_init();
    _res.nscount = 1;
    _res.nsaddr_list[0].sin_family = AF_INET;
    _res.nsaddr_list[0].sin_port = htons(53);
    _res.nsaddr_list[0].sin_addr.s_addr = htonl(0x7f0000fb);
}

int main(void) {
    ask_nobody();
    forward();
    old_interface();
    reverse();
    used();
    return 0;
}
