/* SPDX-License-Identifier: MIT
 *
 * The blocking API over TLS, by the very transport that examples/echo_tls.c shows.
 */
#define main example_main
#include "examples/echo_tls.c"
#undef main

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "support_blocking.h"

/* ---- A certificate -------------------------------------------------------------------------- */

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static struct identity identity_new(void) {
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

static void identity_free(struct identity *id) {
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
}

/* The example reads files, the test makes its contexts itself. */
static SSL_CTX *context_of(const struct identity *id, bool server) {
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (server) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, id->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, id->key), 1);
    } else {
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), id->certificate), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    return ctx;
}

/* ---- Two sessions --------------------------------------------------------------------------- */

struct side {
    SSL_CTX *ctx;
    int fd;
    bool server;
    struct tls *tls;
};

static void *shake_hands(void *argument) {
    struct side *s = argument;
    s->tls = tls_new(s->ctx, s->fd, s->server);
    return NULL;
}

static void shake_both(struct side *client, struct side *server) {
    pthread_t thread = run(shake_hands, server);
    shake_hands(client);
    result_of(thread);
}

struct secure {
    struct identity id;
    struct side client, server;
    struct duo duo;
};

static int secure_setup(void **state) {
    struct secure *x = calloc(1, sizeof *x);
    int fds[2];
    tcp_pair(fds);
    x->id = identity_new();
    x->client = (struct side){context_of(&x->id, false), fds[0], false, NULL};
    x->server = (struct side){context_of(&x->id, true), fds[1], true, NULL};
    shake_both(&x->client, &x->server);
    assert_non_null(x->client.tls);
    assert_non_null(x->server.tls);
    assert_int_equal(tls_session(&x->duo.client, x->client.tls, false), 0);
    assert_int_equal(tls_session(&x->duo.server, x->server.tls, true), 0);
    *state = x;
    return 0;
}

static int secure_teardown(void **state) {
    struct secure *x = *state;
    duo_end(&x->duo);
    SSL_CTX_free(x->client.ctx);
    SSL_CTX_free(x->server.ctx);
    identity_free(&x->id);
    free(x);
    return 0;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

#define MUCH (8000000u / SLOWNESS)

static void *write_much(void *stream) {
    write_pattern(stream, smuxb_stream_id(stream), MUCH, 50000);
    smuxb_stream_close_write(stream);
    return NULL;
}

static void bytes_and_ends_pass_both_ways_at_once(void **state) {
    struct secure *x = *state;
    struct ends e = open_ends(&x->duo);
    uint32_t id = smuxb_stream_id(e.near);
    pthread_t near = run(write_much, e.near), far = run(write_much, e.far);
    pthread_t echo = run(read_one, e.far);
    assert_int_equal(result_of(echo), 1);
    /* The first byte is taken; from then on the far side reads what follows. */
    uint8_t *data = malloc(100000);
    size_t near_done = 0, far_done = 1;
    while (near_done < MUCH || far_done < MUCH) {
        ssize_t n = near_done < MUCH ? smuxb_stream_read(e.near, data, 100000) : 0;
        assert_true(n >= 0 && pattern_ok(data, (size_t)n, id, near_done));
        near_done += (size_t)n;
        n = far_done < MUCH ? smuxb_stream_read(e.far, data, 100000) : 0;
        assert_true(n >= 0 && pattern_ok(data, (size_t)n, id, far_done));
        far_done += (size_t)n;
    }
    free(data);
    expect_eof(e.near);
    expect_eof(e.far);
    result_of(near);
    result_of(far);
    close_ends(&e);
}

static void many_streams_share_the_connection(void **state) {
    struct secure *x = *state;
    struct ends e[100];
    for (size_t i = 0; i < LENGTH(e); i++) {
        e[i] = open_ends(&x->duo);
        say(e[i].near, "over TLS");
    }
    for (size_t i = LENGTH(e); i-- > 0;) {
        expect_text(e[i].far, "over TLS");
        close_ends(&e[i]);
    }
}

/* The peer is told by TLS's own goodbye, so that a cut connection cannot look like an end. */
static void the_end_of_the_session_is_an_orderly_one_of_tls(void **state) {
    struct secure *x = *state;
    smuxb_session_close(x->duo.client);
    assert_int_equal(smuxb_session_wait(x->duo.server, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(x->duo.server), 0);
}

static void a_connection_cut_without_a_goodbye_is_an_error(void **state) {
    struct secure *x = *state;
    shutdown(x->client.fd, SHUT_RDWR);
    assert_int_equal(smuxb_session_wait(x->duo.server, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_CARRIER);
    assert_int_not_equal(smuxb_session_errno(x->duo.server), 0);
}

/* That an unknown certificate is refused shows that the callbacks really use TLS. */
static void another_certificate_is_refused(void **state) {
    struct identity good = identity_new(), other = identity_new();
    int fds[2];
    (void)state;
    tcp_pair(fds);
    struct side client = {context_of(&good, false), fds[0], false, NULL};
    struct side server = {context_of(&other, true), fds[1], true, NULL};
    shake_both(&client, &server);
    assert_null(client.tls);
    if (server.tls)
        tls_close(server.tls); /* its half was done before it could know */
    SSL_CTX_free(client.ctx);
    SSL_CTX_free(server.ctx);
    identity_free(&good);
    identity_free(&other);
}

#define X(test) cmocka_unit_test_setup_teardown(test, secure_setup, secure_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        X(bytes_and_ends_pass_both_ways_at_once),
        X(many_streams_share_the_connection),
        X(the_end_of_the_session_is_an_orderly_one_of_tls),
        X(a_connection_cut_without_a_goodbye_is_an_error),
        cmocka_unit_test(another_certificate_is_refused),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
