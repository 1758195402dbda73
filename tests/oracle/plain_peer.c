/* SPDX-License-Identifier: MIT */
/*
 * plain_peer.c - an ordinary smux server (`handshake = none`), made with libsmux's blocking
 * interface.
 *
 *     plain_peer [VERSION]
 *
 * Prints its port, on 127.0.0.1. The first two bytes of each stream are the port, in network order,
 * to which the rest is relayed.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/smux_blocking.h"

static struct smux_config config;

struct link {
    smuxb_stream *stream;
    int fd;
    atomic_int users;
};

/* The last of the two directions closes both. */
static void leave(struct link *link) {
    if (atomic_fetch_sub(&link->users, 1) > 1)
        return;
    smuxb_stream_close(link->stream);
    close(link->fd);
    free(link);
}

static void *from_socket(void *argument) {
    struct link *link = argument;
    char data[65536];
    ssize_t n;
    while ((n = read(link->fd, data, sizeof data)) > 0 &&
           smuxb_stream_write(link->stream, data, (size_t)n) == n)
        ;
    smuxb_stream_close_write(link->stream);
    leave(link);
    return NULL;
}

static void write_all(int fd, const char *data, ssize_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, (size_t)len);
        if (n <= 0)
            return;
        data += n;
        len -= n;
    }
}

static int dial(smuxb_stream *stream) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    for (size_t got = 0; got < 2; got++)
        if (smuxb_stream_read(stream, (char *)&name.sin_port + got, 1) != 1)
            exit(4);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) != 0)
        exit(5);
    return fd;
}

static void *from_stream(void *argument) {
    struct link *link = argument;
    pthread_t other;
    char data[65536];
    ssize_t n;
    link->fd = dial(link->stream);
    atomic_store(&link->users, 2);
    pthread_create(&other, NULL, from_socket, link);
    pthread_detach(other);
    while ((n = smuxb_stream_read(link->stream, data, sizeof data)) > 0)
        write_all(link->fd, data, n);
    shutdown(link->fd, SHUT_WR);
    leave(link);
    return NULL;
}

static void *serve_session(void *argument) {
    smuxb_session *session;
    smuxb_stream *stream;
    pthread_t thread;
    if (smuxb_session_server(&session, (int)(intptr_t)argument, &config) != 0)
        return NULL;
    while (smuxb_stream_accept(session, &stream) == 0) {
        struct link *link = calloc(1, sizeof *link);
        link->stream = stream;
        pthread_create(&thread, NULL, from_stream, link);
        pthread_detach(thread);
    }
    smuxb_session_free(session);
    return NULL;
}

int main(int argc, char **argv) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    pthread_t thread;
    smux_config_init(&config);
    config.version = argc > 1 ? atoi(argv[1]) : 2;
    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&name, len) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&name, &len) != 0)
        return 3;
    printf("%d\n", ntohs(name.sin_port));
    fflush(stdout);
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        if (pthread_create(&thread, NULL, serve_session, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    return 0;
}
