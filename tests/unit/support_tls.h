/* SPDX-License-Identifier: MIT
 *
 * For tests of the blocking API over TLS (core/smux_tls.h): a certificate, and two more variants
 * for DUO_MAIN.  Include it before support_blocking.h.
 */
#ifndef TEST_SUPPORT_TLS_H
#define TEST_SUPPORT_TLS_H

struct duo;
static void tls_start(struct duo *d, int fds[2]);

#define MORE_VARIANTS                                                                              \
    {"TLS, version 1", tcp_pair, 1, tls_start}, {"TLS, version 2", tcp_pair, 2, tls_start},

#include "support_blocking.h"

#include "core/smux_tls.h"

/* ---- A certificate -------------------------------------------------------------------------- */

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline struct identity identity_new(void) {
    struct identity id = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *name = X509_get_subject_name(id.certificate);
    assert_non_null(id.key);
    X509_set_version(id.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(id.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.certificate), 3600);
    X509_set_pubkey(id.certificate, id.key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(id.certificate, name);
    assert_true(X509_sign(id.certificate, id.key, EVP_sha256()) > 0);
    return id;
}

static inline void identity_free(struct identity *id) {
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
}

/* Takes the certificate as its own, or trusts it; `both`: the client shows it as well. */
static inline SSL_CTX *context_of(const struct identity *id, bool server, bool both) {
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (server || both) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, id->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, id->key), 1);
    }
    if (!server || both) {
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), id->certificate), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

/* ---- The variants --------------------------------------------------------------------------- */

/* One side of the handshake. */
struct tls_end {
    struct duo *duo;
    SSL *ssl;
};

static inline void *tls_serve(void *argument) {
    struct tls_end *end = argument;
    return (void *)(intptr_t)smuxb_session_server_tls(
        &end->duo->server, end->ssl, smuxb_after_ms(PATIENCE_MS), &end->duo->config);
}

static inline SSL *tls_on(const struct identity *id, int fd, bool server) {
    SSL_CTX *ctx = context_of(id, server, false);
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_CTX_free(ctx); /* the SSL object has its own hold of it */
    return ssl;
}

__attribute__((unused)) static void tls_start(struct duo *d, int fds[2]) {
    struct identity id = identity_new();
    SSL *client = tls_on(&id, fds[0], false);
    struct tls_end server = {d, tls_on(&id, fds[1], true)};
    pthread_t thread = run(tls_serve, &server);
    assert_int_equal(
        smuxb_session_client_tls(&d->client, client, smuxb_after_ms(PATIENCE_MS), &d->config), 0);
    assert_int_equal(result_of(thread), 0);
    identity_free(&id);
}

#endif
