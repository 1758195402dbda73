/* SPDX-License-Identifier: MIT */
/* listen.c - see listen.h. */
#include "helper/net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/common/endpoint.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/sockaddr.h"

static int fail(int fd, const char **why, const char *what) {
    int saved = errno;
    if (fd >= 0)
        close(fd);
    *why = what;
    return saved ? -saved : -EINVAL;
}

/* True if nobody listens at the path any more: its socket file may be removed. */
static bool is_stale(const struct sockaddr *addr, socklen_t len) {
    struct stat st;
    /* connect fails with ECONNREFUSED for any kind of file */
    if (lstat(((const struct sockaddr_un *)addr)->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = fd >= 0 && connect(fd, addr, len) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

int listen_open_unix(const struct sockaddr *addr, socklen_t len, uint32_t mode, const char **why) {
    const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
    int fd = passed_sockets_take(addr, len);
    if (fd >= 0)
        return fd;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, why, "no socket");
    bool bound = bind(fd, addr, len) == 0;
    if (!bound && errno == EADDRINUSE && un->sun_path[0] && is_stale(addr, len))
        bound = unlink(un->sun_path) == 0 && bind(fd, addr, len) == 0;
    if (!bound)
        return fail(fd, why, "cannot bind");
    if (un->sun_path[0] && chmod(un->sun_path, mode) < 0)
        return fail(fd, why, "cannot set the mode");
    if (listen(fd, SOMAXCONN) < 0)
        return fail(fd, why, "cannot listen");
    return fd;
}

static int open_tcp(const struct sockaddr *addr, socklen_t len, bool share, const char **why) {
    int one = 1;
    int fd = passed_sockets_take(addr, len);
    if (fd >= 0)
        return fd;
    fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, why, "no socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0)
        return fail(fd, why, "cannot share the port");
    if (bind(fd, addr, len) < 0)
        return fail(fd, why, "cannot bind");
    if (listen(fd, SOMAXCONN) < 0)
        return fail(fd, why, "cannot listen");
    return fd;
}

int listen_open(const struct config_address *address, bool share, uint32_t unix_mode,
                const char **why) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    struct sockaddr_storage addr;
    socklen_t len;
    char port[8];
    if (sockaddr_literal(address, &addr, &len)) {
        if (address->scheme == CONFIG_UNIX)
            return listen_open_unix((struct sockaddr *)&addr, len, unix_mode, why);
        return open_tcp((struct sockaddr *)&addr, len, share, why);
    }
    errno = ENAMETOOLONG;
    if (address->scheme == CONFIG_UNIX)
        return fail(-1, why, "cannot bind");
    snprintf(port, sizeof port, "%u", address->port);
    errno = EADDRNOTAVAIL;
    if (getaddrinfo(address->host, port, &hints, &found) != 0)
        return fail(-1, why, "cannot resolve the name");
    int fd = open_tcp(found->ai_addr, found->ai_addrlen, share, why);
    freeaddrinfo(found);
    return fd;
}

static bool name_of(int fd, struct sockaddr_storage *addr, struct endpoint *endpoint) {
    socklen_t len = sizeof *addr;
    memset(addr, 0, sizeof *addr);
    return getsockname(fd, (struct sockaddr *)addr, &len) == 0 &&
           endpoint_from_sockaddr(endpoint, (struct sockaddr *)addr, len);
}

char *listen_text(int fd, enum config_scheme scheme, char *out, size_t size) {
    struct sockaddr_storage addr;
    struct endpoint endpoint;
    char text[ENDPOINT_TEXT_SIZE];
    snprintf(out, size, "%s://%s", config_scheme_name(scheme),
             name_of(fd, &addr, &endpoint) ? endpoint_text(&endpoint, text, sizeof text)
                                           : ((struct sockaddr_un *)&addr)->sun_path);
    return out;
}

uint16_t listen_port(int fd) {
    struct sockaddr_storage addr;
    struct endpoint endpoint;
    return name_of(fd, &addr, &endpoint) ? endpoint.port : 0;
}
