/* SPDX-License-Identifier: MIT */
/* ctl_secrets.c - smuxctl genpsk and genkey: make what TLS carriers prove themselves with. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "helper/carrier/tls_file.h"
#include "helper/carrier/tls_key.h"
#include "helper/carrier/tls_psk.h"
#include "helper/ctl/ctl.h"

/* 256 bits. */
#define SECRET_BYTES 32u
#define LINE_SIZE    (TLS_IDENTITY_MAX + 1 + 2 * SECRET_BYTES + 2)

static int complain(const char *about, const char *text) {
    fprintf(stderr, "smuxctl: %s: %s\n", about, text);
    return CTL_FAILED;
}

/* Writes "IDENTITY:HEX\n". */
static bool make_line(char line[LINE_SIZE], const char *identity) {
    uint8_t secret[SECRET_BYTES];
    bool good = RAND_priv_bytes(secret, sizeof secret) == 1;
    int len = snprintf(line, LINE_SIZE, "%s:", identity);
    for (unsigned i = 0; i < SECRET_BYTES; i++)
        len += snprintf(line + len, LINE_SIZE - (size_t)len, "%02x", secret[i]);
    snprintf(line + len, LINE_SIZE - (size_t)len, "\n");
    OPENSSL_cleanse(secret, sizeof secret);
    return good;
}

static int write_line(const char *line, const char *file) {
    if (!file)
        return fputs(line, stdout) < 0 || fflush(stdout) != 0
                   ? complain("standard output", strerror(errno))
                   : CTL_OK;
    int error = tls_file_create_secret(file, line, strlen(line));
    if (error == -EEXIST)
        return complain(file, "there is such a file, expected a new one");
    return error ? complain(file, strerror(-error)) : CTL_OK;
}

int ctl_genpsk(const char *identity, const char *file) {
    char line[LINE_SIZE];
    if (!tls_identity_valid(identity, strlen(identity))) {
        complain(identity, "expected a name of 1 to 63 letters, digits, '-', '.', '_' or '@'");
        return CTL_USAGE;
    }
    int status = make_line(line, identity) ? write_line(line, file)
                                           : complain(identity, "no random numbers");
    OPENSSL_cleanse(line, sizeof line);
    return status;
}

int ctl_genkey(const char *file) {
    char pin[TLS_PIN_SIZE], why[400];
    if (!tls_key_create(file, "smuxshim", pin, why, sizeof why)) {
        fprintf(stderr, "smuxctl: %s\n", why);
        return CTL_FAILED;
    }
    return puts(pin) >= 0 ? CTL_OK : complain("standard output", strerror(errno));
}
