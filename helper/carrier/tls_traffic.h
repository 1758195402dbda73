/* SPDX-License-Identifier: MIT */
/*
 * tls_traffic.h - the keys of an established TLS 1.3 connection (RFC 8446, section 7).
 *
 * OpenSSL tells the traffic secrets of a connection to a callback; what is here makes keys of them,
 * one set for each direction, so that records (tls_record.h) can do without OpenSSL's own layer of
 * records and its copies.
 */
#ifndef HELPER_CARRIER_TLS_TRAFFIC_H
#define HELPER_CARRIER_TLS_TRAFFIC_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* The longest hash of a cipher suite: SHA-384. */
#define TLS_TRAFFIC_SECRET_MAX 48u
#define TLS_IV_LEN             12u

/* The first secrets of application data, as OpenSSL has told them. All zero: it has not. */
struct tls_traffic {
    uint8_t client[TLS_TRAFFIC_SECRET_MAX], server[TLS_TRAFFIC_SECRET_MAX];
    uint8_t client_len, server_len;
};

/* Takes a line of SSL_CTX_set_keylog_callback, if it is one of these two secrets. */
void tls_traffic_note(struct tls_traffic *traffic, const char *line);
void tls_traffic_wipe(struct tls_traffic *traffic);

/* What protects the records of one direction. */
struct tls_keys {
    EVP_CIPHER_CTX *aead; /* with the present key */
    const EVP_CIPHER *cipher;
    const EVP_MD *hash;
    bool sending;
    uint8_t secret[TLS_TRAFFIC_SECRET_MAX];
    uint8_t iv[TLS_IV_LEN];
    uint64_t count; /* of records that this key has protected */
};

/* The first keys of one direction: of a cipher suite, and of a secret whose length is its hash's.
 * False: it is not, or memory is short. tls_keys_free is due in both cases. The structure has been
 * zeroed. */
bool tls_keys_init(struct tls_keys *keys, const SSL_CIPHER *suite, const uint8_t *secret,
                   size_t len, bool sending);
/* Goes over to the next key, as KeyUpdate says. False: memory is short. */
bool tls_keys_next(struct tls_keys *keys);
/* Wipes and frees them. */
void tls_keys_free(struct tls_keys *keys);

#endif
