/* SPDX-License-Identifier: MIT */
/* tls_error.c - see tls_error.h. */
#include "helper/carrier/tls_error.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* Alerts that the peer has sent are reasons of OpenSSL's, from this number on. */
#define ALERT(description) (SSL_AD_REASON_OFFSET + (description))

/* What a reason means to a server and to a client; %s is the identity of the secret. */
struct meaning {
    int reason;
    const char *to_server, *to_client;
};

#define OLDER_TLS                                                                                  \
    "the client speaks an older TLS, expected 1.3", "the gateway speaks an older TLS, expected "   \
                                                    "1.3"

/* Of what this side has found. */
static const struct meaning found[] = {
    {SSL_R_BINDER_DOES_NOT_VERIFY, "wrong secret for the identity \"%s\"", NULL},
    {SSL_R_UNSUPPORTED_PROTOCOL, OLDER_TLS},
    {SSL_R_WRONG_VERSION_NUMBER, OLDER_TLS},
    {SSL_R_VERSION_TOO_LOW, OLDER_TLS},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
     "the client offers no secret, and there is no certificate to show", NULL},
    {SSL_R_NO_CERTIFICATE_SET, "the client offers no secret, and there is no certificate to show",
     NULL},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client shows no certificate", NULL},
    {SSL_R_NO_SHARED_CIPHER, "the client has no cipher in common with this gateway", NULL},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was changed on its way",
     "a record was changed on its way"},
    {SSL_R_BAD_RECORD_TYPE, "what came is no TLS record", "what came is no TLS record"},
};

/* Of what the peer says it has found. */
static const struct meaning told[] = {
    {ALERT(SSL_AD_PROTOCOL_VERSION), OLDER_TLS},
    {ALERT(SSL_AD_NO_APPLICATION_PROTOCOL), "the client wants another protocol than smux",
     "the gateway speaks another protocol than smux there (ALPN)"},
    {ALERT(SSL_AD_BAD_CERTIFICATE), "the client does not accept this gateway's certificate or key",
     "the gateway does not accept this side's certificate or key"},
    {ALERT(SSL_AD_CERTIFICATE_EXPIRED),
     "the client finds this gateway's certificate expired, or not valid yet",
     "the gateway finds this side's certificate expired, or not valid yet"},
    {ALERT(SSL_AD_CERTIFICATE_REVOKED), "the client finds this gateway's certificate revoked",
     "the gateway finds this side's certificate revoked"},
    {ALERT(SSL_AD_UNKNOWN_CA), "the client does not know who signed this gateway's certificate",
     "the gateway does not know who signed this side's certificate"},
    {ALERT(SSL_AD_CERTIFICATE_UNKNOWN),
     "the client does not accept this gateway's certificate, which may be for another name",
     "the gateway does not accept this side's certificate"},
    {ALERT(SSL_AD_UNSUPPORTED_CERTIFICATE),
     "the client finds this gateway's certificate to be for another purpose",
     "the gateway finds this side's certificate to be for another purpose"},
    {ALERT(SSL_AD_BAD_RECORD_MAC), "the client got a record that was changed on its way",
     "the gateway got a record that was changed on its way"},
    {ALERT(SSL_AD_INTERNAL_ERROR),
     "the client cannot check this gateway, for a reason of its own that its log has",
     "the gateway cannot check this side, for a reason of its own that its log has"},
    {ALERT(SSL_AD_CERTIFICATE_REQUIRED), NULL, "the gateway wants this side to show a certificate"},
};

/* To a client that has offered a secret. */
static const struct meaning told_of_secret[] = {
    {ALERT(SSL_AD_ILLEGAL_PARAMETER), NULL,
     "the gateway has another secret for the identity \"%s\""},
    {ALERT(SSL_AD_DECRYPT_ERROR), NULL, "the gateway has another secret for the identity \"%s\""},
    {ALERT(SSL_AD_HANDSHAKE_FAILURE), NULL, "the gateway does not know the identity \"%s\""},
};

