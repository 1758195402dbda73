/* SPDX-License-Identifier: MIT */
/*
 * tls_certificate.h - files of certificates, keys and lists of revoked certificates (PEM).
 *
 * All return false and one line in `why`, which names the file and what was expected.
 */
#ifndef HELPER_CARRIER_TLS_CERTIFICATE_H
#define HELPER_CARRIER_TLS_CERTIFICATE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* What this side shows: a certificate, and those that lead to its authority behind it, and the key,
 * which is not encrypted and nobody else may read. Both may be in one file. */
bool tls_certificate_show(SSL_CTX *ctx, const char *certificate, const char *key, char *why,
                          size_t size);

/* Authorities whose certificates are trusted. */
bool tls_certificate_trust(SSL_CTX *ctx, const char *authorities, char *why, size_t size);

/* Certificates that are so no longer. */
bool tls_certificate_revoke(SSL_CTX *ctx, const char *list, char *why, size_t size);

#endif
