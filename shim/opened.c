/* opened.c - see opened.h. */
#include "opened.h"

#include <sys/socket.h>

#include "epoll_registry.h"
#include "real.h"

int shim_socket(int family, int type, int protocol) {
    const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = real.socket(family, type, protocol);
    if (fd >= 0)
        epoll_registry_opened(fd, (family == AF_INET || family == AF_INET6) &&
                                      (type & ~flags) == SOCK_STREAM);
    return fd;
}
