/* SPDX-License-Identifier: MIT
 *
 * An echo server for many streams: a few threads serve all streams of a session. A thread has a
 * stream only while there is something to do for it, and no byte is copied.
 *
 *     echo_pool [PORT]
 *
 * Listens on 127.0.0.1, by default at port 7777, and serves one connection after the other.  See
 * echo_client.c for the other side, echo_server.c for a thread for each stream.  A thread that
 * writes to a peer which does not read blocks; smuxb_stream_set_write_deadline limits that, and
 * smuxb_stream_writev then returns how much has been sent.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <smux_blocking.h>

enum { WORKERS = 4, LOAN_MAX = 65536 };

/* Sends back what has been received. False: the stream has ended. */
static bool echo_some(smuxb_stream *stream) {
    smuxb_loan loan;
    ssize_t n = smuxb_stream_borrow(stream, LOAN_MAX, &loan), sent = 0;
    if (n > 0)
        sent = smuxb_stream_writev(stream, loan.iov, loan.iovcnt);
    smuxb_stream_return(&loan);
    if (n < 0 || sent < 0)
        fprintf(stderr, "stream %u: %s\n", smuxb_stream_id(stream),
                smuxb_strerror((int)(n < 0 ? n : sent)));
    return n > 0 && sent == n; /* after a short write the rest would be missing */
}

static void *work(void *session) {
    smuxb_stream *stream;
    while (smuxb_session_ready(session, 0, &stream) == 0) {
        if (echo_some(stream))
            smuxb_stream_watch(stream); /* from now on it may be another thread's */
        else
            smuxb_stream_close(stream);
    }
    return NULL;
}

static void serve(smuxb_session *session) {
    pthread_t workers[WORKERS];
    smuxb_stream *stream;
    int started = 0;
    while (started < WORKERS && !pthread_create(&workers[started], NULL, work, session))
        started++;
    while (started && smuxb_stream_accept(session, &stream) == 0)
        smuxb_stream_watch(stream);
    while (started)
        pthread_join(workers[--started], NULL);
    fprintf(stderr, "session ended: %s\n", smuxb_session_error_text(session));
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
        smuxb_session *session;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED) {
            perror("accept");
            return 1;
        }
        if (fd < 0)
            continue;
        int error = smuxb_session_server(&session, fd, NULL);
        if (error) {
            fprintf(stderr, "no session: %s\n", smuxb_strerror(error));
            close(fd);
            continue;
        }
        serve(session);
        smuxb_session_free(session);
    }
}
