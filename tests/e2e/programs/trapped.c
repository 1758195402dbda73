/* SPDX-License-Identifier: MIT */
/* trapped.c - a client that is linked statically: prints what its connects, to a server of its own,
 * look like. The output is the same with and without the trap. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_storage server_name;
static socklen_t server_len;

static void say(const char *what, int result) {
    printf("%s: %d %s\n", what, result, result < 0 ? strerror(errno) : "");
}

/* Listens on a loopback port, or reserves one on which nobody listens. */
static int serve(int family, int listens) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&server_name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&server_name;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&server_name, 0, sizeof server_name);
    server_name.ss_family = (sa_family_t)family;
    if (family == AF_INET)
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        v6->sin6_addr = in6addr_loopback;
    server_len = family == AF_INET ? sizeof *v4 : sizeof *v6;
    if (bind(fd, (struct sockaddr *)&server_name, server_len) != 0 || (listens && listen(fd, 64)))
        exit(2);
    getsockname(fd, (struct sockaddr *)&server_name, &server_len);
    return fd;
}

static void say_names(int fd) {
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof name;
    say("getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    printf("it is the server: %d, %u bytes\n", memcmp(&name, &server_name, server_len) == 0, len);
    len = sizeof name;
    memset(&name, 0, sizeof name);
    say("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
    printf("its family: %d, %u bytes\n", name.ss_family, len);
}

static void say_options(int fd) {
    static const struct {
        const char *text;
        int level, name;
    } options[] = {
        {"SO_DOMAIN", SOL_SOCKET, SO_DOMAIN},      {"SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL},
        {"SO_TYPE", SOL_SOCKET, SO_TYPE},          {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE},
        {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY}, {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int value = -1;
        socklen_t len = sizeof value;
        say(options[i].text, getsockopt(fd, options[i].level, options[i].name, &value, &len));
        printf("%s: is %d\n", options[i].text, value);
    }
}

/* What is sent comes back, also from a child that inherited the connection. */
static void say_data(int fd, int listener) {
    char text[16] = "";
    int peer = accept(listener, NULL, NULL);
    if (fork() == 0)
        _exit(write(fd, "child", 5) != 5);
    wait(NULL);
    printf("the server reads: %zd %s\n", recv(peer, text, 5, MSG_WAITALL), text);
    say("the server writes", (int)write(peer, "hello", 5));
    printf("the client reads: %zd %s\n", recv(fd, text, 5, MSG_WAITALL), text);
    close(peer);
    printf("at the end: %zd\n", read(fd, text, sizeof text));
}

static void client(int family, int blocking, int listens) {
    int on = 1, idle = 77, listener = serve(family, listens);
    int fd = socket(family, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
    printf("-- family %d, blocking %d, server %d\n", family, blocking, listens);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    say("connect", connect(fd, (struct sockaddr *)&server_name, server_len));
    if (!blocking) {
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        int error = -1;
        socklen_t len = sizeof error;
        say("poll", poll(&pfd, 1, -1));
        say("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
        printf("error: %s\n", strerror(error));
        say("connect again", connect(fd, (struct sockaddr *)&server_name, server_len));
    }
    say_names(fd);
    say_options(fd);
    say("set TCP_KEEPIDLE", setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle));
    say_options(fd);
    if (listens) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        if (blocking)
            say_data(fd, listener);
        else
            printf("nothing to read: %d\n", poll(&pfd, 1, 0));
        say("connect once more", connect(fd, (struct sockaddr *)&server_name, server_len));
    }
    close(fd);
    close(listener);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int kind = 0; kind < 8; kind++)
        client(kind & 1 ? AF_INET6 : AF_INET, kind & 2, kind & 4);
    return 0;
}
