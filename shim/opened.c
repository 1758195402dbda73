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

int shim_epoll_create(int size) {
    int epfd = real.epoll_create(size);
    epoll_sets_note(epfd);
    return epfd;
}

int shim_epoll_create1(int flags) {
    int epfd = real.epoll_create1(flags);
    epoll_sets_note(epfd);
    return epfd;
}

#ifdef SYS_io_uring_setup
int shim_io_uring_setup(unsigned n_entries, void *params) {
    int ring = (int)real.syscall(SYS_io_uring_setup, n_entries, params);
    if (ring >= 0)
        epoll_sets_note_ring();
    return ring;
}
#endif
