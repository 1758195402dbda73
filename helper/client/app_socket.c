/* SPDX-License-Identifier: MIT */
/* app_socket.c - see app_socket.h. */
#include "helper/client/app_socket.h"

#include <sys/socket.h>

bool app_socket_is_unix_stream(int fd) {
    int domain = 0, type = 0;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

bool app_socket_resets(int fd) {
    struct linger linger = {0};
    socklen_t len = sizeof linger;
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len);
    return linger.l_onoff && linger.l_linger == 0;
}
