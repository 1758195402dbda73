/* SPDX-License-Identifier: MIT */
/* tls_traffic.c - see tls_traffic.h. */
#include "helper/carrier/tls_traffic.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <string.h>

/* ---- Secrets ---- */

/* Returns how many bytes the digits stand for; 0: they are no secret. */
static uint8_t from_hex(const char *text, uint8_t secret[TLS_TRAFFIC_SECRET_MAX]) {
    uint8_t len = 0;
    for (; *text && *text != '\n'; text += 2) {
        int high = OPENSSL_hexchar2int((unsigned char)text[0]);
        int low = high < 0 ? -1 : OPENSSL_hexchar2int((unsigned char)text[1]);
        if (low < 0 || len == TLS_TRAFFIC_SECRET_MAX)
            return 0;
        secret[len++] = (uint8_t)(high << 4 | low);
    }
    return len;
}

/* A line is "LABEL RANDOM SECRET". */
static const char *secret_of(const char *line, const char *label) {
    size_t len = strlen(label);
    if (strncmp(line, label, len) != 0 || line[len] != ' ')
        return NULL;
    const char *space = strchr(line + len + 1, ' ');
    return space ? space + 1 : NULL;
}

void tls_traffic_note(struct tls_traffic *traffic, const char *line) {
    const char *text = secret_of(line, "CLIENT_TRAFFIC_SECRET_0");
    if (text)
        traffic->client_len = from_hex(text, traffic->client);
    text = secret_of(line, "SERVER_TRAFFIC_SECRET_0");
    if (text)
        traffic->server_len = from_hex(text, traffic->server);
}

void tls_traffic_wipe(struct tls_traffic *traffic) {
    OPENSSL_cleanse(traffic, sizeof *traffic);
}

/* ---- Keys ---- */

/* HKDF-Expand-Label with an empty context, of no more than one hash: a single HMAC. */
static bool expand(const struct tls_keys *keys, const char *label, uint8_t *out, size_t len) {
    uint8_t info[64], hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    size_t label_len = strlen(label), n = 0;
    info[n++] = (uint8_t)(len >> 8);
    info[n++] = (uint8_t)len;
    info[n++] = (uint8_t)(6 + label_len);
    memcpy(info + n, "tls13 ", 6);
    memcpy(info + n + 6, label, label_len);
    n += 6 + label_len;
    info[n++] = 0; /* the context's length */
    info[n++] = 1; /* the first block of HKDF-Expand */
    bool good =
        HMAC(keys->hash, keys->secret, EVP_MD_get_size(keys->hash), info, n, hash, &hash_len) &&
        len <= hash_len;
    if (good)
        memcpy(out, hash, len);
    OPENSSL_cleanse(hash, sizeof hash);
    return good;
}

/* Makes the key of the present secret. */
static bool make_key(struct tls_keys *keys) {
    uint8_t key[EVP_MAX_KEY_LENGTH];
    keys->count = 0;
    bool good = expand(keys, "key", key, (size_t)EVP_CIPHER_get_key_length(keys->cipher)) &&
                expand(keys, "iv", keys->iv, sizeof keys->iv) &&
                EVP_CipherInit_ex(keys->aead, keys->cipher, NULL, key, NULL, keys->sending) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return good;
}

bool tls_keys_init(struct tls_keys *keys, const SSL_CIPHER *suite, const uint8_t *secret,
                   size_t len, bool sending) {
    keys->sending = sending;
    keys->cipher = EVP_get_cipherbynid(SSL_CIPHER_get_cipher_nid(suite));
    keys->hash = SSL_CIPHER_get_handshake_digest(suite);
    if (!keys->cipher || !keys->hash || len != (size_t)EVP_MD_get_size(keys->hash))
        return false;
    memcpy(keys->secret, secret, len);
    keys->aead = EVP_CIPHER_CTX_new();
    return keys->aead && make_key(keys);
}

bool tls_keys_next(struct tls_keys *keys) {
    return expand(keys, "traffic upd", keys->secret, (size_t)EVP_MD_get_size(keys->hash)) &&
           make_key(keys);
}

void tls_keys_free(struct tls_keys *keys) {
    EVP_CIPHER_CTX_free(keys->aead);
    OPENSSL_cleanse(keys, sizeof *keys);
}
