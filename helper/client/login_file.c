/* SPDX-License-Identifier: MIT */
/* login_file.c - see login_file.h. */
#include "helper/client/login_file.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/tls_file.h"

struct hash {
    uint8_t bytes[SHA256_DIGEST_LENGTH];
};

struct login_file {
    size_t count;
    uint8_t salt[16]; /* of this process: a copy of its memory is worth no table of passwords */
    struct hash login[LOGINS_MAX];
};

/* Always over as many bytes. False if one of the texts is too long. */
static bool hash(const struct login_file *logins, const char *name, size_t name_len,
                 const char *password, size_t password_len, struct hash *out) {
    struct {
        uint8_t salt[16], name_len, password_len;
        char name[LOGIN_TEXT_MAX], password[LOGIN_TEXT_MAX];
    } text = {.name_len = (uint8_t)name_len, .password_len = (uint8_t)password_len};
    if (name_len > LOGIN_TEXT_MAX || password_len > LOGIN_TEXT_MAX)
        return false;
    memcpy(text.salt, logins->salt, sizeof text.salt);
    memcpy(text.name, name, name_len);
    memcpy(text.password, password, password_len);
    SHA256((const uint8_t *)&text, sizeof text, out->bytes);
    OPENSSL_cleanse(&text, sizeof text);
    return true;
}

bool login_file_admits(const struct login_file *logins, const char *name, size_t name_len,
                       const char *password, size_t password_len) {
    struct hash given;
    unsigned found = 0;
    if (!hash(logins, name, name_len, password, password_len, &given))
        return false;
    for (size_t i = 0; i < logins->count; i++)
        found |= CRYPTO_memcmp(&logins->login[i], &given, sizeof given) == 0;
    return found;
}

static const char *parse_line(struct login_file *logins, const char *line, size_t len) {
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : 0;
    size_t password_len = colon ? len - name_len - 1 : 0;
    if (name_len == 0 || name_len > LOGIN_TEXT_MAX || password_len == 0 ||
        password_len > LOGIN_TEXT_MAX || memchr(line, '\0', len))
        return "NAME:PASSWORD, each of 1 to 255 bytes";
    if (logins->count == LOGINS_MAX)
        return "at most 1024 names";
    return hash(logins, line, name_len, colon + 1, password_len, &logins->login[logins->count++])
               ? NULL
               : "NAME:PASSWORD";
}

static bool parse(struct login_file *logins, const char *text, size_t len, const char *file,
                  char *why, size_t size) {
    const char *end = text + len, *expected = NULL;
    unsigned number = 0;
    for (const char *line = text; line < end && !expected;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)((newline ? newline : end) - line);
        number++;
        if (line_len > 0 && line[line_len - 1] == '\r')
            line_len--;
        if (line_len > 0 && line[0] != '#')
            expected = parse_line(logins, line, line_len);
        line = newline ? newline + 1 : end;
    }
    if (expected)
        snprintf(why, size, "%s:%u: expected %s", file, number, expected);
    else if (logins->count == 0)
        snprintf(why, size, "%s: expected a line NAME:PASSWORD", file);
    return !expected && logins->count > 0;
}

struct login_file *login_file_read(const char *file, char *why, size_t size) {
    char *text;
    size_t len;
    if (!tls_file_read_secret(file, &text, &len, why, size))
        return NULL;
    struct login_file *logins = calloc(1, sizeof *logins);
    bool salted = logins && RAND_bytes(logins->salt, sizeof logins->salt) == 1;
    if (!salted)
        snprintf(why, size, "%s: no memory, or no random numbers", file);
    bool good = salted && parse(logins, text, len, file, why, size);
    tls_file_free(text, len);
    if (good)
        return logins;
    login_file_free(logins);
    return NULL;
}

void login_file_free(struct login_file *logins) {
    if (logins)
        OPENSSL_cleanse(logins, sizeof *logins);
    free(logins);
}
