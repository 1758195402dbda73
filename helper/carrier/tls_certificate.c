/* SPDX-License-Identifier: MIT */
/* tls_certificate.c - see tls_certificate.h. */
#include "helper/carrier/tls_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "helper/carrier/tls_file.h"
#include "helper/net/log.h"

/* A file in memory. */
struct pem {
    char *data;
    size_t len;
    BIO *bio;
};

static bool open_pem(struct pem *pem, const char *file, bool secret, char *why, size_t size) {
    bool good = secret ? tls_file_read_secret(file, &pem->data, &pem->len, why, size)
                       : tls_file_read(file, &pem->data, &pem->len, why, size);
    if (!good)
        return false;
    pem->bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    if (pem->bio)
        return true;
    tls_file_free(pem->data, pem->len);
    snprintf(why, size, "%s: out of memory", file);
    return false;
}

/* Also what OpenSSL has to say of the end of the file. */
static void close_pem(struct pem *pem) {
    BIO_free(pem->bio);
    tls_file_free(pem->data, pem->len);
    ERR_clear_error();
}

static bool expected(const char *file, const char *what, char *why, size_t size) {
    snprintf(why, size, "%s: expected %s", file, what);
    return false;
}

/* ---- This side's ---- */

static bool add_chain(SSL_CTX *ctx, BIO *bio) {
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!SSL_CTX_add0_chain_cert(ctx, certificate)) {
            X509_free(certificate);
            return false;
        }
    return true;
}

/* It is used all the same: that is for the peer to refuse, which may have another clock. */
static void warn_of_time(const X509 *certificate, const char *file) {
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        log_about(LOG_WARNING, ABOUT(.file = file), "%s: the certificate has expired", file);
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        log_about(LOG_WARNING, ABOUT(.file = file), "%s: the certificate is not valid yet", file);
}

static bool use_certificate(SSL_CTX *ctx, const char *file, char *why, size_t size) {
    struct pem pem;
    if (!open_pem(&pem, file, false, why, size))
        return false;
    X509 *certificate = PEM_read_bio_X509_AUX(pem.bio, NULL, NULL, NULL);
    bool good = certificate && SSL_CTX_use_certificate(ctx, certificate) && add_chain(ctx, pem.bio);
    if (good)
        warn_of_time(certificate, file);
    X509_free(certificate);
    close_pem(&pem);
    return good || expected(file, "a certificate (PEM)", why, size);
}

/* There is nobody who could be asked for a password. */
static int no_password(char *out, int size, int writing, void *encrypted) {
    (void)out;
    (void)size;
    (void)writing;
    *(bool *)encrypted = true;
    return -1;
}

static bool use_key(SSL_CTX *ctx, const char *file, const char *certificate, char *why,
                    size_t size) {
    struct pem pem;
    bool encrypted = false;
    if (!open_pem(&pem, file, true, why, size))
        return false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem.bio, NULL, no_password, &encrypted);
    bool fits = key && SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    close_pem(&pem);
    if (fits)
        return true;
    if (!key)
        return expected(file,
                        encrypted ? "a key that is not encrypted: nobody could be asked for the "
                                    "password"
                                  : "a private key (PEM)",
                        why, size);
    snprintf(why, size, "%s: expected the key of the certificate in %s", file, certificate);
    return false;
}

bool tls_certificate_show(SSL_CTX *ctx, const char *certificate, const char *key, char *why,
                          size_t size) {
    return use_certificate(ctx, certificate, why, size) &&
           use_key(ctx, key, certificate, why, size);
}

/* ---- Others' ---- */

bool tls_certificate_trust(SSL_CTX *ctx, const char *authorities, char *why, size_t size) {
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    struct pem pem;
    X509 *certificate;
    unsigned count = 0;
    if (!open_pem(&pem, authorities, false, why, size))
        return false;
    for (; (certificate = PEM_read_bio_X509(pem.bio, NULL, NULL, NULL)); X509_free(certificate))
        count += X509_STORE_add_cert(store, certificate) == 1;
    close_pem(&pem);
    return count > 0 || expected(authorities, "certificates of authorities (PEM)", why, size);
}

bool tls_certificate_revoke(SSL_CTX *ctx, const char *list, char *why, size_t size) {
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    struct pem pem;
    X509_CRL *crl;
    unsigned count = 0;
    if (!open_pem(&pem, list, false, why, size))
        return false;
    for (; (crl = PEM_read_bio_X509_CRL(pem.bio, NULL, NULL, NULL)); X509_CRL_free(crl))
        count += X509_STORE_add_crl(store, crl) == 1;
    close_pem(&pem);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return count > 0 || expected(list, "a list of revoked certificates (PEM)", why, size);
}
