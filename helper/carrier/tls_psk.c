/* SPDX-License-Identifier: MIT */
/* tls_psk.c - see tls_psk.h. */
#include "helper/carrier/tls_psk.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/tls_file.h"

bool tls_identity_valid(const char *text, size_t len) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-._@";
    if (len == 0 || len > TLS_IDENTITY_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!text[i] || !strchr(allowed, text[i]))
            return false;
    return true;
}

static int nibble(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What was expected instead, or NULL. */
static const char *parse_hex(struct tls_secret *secret, const char *hex, size_t len) {
    if (len % 2 != 0 || len < 2 * (size_t)TLS_SECRET_MIN || len > 2 * (size_t)TLS_SECRET_MAX)
        return "a secret of 32 to 128 hexadecimal digits (128 to 512 bits)";
    for (size_t i = 0; i < len; i += 2) {
        int high = nibble(hex[i]), low = nibble(hex[i + 1]);
        if (high < 0 || low < 0)
            return "hexadecimal digits behind the colon";
        secret->bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    secret->len = (uint8_t)(len / 2);
    return NULL;
}

static const char *parse_line(struct tls_secrets *secrets, const char *line, size_t len) {
    struct tls_secret *secret = &secrets->list[secrets->count];
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : 0;
    if (!colon || !tls_identity_valid(line, name_len))
        return "IDENTITY:HEX, an identity of 1 to 63 letters, digits, '-', '.', '_' or '@'";
    if (tls_secrets_find(secrets, line, name_len))
        return "every identity once";
    memcpy(secret->identity, line, name_len);
    secret->identity[name_len] = '\0';
    const char *expected = parse_hex(secret, colon + 1, len - name_len - 1);
    secrets->count += expected ? 0 : 1;
    return expected;
}

static size_t trimmed(const char **line, size_t len) {
    while (len > 0 && strchr(" \t\r", (*line)[len - 1]))
        len--;
    while (len > 0 && strchr(" \t", **line)) {
        ++*line;
        len--;
    }
    return len;
}

static bool parse_text(struct tls_secrets *secrets, const char *text, const char *file, char *why,
                       size_t size) {
    unsigned number = 1;
    for (const char *line = text, *next; *line; line = next, number++) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] ? 1 : 0);
        len = trimmed(&line, len);
        if (len == 0 || line[0] == '#')
            continue;
        const char *expected = secrets->count == TLS_SECRETS_MAX ? "at most 4096 secrets"
                                                                 : parse_line(secrets, line, len);
        if (!expected)
            continue;
        snprintf(why, size, "%s:%u: expected %s", file, number, expected);
        return false;
    }
    if (secrets->count > 0)
        return true;
    snprintf(why, size, "%s: expected a line IDENTITY:HEX (smuxctl genpsk makes one)", file);
    return false;
}

/* An array that is large enough for all lines of the text. */
static bool make_room(struct tls_secrets *secrets, const char *text, size_t len) {
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    if (lines > TLS_SECRETS_MAX)
        lines = TLS_SECRETS_MAX;
    secrets->list = calloc(lines, sizeof *secrets->list);
    secrets->room = secrets->list ? (unsigned)lines : 0;
    return secrets->list;
}

bool tls_secrets_read(struct tls_secrets *secrets, const char *file, char *why, size_t size) {
    char *text;
    size_t len;
    *secrets = (struct tls_secrets){0};
    if (!tls_file_read_secret(file, &text, &len, why, size))
        return false;
    bool good = strlen(text) == len && make_room(secrets, text, len);
    if (good)
        good = parse_text(secrets, text, file, why, size);
    else
        snprintf(why, size, "%s: %s", file,
                 strlen(text) < len ? "expected text without zero bytes" : "out of memory");
    tls_file_free(text, len);
    if (!good)
        tls_secrets_free(secrets);
    return good;
}

void tls_secrets_free(struct tls_secrets *secrets) {
    if (secrets->list)
        OPENSSL_cleanse(secrets->list, secrets->room * sizeof *secrets->list);
    free(secrets->list);
    *secrets = (struct tls_secrets){0};
}

const struct tls_secret *tls_secrets_find(const struct tls_secrets *secrets, const void *identity,
                                          size_t len) {
    for (unsigned i = 0; i < secrets->count; i++)
        if (strlen(secrets->list[i].identity) == len &&
            memcmp(secrets->list[i].identity, identity, len) == 0)
            return &secrets->list[i];
    return NULL;
}
