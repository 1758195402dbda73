/* SPDX-License-Identifier: MIT */
/* config_address.c - addresses of carriers, and lists of them. See config.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/common/config.h"

static bool parse_port(const char *text, uint16_t *port) {
    uint32_t number;
    if (!ini_number(text, 1, 65535, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* "host:port" or "[v6]:port" into `address`. */
static bool parse_host_port(struct config_address *address, const char *text) {
    const char *host = text, *end, *colon;
    uint8_t v6[16];
    if (*text == '[') {
        host = text + 1;
        end = strchr(host, ']');
        colon = end ? end + 1 : NULL;
    } else {
        colon = end = strchr(text, ':');
    }
    if (!colon || *colon != ':' || end == host || (size_t)(end - host) >= sizeof address->host)
        return false;
    memcpy(address->host, host, (size_t)(end - host));
    address->host[end - host] = '\0';
    if (*text == '[' ? inet_pton(AF_INET6, address->host, v6) != 1
                     : !helper_host_name_valid(address->host, (size_t)(end - host)))
        return false;
    return parse_port(colon + 1, &address->port);
}

static bool parse_unix(struct config_address *address, const char *path) {
    if (path[0] != '/' || strlen(path) > 107)
        return false;
    strcpy(address->host, path);
    return true;
}

bool config_address_parse(struct config_address *address, const char *text, const char **why) {
    static const struct {
        const char *prefix;
        enum config_scheme scheme;
    } schemes[] = {{"tcp://", CONFIG_TCP}, {"tls://", CONFIG_TLS}, {"unix://", CONFIG_UNIX}};
    memset(address, 0, sizeof *address);
    *why = "tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH";
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i].prefix);
        if (strncmp(text, schemes[i].prefix, len) == 0) {
            address->scheme = (uint8_t)schemes[i].scheme;
            return address->scheme == CONFIG_UNIX ? parse_unix(address, text + len)
                                                  : parse_host_port(address, text + len);
        }
    }
    return !strstr(text, "://") && parse_host_port(address, text);
}

char *config_address_text(const struct config_address *address, char *out, size_t size) {
    static const char *const scheme[] = {"tcp", "tls", "unix"};
    if (address->scheme == CONFIG_UNIX)
        snprintf(out, size, "unix://%s", address->host);
    else
        snprintf(out, size, strchr(address->host, ':') ? "%s://[%s]:%u" : "%s://%s:%u",
                 scheme[address->scheme], address->host, address->port);
    return out;
}

bool config_addresses_add(const struct key *key, struct config_address *address, uint16_t *n,
                          const char *value, const char *too_long, struct ini_error *error) {
    char text[CONFIG_URL_MAX + 1];
    const char *why;
    bool fits;
    for (const char *rest = value; key_next_element(&rest, text, sizeof text, &fits);) {
        if (*n == CONFIG_ADDRESSES_MAX)
            return key_fail(error, "%s: expected at most %u addresses", key->name,
                            CONFIG_ADDRESSES_MAX);
        if (!fits)
            return key_expected(key, too_long, value, error);
        if (!config_address_parse(&address[*n], text, &why))
            return key_expected(key, why, text, error);
        ++*n;
    }
    return true;
}

bool config_addresses_equal(const struct config_address *a, unsigned n_a,
                            const struct config_address *b, unsigned n_b) {
    for (unsigned i = 0; i < n_a && i < n_b; i++)
        if (a[i].scheme != b[i].scheme || a[i].port != b[i].port ||
            strcmp(a[i].host, b[i].host) != 0)
            return false;
    return n_a == n_b;
}
