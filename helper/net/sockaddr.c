/* SPDX-License-Identifier: MIT */
/* sockaddr.c - see sockaddr.h. */
#include "helper/net/sockaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/common/config.h"

static bool literal_path(const char *path, struct sockaddr_storage *addr, socklen_t *len) {
    struct sockaddr_un *un = (struct sockaddr_un *)addr;
    size_t path_len = strlen(path);
    if (path_len >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, path_len + 1);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + 1);
    return true;
}

bool sockaddr_literal(const struct config_address *address, struct sockaddr_storage *addr,
                      socklen_t *len) {
    struct sockaddr_in *in = (struct sockaddr_in *)addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
    memset(addr, 0, sizeof *addr);
    if (address->scheme == CONFIG_UNIX)
        return literal_path(address->host, addr, len);
    if (inet_pton(AF_INET, address->host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        *len = sizeof *in;
        return true;
    }
    if (inet_pton(AF_INET6, address->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(address->port);
        *len = sizeof *in6;
        return true;
    }
    return false;
}

int sockaddr_connect_start(const struct sockaddr_storage *addr, socklen_t len,
                           bool reset_on_close) {
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (reset_on_close)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(fd, (const struct sockaddr *)addr, len) == 0 || errno == EINPROGRESS)
        return fd;
    int saved = errno;
    close(fd);
    return -saved;
}
