/* SPDX-License-Identifier: MIT */
/*
 * tls_verify.h - is the certificate that a peer has shown a trusted one, and whose is it?
 */
#ifndef HELPER_CARRIER_TLS_VERIFY_H
#define HELPER_CARRIER_TLS_VERIFY_H

#include <openssl/x509_vfy.h>

#include "helper/carrier/tls_context.h"

/* What makes a certificate a trusted one. Either is enough. */
struct tls_trust {
    char *pins;        /* of its key, separated by commas */
    bool by_authority; /* the store has authorities */
    char *crl;         /* the file of their lists of revoked certificates; empty: there are none */
};

/* To be called in place of X509_verify_cert(), as its callback. 1, or 0 with verdict->why and the
 * store's error, from which the alert for the peer follows. */
int tls_verify(X509_STORE_CTX *store, const struct tls_trust *trust, bool server,
               struct tls_verdict *verdict);

/* Tells the carrier its peer's names: the certificate's subject, if an authority vouches for it,
 * which logs show; the pin of the key; then the alternative names, of which there may be many. */
void tls_verify_names(X509 *certificate, const struct tls_verdict *verdict,
                      struct carrier *carrier);

#endif
