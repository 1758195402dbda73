/* SPDX-License-Identifier: MIT */
/*
 * tls_context.h - who this side is, and whom it trusts, as OpenSSL wants to have it.
 *
 * A context is made of files once, and shared by all carriers that begin while it is the present
 * one. It is counted, so that new files replace it without ending what began with the old ones.
 * One thread at a time may use it.
 *
 * TLS 1.3 only, with ALPN "smux"; no tickets, no resumption, no early data.
 */
#ifndef HELPER_CARRIER_TLS_CONTEXT_H
#define HELPER_CARRIER_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "helper/carrier/carrier.h"
#include "helper/carrier/tls_pin.h"
#include "helper/carrier/tls_psk.h"
#include "helper/carrier/tls_traffic.h"

/* Where the credentials are; a text that is empty or NULL has not been configured. A peer must
 * know a secret, or have one of the pins, or a certificate of one of the authorities. */
struct tls_settings {
    bool server;
    bool anyone;      /* a server without any of these takes every client */
    const char *psk;  /* a file of secrets (tls_psk.h): a client takes the first */
    const char *pins; /* of the peer's key, separated by commas */
    const char *ca;   /* a file of authorities for the peer's certificate */
    const char *crl;  /* a file of certificates that these have taken back */
    const char *key;  /* a file with this side's key */
    const char *cert; /* a file with its certificate; not given: that of the key has it, too */
};

struct tls_context;

/* Reads the files. NULL, and one line in `why` that names the file and what was expected. */
struct tls_context *tls_context_new(const struct tls_settings *settings, char *why, size_t size);
struct tls_context *tls_context_ref(struct tls_context *context);
/* NULL is fine. */
void tls_context_unref(struct tls_context *context);

/* The pin of this side's key. False: it has none. */
bool tls_context_pin(const struct tls_context *context, char pin[TLS_PIN_SIZE]);

bool tls_context_is_server(const struct tls_context *context);

/* Whether it is a server that takes every client. */
bool tls_context_takes_anyone(const struct tls_context *context);

/* What a connection has found out about its peer while the handshake lasted. */
struct tls_verdict {
    char identity[TLS_IDENTITY_MAX + 1]; /* a secret's, that was offered; empty: none was */
    char why[CARRIER_WHY_SIZE]; /* this side refuses the peer, and why; empty: it does not */
    uint8_t failure;            /* enum carrier_failure: of `why`; 0: it is the certificate */
    const char *name;           /* that a gateway's certificate has to be for */
    bool by_authority;          /* the certificate is one of a trusted authority */
    struct tls_traffic traffic; /* the secrets that have been agreed on */
};

/* A connection that looks its peer over by the context and keeps `verdict` up to date, which must
 * live as long. `host` is what a client has connected to. NULL if memory is short. */
SSL *tls_context_connection(const struct tls_context *context, struct tls_verdict *verdict,
                            const char *host);

/* Tells the carrier which names the peer has proved to have. The handshake is complete. */
void tls_context_name_peer(const SSL *ssl, const struct tls_verdict *verdict,
                           struct carrier *carrier);

/* The handshake is complete: is the peer one that the context trusts? False, and verdict->why. */
bool tls_context_accepts(const struct tls_context *context, SSL *ssl, struct tls_verdict *verdict);

#endif
