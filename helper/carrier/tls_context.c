/* SPDX-License-Identifier: MIT */
/* tls_context.c - see tls_context.h. */
#include "helper/carrier/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/tls_certificate.h"
#include "helper/carrier/tls_verify.h"
#include "helper/net/subprocess.h"

/* AES-128-GCM first: the fastest one where the processor has AES, and a secret's hash is its. */
#define CIPHERS "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"

/* Its number in TLS: external secrets are used with its hash, SHA-256. */
static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};

/* As ALPN has it: a byte of length before each name. */
static const unsigned char alpn_smux[] = "\4smux";
#define ALPN_LEN (sizeof alpn_smux - 1)

/* A server that looks at certificates takes only sessions, which secrets are to OpenSSL, that bear
 * its own mark. */
static const unsigned char session_mark[] = "smux";
#define MARK_LEN (sizeof session_mark - 1)

/* Certificates of a stranger, in a handshake. */
#define CHAIN_BYTES_MAX 32768

struct tls_context {
    unsigned refs;
    struct list_link link; /* in `all` */
    bool server;
    bool asks; /* a server that wants its clients' certificates */
    bool anyone;
    SSL_CTX *ctx;
    struct tls_secrets secrets;
    struct tls_trust trust;
};

static const struct tls_context *context_of(const SSL *ssl) {
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* What a child process must not have. */
static struct list all = LIST_INITIALIZER(all);

static void free_secrets(struct tls_context *context) {
    SSL_CTX_free(context->ctx); /* which wipes the private key, unless connections have it */
    tls_secrets_free(&context->secrets);
    context->ctx = NULL;
}

static void forget_all(void) {
    list_for_each(link, &all)
        free_secrets(container_of(link, struct tls_context, link));
}

/* ---- Secrets ---- */

static SSL_SESSION *session_of(SSL *ssl, const struct tls_secret *secret) {
    SSL_SESSION *session = SSL_SESSION_new();
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    if (session && cipher && SSL_SESSION_set1_master_key(session, secret->bytes, secret->len) &&
        SSL_SESSION_set_cipher(session, cipher) &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) &&
        SSL_SESSION_set1_id_context(session, session_mark, MARK_LEN))
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

/* A client offers its secret. `md` is set when the server has chosen a cipher already. */
static int offer_secret(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
                        SSL_SESSION **session) {
    const struct tls_secret *secret = &context_of(ssl)->secrets.list[0];
    struct tls_verdict *verdict = SSL_get_app_data(ssl);
    *session = NULL;
    *id = NULL;
    *id_len = 0;
    if (md && EVP_MD_get_type(md) != NID_sha256)
        return 1;
    *session = session_of(ssl, secret);
    if (!*session)
        return 0;
    memcpy(verdict->identity, secret->identity, sizeof verdict->identity);
    *id = (const unsigned char *)secret->identity;
    *id_len = strlen(secret->identity);
    return 1;
}

/* A server looks for the secret of the identity that a client claims to be. */
static int find_secret(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session) {
    const struct tls_secret *secret = tls_secrets_find(&context_of(ssl)->secrets, id, id_len);
    struct tls_verdict *verdict = SSL_get_app_data(ssl);
    bool printable = tls_identity_valid((const char *)id, id_len);
    *session = NULL;
    snprintf(verdict->identity, sizeof verdict->identity, "%.*s", printable ? (int)id_len : 1,
             printable ? (const char *)id : "?");
    if (!secret) {
        snprintf(verdict->why, sizeof verdict->why, "the identity \"%s\" is not known here",
                 verdict->identity);
        verdict->failure = CARRIER_FAILED_SECRET;
        return 1; /* it may know another one */
    }
    verdict->why[0] = '\0';
    *session = session_of(ssl, secret);
    return *session != NULL;
}

static bool use_secrets(struct tls_context *context, const char *file, char *why, size_t size) {
    if (!tls_secrets_read(&context->secrets, file, why, size))
        return false;
    if (context->server)
        SSL_CTX_set_psk_find_session_callback(context->ctx, find_secret);
    else
        SSL_CTX_set_psk_use_session_callback(context->ctx, offer_secret);
    return true;
}

/* ---- ALPN ---- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg) {
    struct tls_verdict *verdict = SSL_get_app_data(ssl);
    unsigned char *chosen;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, alpn_smux, ALPN_LEN, in, in_len) ==
        OPENSSL_NPN_NEGOTIATED) {
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    verdict->failure = CARRIER_FAILED_PROTOCOL;
    snprintf(verdict->why, sizeof verdict->why,
             "the client speaks another protocol over TLS, expected ALPN \"smux\"");
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Who names no protocol at all is turned away before anything is computed. */
static int check_hello(SSL *ssl, int *alert, void *arg) {
    struct tls_verdict *verdict = SSL_get_app_data(ssl);
    const unsigned char *data;
    size_t len;
    (void)arg;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                  &len))
        return SSL_CLIENT_HELLO_SUCCESS;
    /* One of an older version is told that first. */
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &data, &len))
        return SSL_CLIENT_HELLO_SUCCESS;
    verdict->failure = CARRIER_FAILED_PROTOCOL;
    snprintf(verdict->why, sizeof verdict->why,
             "the client names no protocol, expected ALPN \"smux\"");
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static bool alpn_is_smux(const SSL *ssl) {
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == ALPN_LEN - 1 && memcmp(name, alpn_smux + 1, len) == 0;
}

