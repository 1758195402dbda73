/* SPDX-License-Identifier: MIT */
/* tls_key.c - see tls_key.h. */
#include "helper/carrier/tls_key.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "helper/carrier/tls_file.h"

/* Its pin is what counts: it neither begins nor ends (RFC 5280, 4.1.2.5). */
static bool set_times(X509 *certificate) {
    ASN1_TIME *since = ASN1_TIME_new(), *until = ASN1_TIME_new();
    bool good = since && until && ASN1_TIME_set_string_X509(since, "20000101000000Z") &&
                ASN1_TIME_set_string_X509(until, "99991231235959Z") &&
                X509_set1_notBefore(certificate, since) && X509_set1_notAfter(certificate, until);
    ASN1_TIME_free(since);
    ASN1_TIME_free(until);
    return good;
}

static X509 *make_certificate(EVP_PKEY *key, const char *name) {
    X509 *certificate = X509_new();
    X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;
    if (subject && X509_set_version(certificate, X509_VERSION_3) &&
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) && set_times(certificate) &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                   -1, 0) &&
        X509_set_issuer_name(certificate, subject) && X509_set_pubkey(certificate, key) &&
        X509_sign(certificate, key, EVP_sha256()))
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* 0 or a negative errno. */
static int write_both(const char *file, EVP_PKEY *key, X509 *certificate) {
    BIO *memory = BIO_new(BIO_s_secmem());
    char *text = NULL;
    int error = -ENOMEM;
    if (memory && PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) &&
        PEM_write_bio_X509(memory, certificate)) {
        long len = BIO_get_mem_data(memory, &text);
        error = tls_file_create_secret(file, text, (size_t)len);
        OPENSSL_cleanse(text, (size_t)len);
    }
    BIO_free(memory);
    return error;
}

bool tls_key_create(const char *file, const char *name, char pin[TLS_PIN_SIZE], char *why,
                    size_t size) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_certificate(key, name) : NULL;
    int error =
        certificate && tls_pin_of(certificate, pin) ? write_both(file, key, certificate) : -ENOMEM;
    if (error)
        snprintf(why, size, "%s: %s", file,
                 error == -EEXIST ? "there is such a file, expected a new one" : strerror(-error));
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return error == 0;
}