/* What kind of failure a reason is; other alerts say that the peer does not trust this side. */
static const struct {
    int reason;
    enum carrier_failure kind;
} kinds[] = {
    {SSL_R_BINDER_DOES_NOT_VERIFY, CARRIER_FAILED_SECRET},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, CARRIER_FAILED_SECRET},
    {SSL_R_NO_CERTIFICATE_SET, CARRIER_FAILED_SECRET},
    {SSL_R_UNSUPPORTED_PROTOCOL, CARRIER_FAILED_VERSION},
    {SSL_R_WRONG_VERSION_NUMBER, CARRIER_FAILED_VERSION},
    {SSL_R_VERSION_TOO_LOW, CARRIER_FAILED_VERSION},
    {ALERT(SSL_AD_PROTOCOL_VERSION), CARRIER_FAILED_VERSION},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, CARRIER_FAILED_CERTIFICATE},
    {SSL_R_NO_SHARED_CIPHER, CARRIER_FAILED_PROTOCOL},
    {ALERT(SSL_AD_NO_APPLICATION_PROTOCOL), CARRIER_FAILED_PROTOCOL},
    {SSL_R_BAD_RECORD_TYPE, CARRIER_FAILED_NOT_TLS},
};

static const char *look_up(const struct meaning *table, size_t count, int reason, bool server) {
    for (size_t i = 0; i < count; i++)
        if (table[i].reason == reason)
            return server ? table[i].to_server : table[i].to_client;
    return NULL;
}

#define LOOK_UP(table, reason, server)                                                             \
    look_up(table, sizeof(table) / sizeof *(table), reason, server)

static const char *meaning_of(const struct tls_failure *failure, int reason) {
    const char *text = NULL;
    if (!failure->server && failure->in_handshake && failure->verdict->identity[0])
        text = LOOK_UP(told_of_secret, reason, false);
    if (!text)
        text = LOOK_UP(told, reason, failure->server);
    if (!text)
        text = LOOK_UP(found, reason, failure->server);
    return text;
}

static const char *end_text(const struct tls_failure *failure) {
    if (!failure->in_handshake)
        return "cut off: it ended without TLS's close_notify";
    return failure->server
               ? "the client has closed within the TLS handshake"
               : "the gateway has closed within the TLS handshake, as one at tcp:// does";
}

/* What OpenSSL calls it. */
static void explain_other(int reason, unsigned long code, bool server, char *why, size_t size) {
    const char *text = ERR_reason_error_string(code);
    const char *who = server ? "client" : "gateway";
    if (reason >= SSL_AD_REASON_OFFSET)
        snprintf(why, size, "the %s refuses this side (TLS alert: %s)", who,
                 SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
    else
        snprintf(why, size, "TLS: %s", text ? text : "no reason given");
}

static enum carrier_failure kind_of(int reason) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].reason == reason)
            return kinds[i].kind;
    return reason >= SSL_AD_REASON_OFFSET ? CARRIER_FAILED_REFUSED : CARRIER_FAILED_OTHERWISE;
}

enum carrier_failure tls_explain(const struct tls_failure *failure, char *why, size_t size) {
    const struct tls_verdict *verdict = failure->verdict;
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    if (verdict->why[0]) {
        snprintf(why, size, "%s", verdict->why);
        return verdict->failure ? (enum carrier_failure)verdict->failure
                                : CARRIER_FAILED_CERTIFICATE;
    }
    if (failure->eof && (code == 0 || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        snprintf(why, size, "%s", end_text(failure));
        return CARRIER_FAILED_CLOSED;
    }
    const char *text = meaning_of(failure, reason);
    if (!text) {
        explain_other(reason, code, failure->server, why, size);
        return kind_of(reason);
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(why, size, text, verdict->identity); /* texts of the tables above */
#pragma GCC diagnostic pop
    return kind_of(reason);
}
