/* SPDX-License-Identifier: MIT
 *
 * smux over TLS: echo_client.c and echo_server.c again, over OpenSSL by means of smux_tls.h.
 *
 *     echo_tls server PORT CERTIFICATE KEY      PEM files; one session, then it ends
 *     echo_tls client PORT CERTIFICATE [TEXT]   trusts that certificate alone
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
 *         -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
 */
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <smux_tls.h>

#define HANDSHAKE_MS 10000

/* What TLS calls our protocol: smux-gateway and smux-helper expect that, too. */
static const unsigned char alpn[] = {4, 's', 'm', 'u', 'x'};

static int select_smux(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *context) {
    unsigned char *chosen;
    (void)ssl, (void)context;
    if (SSL_select_next_proto(&chosen, out_len, alpn, sizeof alpn, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *tls_context(bool server, const char *certificate, const char *key) {
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (ok && server)
        ok = SSL_CTX_use_certificate_chain_file(ctx, certificate) == 1 &&
             SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1;
    else if (ok)
        ok = SSL_CTX_load_verify_locations(ctx, certificate, NULL) == 1;
    if (ok && !server)
        ok = SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn) == 0;
    if (!ok) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (server)
        SSL_CTX_set_alpn_select_cb(ctx, select_smux, NULL);
    else
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
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

/* Takes the connected socket, whatever comes of it. */
static int start(smuxb_session **session, SSL_CTX *ctx, int fd, bool server) {
    uint64_t deadline_us = smuxb_after_ms(HANDSHAKE_MS);
    SSL *ssl = SSL_new(ctx);
    int error = SMUX_ERR_NOMEM;
    if (ssl && SSL_set_fd(ssl, fd) && (server || SSL_set1_host(ssl, "localhost")))
        error = server ? smuxb_session_server_tls(session, ssl, deadline_us, NULL)
                       : smuxb_session_client_tls(session, ssl, deadline_us, NULL);
    if (error) {
        ERR_print_errors_fp(stderr);
        SSL_free(ssl);
        close(fd);
    }
    return error;
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
    SSL_CTX *ctx = tls_context(server, argv[3], server ? argv[4] : NULL);
    int fd = ctx ? socket_of(server, argv[2]) : -1;
    if (ctx && fd < 0)
        fprintf(stderr, "port %s: %s\n", argv[2], strerror(errno));
    smuxb_session *session;
    int error = fd >= 0 ? start(&session, ctx, fd, server) : SMUX_ERR_CARRIER;
    SSL_CTX_free(ctx);
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