static bool use_alpn(struct tls_context *context) {
    if (!context->server)
        return SSL_CTX_set_alpn_protos(context->ctx, alpn_smux, ALPN_LEN) == 0;
    SSL_CTX_set_alpn_select_cb(context->ctx, select_alpn, NULL);
    SSL_CTX_set_client_hello_cb(context->ctx, check_hello, NULL);
    return true;
}

/* ---- Certificates ---- */

/* Called if the peer shows a certificate, in place of OpenSSL's look at it. */
static int check_certificate(X509_STORE_CTX *store, void *arg) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct tls_context *context = context_of(ssl);
    (void)arg;
    return tls_verify(store, &context->trust, context->server, SSL_get_app_data(ssl));
}

static bool is_given(const char *text) {
    return text && text[0];
}

static bool use_own(struct tls_context *context, const struct tls_settings *settings, char *why,
                    size_t size) {
    const char *cert = is_given(settings->cert) ? settings->cert : settings->key;
    return !is_given(settings->key) ||
           tls_certificate_show(context->ctx, cert, settings->key, why, size);
}

static bool use_trust(struct tls_context *context, const struct tls_settings *settings, char *why,
                      size_t size) {
    struct tls_trust *trust = &context->trust;
    trust->by_authority = is_given(settings->ca);
    if (trust->by_authority && !tls_certificate_trust(context->ctx, settings->ca, why, size))
        return false;
    if (is_given(settings->crl) && !tls_certificate_revoke(context->ctx, settings->crl, why, size))
        return false;
    trust->pins = strdup(is_given(settings->pins) ? settings->pins : "");
    trust->crl = strdup(is_given(settings->crl) ? settings->crl : "");
    context->asks = trust->by_authority || is_given(settings->pins);
    snprintf(why, size, "out of memory");
    return trust->pins && trust->crl;
}

/* In how many ways the peer can be known. */
static int ways_of_trust(const struct tls_settings *s) {
    return is_given(s->psk) + is_given(s->pins) + is_given(s->ca);
}

/* What is missing, or does not go together; NULL: nothing. */
static const char *contradiction(const struct tls_settings *s) {
    int ways = ways_of_trust(s);
    if (is_given(s->cert) && !is_given(s->key))
        return "expected key with cert";
    if (is_given(s->crl) && !is_given(s->ca))
        return s->server ? "expected client-ca with crl" : "expected ca with crl";
    if (!s->server && ways != 1)
        return "expected one of psk, pin and ca for tls:// addresses: how the gateway is known";
    if (!s->server && is_given(s->psk) && is_given(s->key))
        return "expected no key with psk, which is what is shown";
    if (s->server && ways == 0 && !s->anyone)
        return "expected psk, client-pins or client-ca for tls:// addresses, else anyone could use "
               "them (insecure = yes)";
    if (s->server && !is_given(s->key) && (!is_given(s->psk) || ways > 1))
        return "expected key for tls:// addresses: what clients know the gateway by";
    return NULL;
}

/* ---- The context ---- */

static void note_secret(const SSL *ssl, const char *line) {
    struct tls_verdict *verdict = SSL_get_app_data(ssl);
    tls_traffic_note(&verdict->traffic, line);
}

static void set_protocol(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_cert_verify_callback(ctx, check_certificate, NULL);
    SSL_CTX_set_keylog_callback(ctx, note_secret);
}

