/* SPDX-License-Identifier: MIT */
/* tls_pin.c - see tls_pin.h. */
#include "helper/carrier/tls_pin.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#define PREFIX "sha256//"

bool tls_pin_of(X509 *certificate, char pin[TLS_PIN_SIZE]) {
    unsigned char digest[SHA256_DIGEST_LENGTH], *key = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    if (len <= 0 || !SHA256(key, (size_t)len, digest)) {
        OPENSSL_free(key);
        return false;
    }
    OPENSSL_free(key);
    strcpy(pin, PREFIX);
    EVP_EncodeBlock((unsigned char *)pin + strlen(PREFIX), digest, sizeof digest);
    return true;
}

bool tls_pin_listed(const char *pin, const char *list) {
    size_t len = strlen(pin);
    for (const char *at = list; *at; at += strspn(at, ",")) {
        size_t n = strcspn(at, ",");
        if (n == len && memcmp(at, pin, len) == 0)
            return true;
        at += n;
    }
    return false;
}
