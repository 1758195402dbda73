/* SPDX-License-Identifier: MIT */
/* tls_record.c - see tls_record.h. */
#include "helper/carrier/tls_record.h"

#include <string.h>

/* Smaller pieces are copied side by side first: a call of the cipher costs more. */
#define PIECE_MIN 1024u

/* The header of a record as it is sent; it is what is authenticated besides the bytes. */
static void put_header(uint8_t *header, size_t len) {
    const uint8_t bytes[] = {TLS_RECORD_DATA, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(header, bytes, sizeof bytes);
}

/* Every record has a nonce of its own: its number, mixed into the vector. */
static bool begin(struct tls_keys *keys, const uint8_t *header) {
    uint8_t nonce[TLS_IV_LEN];
    int n;
    memcpy(nonce, keys->iv, sizeof nonce);
    for (unsigned i = 0; i < 8; i++)
        nonce[TLS_IV_LEN - 1 - i] ^= (uint8_t)(keys->count >> (8 * i));
    keys->count++;
    return EVP_CipherInit_ex(keys->aead, NULL, NULL, NULL, nonce, -1) == 1 &&
           EVP_CipherUpdate(keys->aead, NULL, &n, header, TLS_RECORD_HEADER) == 1;
}

static bool crypt(struct tls_keys *keys, const uint8_t *from, uint8_t *to, size_t len) {
    int n;
    return len == 0 || EVP_CipherUpdate(keys->aead, to, &n, from, (int)len) == 1;
}

/* Small pieces are gathered from `run` on and encrypted where they are, large ones on their way. */
static bool crypt_pieces(struct tls_keys *keys, uint8_t type, struct iov_cursor *from, size_t len,
                         uint8_t *run) {
    uint8_t *to = run;
    bool good = true;
    while (len > 0 && good) {
        const uint8_t *data;
        size_t n = iov_take(from, len, &data);
        if (n < PIECE_MIN) {
            memcpy(to, data, n);
        } else {
            good = crypt(keys, run, run, (size_t)(to - run)) && crypt(keys, data, to, n);
            run = to + n;
        }
        to += n;
        len -= n;
    }
    *to++ = type;
    return good && crypt(keys, run, run, (size_t)(to - run));
}

bool tls_record_seal(struct tls_keys *keys, uint8_t type, struct iov_cursor *from, size_t len,
                     uint8_t *out) {
    uint8_t *body = out + TLS_RECORD_HEADER, *tag = body + len + 1;
    int n;
    put_header(out, len + 1 + TLS_RECORD_TAG);
    return begin(keys, out) && crypt_pieces(keys, type, from, len, body) &&
           EVP_CipherFinal_ex(keys->aead, tag, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(keys->aead, EVP_CTRL_AEAD_GET_TAG, TLS_RECORD_TAG, tag) == 1;
}

int tls_record_length(const uint8_t header[TLS_RECORD_HEADER]) {
    int len = header[3] << 8 | header[4];
    if (header[0] != TLS_RECORD_DATA)
        return -SSL_AD_UNEXPECTED_MESSAGE;
    if (len > (int)(TLS_RECORD_MAX + TLS_RECORD_OVERHEAD))
        return -SSL_AD_RECORD_OVERFLOW;
    return len > (int)TLS_RECORD_TAG ? len : -SSL_AD_DECODE_ERROR;
}

/* The last byte that is not zero is the type; what follows is padding. */
static int without_padding(const uint8_t *plain, size_t len, uint8_t *type) {
    while (len > 0 && plain[len - 1] == 0)
        len--;
    if (len == 0)
        return -SSL_AD_UNEXPECTED_MESSAGE;
    *type = plain[len - 1];
    return len - 1 <= TLS_RECORD_MAX ? (int)len - 1 : -SSL_AD_RECORD_OVERFLOW;
}

int tls_record_open(struct tls_keys *keys, const uint8_t *record, size_t len, uint8_t *out,
                    uint8_t *type) {
    const uint8_t *body = record + TLS_RECORD_HEADER;
    size_t plain = len - TLS_RECORD_TAG;
    uint8_t tag[TLS_RECORD_TAG];
    int n;
    memcpy(tag, body + plain, sizeof tag);
    if (begin(keys, record) && crypt(keys, body, out, plain) &&
        EVP_CIPHER_CTX_ctrl(keys->aead, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
        EVP_CipherFinal_ex(keys->aead, tag, &n) == 1)
        return without_padding(out, plain, type);
    return -SSL_AD_BAD_RECORD_MAC;
}