static bool fill(struct tls_context *context, const struct tls_settings *settings, char *why,
                 size_t size) {
    SSL_CTX *ctx = context->ctx;
    set_protocol(ctx);
    snprintf(why, size, "OpenSSL does not offer what TLS carriers need");
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, CIPHERS) || !SSL_CTX_set_num_tickets(ctx, 0) ||
        !SSL_CTX_set_session_id_context(ctx, session_mark, MARK_LEN) ||
        !SSL_CTX_set_app_data(ctx, context) || !use_alpn(context))
        return false;
    const char *bad = contradiction(settings);
    if (bad)
        snprintf(why, size, "%s", bad);
    if (bad || !use_own(context, settings, why, size) || !use_trust(context, settings, why, size))
        return false;
    if (!context->server || context->asks)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return !is_given(settings->psk) || use_secrets(context, settings->psk, why, size);
}

struct tls_context *tls_context_new(const struct tls_settings *settings, char *why, size_t size) {
    struct tls_context *context = calloc(1, sizeof *context);
    snprintf(why, size, "out of memory");
    if (!context)
        return NULL;
    context->refs = 1;
    list_append(&all, &context->link);
    subprocess_forgets(forget_all);
    context->server = settings->server;
    context->anyone = settings->anyone && ways_of_trust(settings) == 0;
    context->ctx = SSL_CTX_new(settings->server ? TLS_server_method() : TLS_client_method());
    bool good = context->ctx && fill(context, settings, why, size);
    ERR_clear_error();
    if (good)
        return context;
    tls_context_unref(context);
    return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *context) {
    context->refs++;
    return context;
}

void tls_context_unref(struct tls_context *context) {
    if (!context || --context->refs > 0)
        return;
    list_remove(&context->link);
    free_secrets(context);
    free(context->trust.pins);
    free(context->trust.crl);
    free(context);
}

bool tls_context_pin(const struct tls_context *context, char pin[TLS_PIN_SIZE]) {
    X509 *certificate = SSL_CTX_get0_certificate(context->ctx);
    return certificate && tls_pin_of(certificate, pin);
}

bool tls_context_is_server(const struct tls_context *context) {
    return context->server;
}

bool tls_context_takes_anyone(const struct tls_context *context) {
    return context->anyone;
}

/* ---- Connections ---- */

/* An address is no name that a server could have certificates for. */
static bool is_address(const char *host) {
    struct in6_addr addr;
    return inet_pton(AF_INET, host, &addr) == 1 || inet_pton(AF_INET6, host, &addr) == 1;
}

/* The name that a gateway's certificate must be for, and that is asked for (SNI). */
static bool set_names(const struct tls_context *context, SSL *ssl, const char *host) {
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool address = is_address(host);
    if (!address && !SSL_set_tlsext_host_name(ssl, host))
        return false;
    if (!context->trust.by_authority)
        return true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return address ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                   : X509_VERIFY_PARAM_set1_host(param, host, 0);
}

SSL *tls_context_connection(const struct tls_context *context, struct tls_verdict *verdict,
                            const char *host) {
    SSL *ssl = SSL_new(context->ctx);
    if (!ssl)
        return NULL;
    bool names = !context->server && is_given(host);
    verdict->name = host;
    if (!SSL_set_app_data(ssl, verdict) || (names && !set_names(context, ssl, host))) {
        SSL_free(ssl);
        return NULL;
    }
    if (context->server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

/* It has a secret, or a certificate that tls_verify has let pass. */
static bool has_proved(const struct tls_context *context, const SSL *ssl) {
    bool asked = !context->server || context->asks;
    return SSL_session_reused(ssl) || (asked && SSL_get0_peer_certificate(ssl));
}

bool tls_context_accepts(const struct tls_context *context, SSL *ssl, struct tls_verdict *verdict) {
    const char *text = NULL;
    bool alpn = alpn_is_smux(ssl);
    if (!alpn)
        text = context->server ? "the client names no protocol, expected ALPN \"smux\""
                               : "the gateway names no protocol, expected ALPN \"smux\"";
    else if (!has_proved(context, ssl) && !context->anyone)
        text =
            context->server ? "the client has shown no secret" : "the gateway has shown no secret";
    if (text && !(context->server && verdict->why[0])) { /* an identity that is not known */
        snprintf(verdict->why, sizeof verdict->why, "%s", text);
        verdict->failure = alpn ? CARRIER_FAILED_SECRET : CARRIER_FAILED_PROTOCOL;
    }
    return !text;
}

void tls_context_name_peer(const SSL *ssl, const struct tls_verdict *verdict,
                           struct carrier *carrier) {
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (SSL_session_reused(ssl))
        carrier_add_identity(carrier, "psk", verdict->identity, strlen(verdict->identity));
    else if (certificate)
        tls_verify_names(certificate, verdict, carrier);
}
