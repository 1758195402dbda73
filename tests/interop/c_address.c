/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in parse_address(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        usage("expected an IPv4 address and a port, got %s", text);
    address.sin_port = htons((uint16_t)port);
    return address;
}

int listen_at(const char *text, int backlog) {
    struct sockaddr_in address = parse_address(text);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, backlog) ||
        getsockname(fd, (struct sockaddr *)&address, &len)) {
        close(fd);
        return -1;
    }
    printf("listening %s:%u\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return fd;
}

int connect_to(const char *text) {
    struct sockaddr_in address = parse_address(text);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}
