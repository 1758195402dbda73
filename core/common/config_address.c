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

bool config_name_server_parse(struct config_address *server, const char *text) {
    char with_port[128];
    uint8_t binary[16];
    memset(server, 0, sizeof *server);
    bool bare = inet_pton(AF_INET6, text, binary) == 1;
    snprintf(with_port, sizeof with_port, bare ? "[%s]:53" : "%s:53", text);
    return strlen(text) < 80 &&
           (parse_host_port(server, text) || parse_host_port(server, with_port)) &&
           !config_address_is_name(server);
}

static bool parse_unix(struct config_address *address, const char *path) {
    if (path[0] != '/' || strlen(path) > 107)
        return false;
    strcpy(address->host, path);
    return true;
}

static const char *const scheme_names[] = {
    [CONFIG_TCP] = "tcp", [CONFIG_TLS] = "tls", [CONFIG_UNIX] = "unix"};

const char *config_scheme_name(enum config_scheme scheme) {
    return scheme_names[scheme];
}

/* Finds the scheme with this name. */
static bool parse_scheme(const char *name, size_t len, uint8_t *scheme) {
    for (size_t i = 0; i < sizeof scheme_names / sizeof *scheme_names; i++)
        if (strlen(scheme_names[i]) == len && memcmp(scheme_names[i], name, len) == 0) {
            *scheme = (uint8_t)i;
            return true;
        }
    return false;
}

/* "_service._protocol.domain": what SRV records have for a name. */
static bool parse_service(struct config_address *address, const char *name) {
    const char *protocol = strstr(name, "._"),
               *domain = protocol ? strchr(protocol + 2, '.') : NULL;
    if (name[0] != '_' || protocol <= name + 1 || !domain || domain == protocol + 2 ||
        domain[1] == '\0' || !helper_host_name_valid(name, strlen(name)))
        return false;
    strcpy(address->host, name);
    return true;
}

#define SERVICE "srv+"

static bool parse_after_scheme(struct config_address *address, const char *rest) {
    if (address->service)
        return address->scheme != CONFIG_UNIX && parse_service(address, rest);
    return address->scheme == CONFIG_UNIX ? parse_unix(address, rest)
                                          : parse_host_port(address, rest);
}

bool config_address_parse(struct config_address *address, const char *text, const char **why) {
    const char *rest = strstr(text, "://");
    memset(address, 0, sizeof *address);
    *why = "tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH or srv+tls://_NAME._tcp.DOMAIN";
    if (!rest)
        return parse_host_port(address, text);
    address->service = strncmp(text, SERVICE, strlen(SERVICE)) == 0;
    if (address->service)
        text += strlen(SERVICE);
    return parse_scheme(text, (size_t)(rest - text), &address->scheme) &&
           parse_after_scheme(address, rest + strlen("://"));
}

bool config_address_is_name(const struct config_address *address) {
    uint8_t binary[16];
    return address->service ||
           (address->scheme != CONFIG_UNIX && inet_pton(AF_INET, address->host, binary) != 1 &&
            inet_pton(AF_INET6, address->host, binary) != 1);
}

char *config_address_text(const struct config_address *address, char *out, size_t size) {
    if (address->scheme == CONFIG_UNIX)
        snprintf(out, size, "unix://%s", address->host);
    else if (address->service)
        snprintf(out, size, SERVICE "%s://%s", scheme_names[address->scheme], address->host);
    else
        snprintf(out, size, strchr(address->host, ':') ? "%s://[%s]:%u" : "%s://%s:%u",
                 scheme_names[address->scheme], address->host, address->port);
    return out;
}

static bool add(const struct key *key, struct config_address *address, uint16_t *n,
                const char *value, const char *too_long, const char *expected,
                struct ini_error *error) {
    char text[CONFIG_URL_MAX + 1];
    const char *why;
    bool fits;
    for (const char *rest = value; key_next_element(&rest, text, sizeof text, &fits);) {
        if (*n == CONFIG_ADDRESSES_MAX)
            return key_fail(error, "%s: expected at most %u addresses", key->name,
                            CONFIG_ADDRESSES_MAX);
        if (!fits)
            return key_expected(key, too_long, value, error);
        if (!config_address_parse(&address[*n], text, &why) || (address[*n].service && expected))
            return key_expected(key, expected ? expected : why, text, error);
        ++*n;
    }
    return true;
}

bool config_addresses_add(const struct key *key, struct config_address *address, uint16_t *n,
                          const char *value, const char *too_long, struct ini_error *error) {
    return add(key, address, n, value, too_long, "tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH",
               error);
}

bool config_addresses_add_any(const struct key *key, struct config_address *address, uint16_t *n,
                              const char *value, const char *too_long, struct ini_error *error) {
    return add(key, address, n, value, too_long, NULL, error);
}

bool config_addresses_have(const struct config_address *address, unsigned n,
                           enum config_scheme scheme) {
    for (unsigned i = 0; i < n; i++)
        if (address[i].scheme == scheme)
            return true;
    return false;
}

bool config_addresses_equal(const struct config_address *a, unsigned n_a,
                            const struct config_address *b, unsigned n_b) {
    for (unsigned i = 0; i < n_a && i < n_b; i++)
        if (a[i].scheme != b[i].scheme || a[i].service != b[i].service || a[i].port != b[i].port ||
            strcmp(a[i].host, b[i].host) != 0)
            return false;
    return n_a == n_b;
}

/* ---- Listeners for others than carriers ---- */

static bool set_listener(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    struct config_address *address = key_field(key, section);
    memset(address, 0, sizeof *address);
    address->scheme = value[0] == '/' ? CONFIG_UNIX : CONFIG_TCP;
    return (value[0] == '/' ? parse_unix : parse_host_port)(address, value) ||
           key_expected(key, "ADDRESS:PORT or the path of a socket", value, error);
}

static bool equal_listener(const struct key *key, const void *a, const void *b) {
    return config_addresses_equal((const void *)((const char *)a + key->offset), 1,
                                  (const void *)((const char *)b + key->offset), 1);
}

const struct key_type key_listener = {set_listener, equal_listener};
