/* SPDX-License-Identifier: MIT
 *
 * smux over TLS: echo_client.c and echo_server.c again, over OpenSSL by means of transport
 * callbacks.
 *
 *     echo_tls server PORT CERTIFICATE KEY      PEM files; one session, then it ends
 *     echo_tls client PORT CERTIFICATE [TEXT]   trusts that certificate alone
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
 *         -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <smux_blocking.h>

/* ---- The transport -------------------------------------------------------------------------- */

/* One thread of the session reads while another writes, but only one thread at a time may use an
 * SSL object. So the socket is non-blocking, and threads wait without holding the lock. */
struct tls {
    SSL *ssl;
    int fd;
    pthread_mutex_t lock;
};

/* Waits for what OpenSSL's last call needs. False: it failed, with errno set. */
static bool wait_for(const struct tls *t, int ssl_error) {
    struct pollfd p = {.fd = t->fd};
    if (ssl_error == SSL_ERROR_WANT_READ)
        p.events = POLLIN;
    else if (ssl_error == SSL_ERROR_WANT_WRITE)
        p.events = POLLOUT;
    if (p.events)
        return poll(&p, 1, -1) > 0 || errno == EINTR;
    if (ssl_error != SSL_ERROR_SYSCALL || !errno)
        errno = EPROTO;
    return false;
}

/* A carrier that ends without TLS's own goodbye may have been cut: an error, no end. */
static ssize_t tls_read(void *context, void *data, size_t len) {
    struct tls *t = context;
    for (;;) {
        size_t n = 0;
        pthread_mutex_lock(&t->lock);
        ERR_clear_error();
        errno = 0;
        int ok = SSL_read_ex(t->ssl, data, len, &n);
        int error = ok ? SSL_ERROR_NONE : SSL_get_error(t->ssl, ok), saved_errno = errno;
        pthread_mutex_unlock(&t->lock);
        if (ok)
            return (ssize_t)n;
        if (error == SSL_ERROR_ZERO_RETURN)
            return 0;
        errno = saved_errno;
        if (!wait_for(t, error))
            return -1;
    }
}

#define RECORD_MAX 16384

/* Frames of several streams share a record: what fits into one goes out by one call. */
static ssize_t tls_writev(void *context, const struct iovec *iov, int iovcnt) {
    struct tls *t = context;
    unsigned char record[RECORD_MAX];
    size_t len = 0;
    for (int i = 0; i < iovcnt && len < sizeof record; i++) {
        size_t room = sizeof record - len, n = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(record + len, iov[i].iov_base, n);
        len += n;
    }
    for (;;) {
        size_t n = 0;
        pthread_mutex_lock(&t->lock);
        ERR_clear_error();
        errno = 0;
        int ok = SSL_write_ex(t->ssl, record, len, &n);
        int error = ok ? SSL_ERROR_NONE : SSL_get_error(t->ssl, ok), saved_errno = errno;
        pthread_mutex_unlock(&t->lock);
        if (ok)
            return (ssize_t)n;
        errno = saved_errno;
        if (!wait_for(t, error))
            return -1;
    }
}

/* Says goodbye if the socket has room for that, and wakes who waits in poll. */
static void tls_shutdown(void *context) {
    struct tls *t = context;
    pthread_mutex_lock(&t->lock);
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    pthread_mutex_unlock(&t->lock);
    shutdown(t->fd, SHUT_RDWR);
}

static void tls_close(void *context) {
    struct tls *t = context;
    close(t->fd);
    SSL_free(t->ssl);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Shakes hands over a connected socket, which it takes.  NULL: failed, and the socket is closed. */
static struct tls *tls_new(SSL_CTX *ctx, int fd, bool server) {
    struct tls *t = calloc(1, sizeof *t);
    SSL *ssl = SSL_new(ctx);
    if (!t || !ssl || !SSL_set_fd(ssl, fd) || !SSL_set1_host(ssl, "localhost") ||
        (server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1) {
        ERR_print_errors_fp(stderr);
        SSL_free(ssl);
        free(t);
        close(fd);
        return NULL;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *t = (struct tls){.ssl = ssl, .fd = fd};
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static int tls_session(smuxb_session **session, struct tls *t, bool server) {
    smuxb_transport transport = {tls_read, tls_writev, tls_shutdown, tls_close, t};
    int error = server ? smuxb_session_server_over(session, &transport, NULL)
                       : smuxb_session_client_over(session, &transport, NULL);
    if (error)
        tls_close(t);
    return error;
}

/* ---- Both sides ----------------------------------------------------------------------------- */

static SSL_CTX *tls_context(bool server, const char *certificate, const char *key) {
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (ok && server)
        ok = SSL_CTX_use_certificate_chain_file(ctx, certificate) == 1 &&
             SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1;
    else if (ok)
        ok = SSL_CTX_load_verify_locations(ctx, certificate, NULL) == 1;
    if (!ok) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (!server)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

static int socket_of(bool server, const char *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!server)
        return connect(fd, (struct sockaddr *)&a, len) ? -1 : fd;
    if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        return -1;
    printf("listening on port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    int accepted = accept(fd, NULL, NULL);
    close(fd);
    return accepted;
}

static void serve(smuxb_session *session) {
    smuxb_stream *stream;
    char buffer[16384];
    ssize_t n;
    while (smuxb_stream_accept(session, &stream) == 0) {
        while ((n = smuxb_stream_read(stream, buffer, sizeof buffer)) > 0)
            if (smuxb_stream_write(stream, buffer, (size_t)n) < 0)
                break;
        smuxb_stream_close(stream);
    }
}

static int talk(smuxb_session *session, const char *text) {
    smuxb_stream *stream;
    char buffer[4096];
    ssize_t n;
    int error = smuxb_stream_open(session, &stream);
    if (error)
        return error;
    if ((n = smuxb_stream_write(stream, text, strlen(text))) >= 0 &&
        (n = smuxb_stream_close_write(stream)) == 0)
        while ((n = smuxb_stream_read(stream, buffer, sizeof buffer)) > 0)
            fwrite(buffer, 1, (size_t)n, stdout);
    printf("\n");
    smuxb_stream_close(stream);
    return (int)n;
}

int main(int argc, char **argv) {
    bool server = argc == 5 && strcmp(argv[1], "server") == 0;
    if (!server && (argc < 4 || argc > 5 || strcmp(argv[1], "client") != 0)) {
        fprintf(stderr, "usage: echo_tls server PORT CERTIFICATE KEY\n"
                        "       echo_tls client PORT CERTIFICATE [TEXT]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    SSL_CTX *ctx = tls_context(server, argv[3], server ? argv[4] : NULL);
    int fd = ctx ? socket_of(server, argv[2]) : -1;
    if (ctx && fd < 0)
        fprintf(stderr, "port %s: %s\n", argv[2], strerror(errno));
    struct tls *t = fd >= 0 ? tls_new(ctx, fd, server) : NULL;
    SSL_CTX_free(ctx);
    smuxb_session *session;
    int error = t ? tls_session(&session, t, server) : SMUX_ERR_CARRIER;
    if (!error) {
        if (server)
            serve(session);
        else
            error = talk(session, argc > 4 ? argv[4] : "hello from libsmux, over TLS");
        smuxb_session_free(session);
    }
    if (error)
        fprintf(stderr, "failed: %s\n", smuxb_strerror(error));
    return error ? 1 : 0;
}
