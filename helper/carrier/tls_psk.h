/* SPDX-License-Identifier: MIT */
/*
 * tls_psk.h - shared secrets: files of lines `IDENTITY:HEX`, for TLS 1.3's external PSKs.
 *
 * A file with secrets must belong to this process's user or to root, and nobody else may have
 * access to it. Memory that held a secret is wiped before it is freed.
 */
#ifndef HELPER_CARRIER_TLS_PSK_H
#define HELPER_CARRIER_TLS_PSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Secrets of 128 to 512 bits. */
#define TLS_SECRET_MIN   16
#define TLS_SECRET_MAX   64
#define TLS_IDENTITY_MAX 63

/* Lines of a file that have a secret. */
#define TLS_SECRETS_MAX 4096

struct tls_secret {
    char identity[TLS_IDENTITY_MAX + 1];
    uint8_t bytes[TLS_SECRET_MAX];
    uint8_t len;
};

struct tls_secrets {
    struct tls_secret *list;
    unsigned count, room;
};

/* Reads a file: empty lines and lines that begin with # are skipped, and no identity comes twice.
 * False and one line in `why`, which names the file and the line, but never a secret. */
bool tls_secrets_read(struct tls_secrets *secrets, const char *file, char *why, size_t size);
/* Wipes and frees them. */
void tls_secrets_free(struct tls_secrets *secrets);

/* The secret of an identity of `len` bytes, or NULL. */
const struct tls_secret *tls_secrets_find(const struct tls_secrets *secrets, const void *identity,
                                          size_t len);

/* Is this an identity: 1 to TLS_IDENTITY_MAX letters, digits or characters of "-._@"? */
bool tls_identity_valid(const char *text, size_t len);

#endif
