/* SPDX-License-Identifier: MIT */
/* tls_verify.c - see tls_verify.h. */
#include "helper/carrier/tls_verify.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static int refuse(X509_STORE_CTX *store, int error) {
    X509_STORE_CTX_set_error(store, error);
    return 0;
}

/* ---- By an authority ---- */

/* The chain leads to nobody whom this side trusts. */
static bool is_foreign(int error) {
    return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
           error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
}

/* What is wrong with the lists of revoked certificates, which are this side's; NULL: nothing. */
static const char *mistake_of_lists(int error) {
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
        return "expected a list of revoked certificates of each authority in the chain";
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "the list of revoked certificates has expired, expected a newer one";
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return "the list of revoked certificates is not valid yet";
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        return "the list of revoked certificates is not signed by the authority it names";
    default:
        return NULL;
    }
}

/* What is wrong with the peer's certificate, behind "the client's certificate ". */
static const char *mistake_of_peer(int error) {
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "is not valid yet";
    case X509_V_ERR_CERT_REVOKED:
        return "has been revoked";
    case X509_V_ERR_INVALID_PURPOSE:
        return "is for another purpose (extendedKeyUsage)";
    default:
        return is_foreign(error) ? "is not signed by an authority that is trusted here" : NULL;
    }
}

static bool is_for_another(int error) {
    return error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

/* `depth`: how many certificates there are below the wrong one. */
static void explain(int error, int depth, const struct tls_trust *trust, bool server,
                    struct tls_verdict *verdict) {
    const char *whose = server ? "the client's" : "the gateway's";
    const char *lists = mistake_of_lists(error), *peer = mistake_of_peer(error);
    char *why = verdict->why;
    size_t size = sizeof verdict->why;
    if (is_for_another(error))
        snprintf(why, size, "%s certificate is not for %.100s", whose, verdict->name);
    else if (lists)
        snprintf(why, size, "%s certificate cannot be checked: %.100s: %s", whose, trust->crl,
                 lists);
    else if (peer && depth > 0 && !is_foreign(error))
        snprintf(why, size, "%s certificate is signed by an authority whose certificate %s", whose,
                 peer);
    else if (peer)
        snprintf(why, size, "%s certificate %s", whose, peer);
    else
        snprintf(why, size, "%s certificate is not accepted: %s", whose,
                 X509_verify_cert_error_string(error));
}

/* The error from which OpenSSL makes the alert that the peer gets. Those that it makes of others
 * would tell the peer of an expired list that its certificate has expired, and have one alert for
 * wrong names and wrong keys. */
static int error_to_tell(int error) {
    if (mistake_of_lists(error))
        return X509_V_ERR_UNSPECIFIED; /* internal_error */
    if (error == X509_V_ERR_CERT_NOT_YET_VALID)
        return X509_V_ERR_CERT_HAS_EXPIRED; /* certificate_expired, which stands for both */
    if (is_for_another(error))
        return X509_V_ERR_NO_EXPLICIT_POLICY; /* certificate_unknown, as of any without its own */
    return error;
}

/* `pin` is not listed. */
static int verify_by_authority(X509_STORE_CTX *store, const char *pin,
                               const struct tls_trust *trust, bool server,
                               struct tls_verdict *verdict) {
    verdict->by_authority = X509_verify_cert(store) == 1;
    if (verdict->by_authority)
        return 1;
    int error = X509_STORE_CTX_get_error(store);
    explain(error, X509_STORE_CTX_get_error_depth(store), trust, server, verdict);
    size_t len = strlen(verdict->why);
    if (trust->pins[0] && is_foreign(error))
        snprintf(verdict->why + len, sizeof verdict->why - len, ", and its pin is not listed: %s",
                 pin);
    return refuse(store, error_to_tell(error));
}

/* ---- By its key ---- */

static void explain_pin(const char *pin, const struct tls_trust *trust, bool server,
                        struct tls_verdict *verdict) {
    if (server)
        snprintf(verdict->why, sizeof verdict->why, "the client's pin is not listed: %s", pin);
    else
        snprintf(verdict->why, sizeof verdict->why,
                 "wrong pin: expected %.*s%s, the gateway has %s", TLS_PIN_SIZE - 1, trust->pins,
                 strlen(trust->pins) < TLS_PIN_SIZE ? "" : ", ...", pin);
}

int tls_verify(X509_STORE_CTX *store, const struct tls_trust *trust, bool server,
               struct tls_verdict *verdict) {
    char pin[TLS_PIN_SIZE];
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    if (!certificate || !tls_pin_of(certificate, pin))
        return refuse(store, X509_V_ERR_OUT_OF_MEM);
    if (tls_pin_listed(pin, trust->pins)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if (trust->by_authority)
        return verify_by_authority(store, pin, trust, server, verdict);
    if (trust->pins[0])
        explain_pin(pin, trust, server, verdict);
    else
        snprintf(verdict->why, sizeof verdict->why,
                 "the gateway does not know \"%s\" and shows a certificate instead",
                 verdict->identity);
    return refuse(store, X509_V_ERR_CERT_REJECTED);
}

/* ---- Whose it is ---- */

static void add_subject(X509 *certificate, struct carrier *carrier) {
    BIO *memory = BIO_new(BIO_s_mem());
    char *text;
    if (memory &&
        X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) > 0) {
        long len = BIO_get_mem_data(memory, &text);
        carrier_add_identity(carrier, "cert", text, (size_t)len);
    }
    BIO_free(memory);
}

static void add_alternatives(X509 *certificate, struct carrier *carrier) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI)
            carrier_add_identity(carrier, "cert", ASN1_STRING_get0_data(name->d.ia5),
                                 (size_t)ASN1_STRING_length(name->d.ia5));
    }
    GENERAL_NAMES_free(names);
}

void tls_verify_names(X509 *certificate, const struct tls_verdict *verdict,
                      struct carrier *carrier) {
    char pin[TLS_PIN_SIZE];
    if (verdict->by_authority)
        add_subject(certificate, carrier);
    if (tls_pin_of(certificate, pin))
        carrier_add_identity(carrier, "pin", pin, strlen(pin));
    if (verdict->by_authority)
        add_alternatives(certificate, carrier);
}
