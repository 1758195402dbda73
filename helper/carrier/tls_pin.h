/* SPDX-License-Identifier: MIT */
/*
 * tls_pin.h - pins: a public key's SHA-256, by which a peer is known without an authority.
 */
#ifndef HELPER_CARRIER_TLS_PIN_H
#define HELPER_CARRIER_TLS_PIN_H

#include <openssl/x509.h>
#include <stdbool.h>

/* "sha256//" and 44 characters of base64. */
#define TLS_PIN_SIZE 53

/* The pin of a certificate's key (its SubjectPublicKeyInfo). False if memory is short. */
bool tls_pin_of(X509 *certificate, char pin[TLS_PIN_SIZE]);

/* Is it in a list that is separated by commas? */
bool tls_pin_listed(const char *pin, const char *list);

#endif
