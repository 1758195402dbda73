/* SPDX-License-Identifier: MIT */
/* plain_peer is c_peer without smux: the same conversation, in which each stream is a TCP
 * connection of its own.  So it may be the program that smuxshim runs, and the server behind
 * smux-gateway.
 *
 * This is that part of smux_blocking.h that c_peer uses. */
#include "tests/interop/c_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct smuxb_session {
    const char *target; /* where streams lead; NULL: it listens */
    int listener;
    unsigned streams;
};

struct smuxb_stream {
    smuxb_session *session;
    int fd;
    bool shut;
};

enum { BACKLOG = 512, ERRNO_BASE = -1000 };

static int errno_error(void) {
    return ERRNO_BASE - errno;
}

const char *smuxb_error_name(int error) {
    const char *name =
        error <= ERRNO_BASE ? strerrorname_np(ERRNO_BASE - error) : smux_error_name(error);
    return name ? name : "unknown";
}

uint64_t smuxb_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- Sessions ------------------------------------------------------------------------------- */

static int listening = -1;

static void stop_listening(int signal) {
    int saved_errno = errno;
    (void)signal;
    shutdown(listening, SHUT_RDWR);
    errno = saved_errno;
}

/* One that listens ends at SIGTERM. */
smuxb_session *start_session(const struct options *o) {
    smuxb_session *session = must_alloc(sizeof *session);
    *session = (smuxb_session){o->connect, -1, 0};
    if (o->connect)
        return session;
    session->listener = listening = listen_at(o->listen, BACKLOG);
    if (listening < 0) {
        perror("plain_peer: listen");
        exit(1);
    }
    signal(SIGTERM, stop_listening);
    return session;
}

int smuxb_session_close(smuxb_session *session) {
    if (session->listener >= 0)
        shutdown(session->listener, SHUT_RDWR);
    return 0;
}

int smuxb_session_wait(smuxb_session *session, uint64_t deadline_us) {
    (void)session, (void)deadline_us;
    for (;;)
        pause();
}

void smuxb_session_free(smuxb_session *session) {
    if (session->listener >= 0)
        close(session->listener);
    free(session);
}

uint32_t smuxb_session_num_streams(const smuxb_session *session) {
    return __atomic_load_n(&session->streams, __ATOMIC_ACQUIRE);
}

const char *smuxb_session_error_text(const smuxb_session *session) {
    (void)session;
    return "terminated";
}

/* ---- Streams -------------------------------------------------------------------------------- */

static smuxb_stream *stream_new(smuxb_session *session, int fd) {
    smuxb_stream *stream = must_alloc(sizeof *stream);
    int one = 1;
    *stream = (smuxb_stream){session, fd, false};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    __atomic_fetch_add(&session->streams, 1, __ATOMIC_ACQ_REL);
    return stream;
}

int smuxb_stream_open(smuxb_session *session, smuxb_stream **stream) {
    if (!session->target)
        return SMUX_ERR_ARGUMENT; /* `call` works in smux only */
    int fd = connect_to(session->target);
    if (fd < 0)
        return errno_error();
    *stream = stream_new(session, fd);
    return 0;
}

int smuxb_stream_accept(smuxb_session *session, smuxb_stream **stream) {
    int fd = session->listener < 0 ? -1 : accept(session->listener, NULL, NULL);
    if (fd < 0)
        return SMUX_ERR_CLOSED;
    *stream = stream_new(session, fd);
    return 0;
}

uint32_t smuxb_stream_id(const smuxb_stream *stream) {
    return (uint32_t)stream->fd;
}

ssize_t smuxb_stream_read(smuxb_stream *stream, void *data, size_t len) {
    ssize_t n = recv(stream->fd, data, len, 0);
    return n < 0 ? errno_error() : n;
}

ssize_t smuxb_stream_write(smuxb_stream *stream, const void *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = send(stream->fd, (const uint8_t *)data + done, len - done, MSG_NOSIGNAL);
        if (n < 0)
            return stream->shut && errno == EPIPE ? SMUX_ERR_SHUT : errno_error();
        done += (size_t)n;
    }
    return (ssize_t)len;
}

ssize_t smuxb_stream_writev(smuxb_stream *stream, const struct iovec *iov, int iovcnt) {
    ssize_t total = 0;
    for (int i = 0; i < iovcnt; i++) {
        ssize_t n = smuxb_stream_write(stream, iov[i].iov_base, iov[i].iov_len);
        if (n < 0)
            return n;
        total += n;
    }
    return total;
}

int smuxb_stream_close_write(smuxb_stream *stream) {
    stream->shut = true;
    return shutdown(stream->fd, SHUT_WR) ? errno_error() : 0;
}

/* c_peer asks for that only to make a writer return. */
void smuxb_stream_set_write_deadline(smuxb_stream *stream, uint64_t deadline_us) {
    (void)deadline_us;
    shutdown(stream->fd, SHUT_RDWR);
}

void smuxb_stream_close(smuxb_stream *stream) {
    close(stream->fd);
    __atomic_fetch_sub(&stream->session->streams, 1, __ATOMIC_ACQ_REL);
    free(stream);
}
