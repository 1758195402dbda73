/* SPDX-License-Identifier: MIT
 *
 * An echo server: every connection is a smux session, and everything sent on a stream is sent back
 * on it.
 *
 *     echo_server [PORT]
 *
 * Listens on 127.0.0.1, by default at port 7777.  See echo_client.c for the other side.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <smux_blocking.h>

/* A thread for each stream. When the stream ends, in order or by an error, it is closed. */
static void *serve_stream(void *argument) {
    smuxb_stream *stream = argument;
    char buffer[16384];
    ssize_t n;
    while ((n = smuxb_stream_read(stream, buffer, sizeof buffer)) > 0)
        if ((n = smuxb_stream_write(stream, buffer, (size_t)n)) < 0)
            break;
    if (n < 0)
        fprintf(stderr, "stream %u: %s\n", smuxb_stream_id(stream), smuxb_strerror((int)n));
    smuxb_stream_close(stream);
    return NULL;
}

/* A thread for each session, which accepts its streams. */
static void *serve_session(void *argument) {
    smuxb_session *session = argument;
    smuxb_stream *stream;
    pthread_t thread;
    while (smuxb_stream_accept(session, &stream) == 0) {
        if (pthread_create(&thread, NULL, serve_stream, stream)) {
            smuxb_stream_reset(stream);
            continue;
        }
        pthread_detach(thread);
    }
    fprintf(stderr, "session ended: %s\n", smuxb_session_error_text(session));
    smuxb_session_free(session);
    return NULL;
}

static void serve_connection(int fd) {
    smuxb_session *session;
    pthread_t thread;
    int error = smuxb_session_server(&session, fd, NULL);
    if (error) {
        fprintf(stderr, "no session: %s\n", smuxb_strerror(error));
        close(fd);
        return;
    }
    if (pthread_create(&thread, NULL, serve_session, session))
        smuxb_session_free(session);
    else
        pthread_detach(thread);
}

static int listen_on(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 16)) {
        fprintf(stderr, "cannot listen on port %s: %s\n", port, strerror(errno));
        exit(1);
    }
    socklen_t len = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &len);
    printf("listening on port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    int listener = listen_on(argc > 1 ? argv[1] : "7777");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            serve_connection(fd);
        else if (errno != EINTR && errno != ECONNABORTED) {
            perror("accept");
            return 1;
        }
    }
}
