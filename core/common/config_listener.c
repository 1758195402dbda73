/* SPDX-License-Identifier: MIT */
/* config_listener.c - [socks] and [forward NAME]: for programs that cannot be preloaded. See
 * config.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/common/config_internal.h"

/* ---- Value types ---- */

#define EXPECTED_LISTEN "ADDRESS:PORT with an IP address, [IPv6]:PORT or an absolute path"

static bool is_literal(const char *host) {
    uint8_t address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* A name could stand for several addresses, and for others tomorrow. */
static bool parse_listen(struct config_address *address, const char *text) {
    char url[CONFIG_URL_MAX + 1];
    const char *why;
    int len = snprintf(url, sizeof url, text[0] == '/' ? "unix://%s" : "%s", text);
    return len < (int)sizeof url && config_address_parse(address, url, &why) &&
           (address->scheme == CONFIG_UNIX ||
            (address->scheme == CONFIG_TCP && is_literal(address->host)));
}

/* Each line adds to what is there. */
static bool set_listen(const struct key *key, void *section, const char *value,
                       struct ini_error *error) {
    struct config_listener *listener = section;
    uint16_t before = listener->n_addresses;
    char text[CONFIG_URL_MAX + 1];
    bool fits;
    for (const char *rest = value; key_next_element(&rest, text, sizeof text, &fits);) {
        if (listener->n_addresses == CONFIG_LISTEN_MAX)
            return key_fail(error, "%s: expected at most %u addresses", key->name,
                            CONFIG_LISTEN_MAX);
        if (!fits || !parse_listen(&listener->address[listener->n_addresses], text))
            return key_expected(key, EXPECTED_LISTEN, fits ? text : value, error);
        listener->n_addresses++;
    }
    return listener->n_addresses > before || key_expected(key, EXPECTED_LISTEN, value, error);
}

static bool equal_listen(const struct key *key, const void *a, const void *b) {
    const struct config_listener *left = a, *right = b;
    (void)key;
    return config_addresses_equal(left->address, left->n_addresses, right->address,
                                  right->n_addresses);
}

static bool set_destination(const struct key *key, void *section, const char *value,
                            struct ini_error *error) {
    struct config_address *destination = key_field(key, section);
    const char *why;
    return (!strstr(value, "://") && config_address_parse(destination, value, &why)) ||
           key_expected(key, "HOST:PORT or [IPv6]:PORT", value, error);
}

static bool equal_destination(const struct key *key, const void *a, const void *b) {
    return config_addresses_equal((const void *)((const char *)a + key->offset), 1,
                                  (const void *)((const char *)b + key->offset), 1);
}

static bool set_unrouted(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    uint8_t *unrouted = key_field(key, section);
    bool direct = strcmp(value, "direct") == 0;
    *unrouted = direct ? ROUTE_DIRECT : ROUTE_REFUSE;
    return direct || strcmp(value, "refuse") == 0 ||
           key_expected(key, "refuse or direct", value, error);
}

static const struct key_type listen_at = {set_listen, equal_listen};
const struct key_type key_destination = {set_destination, equal_destination};
static const struct key_type unrouted_by = {set_unrouted, key_equal_bytes};

/* ---- Keys ---- */

#define LISTENER(name, field, type) KEY(config_listener, name, field, type)

#define KEYS_OF_BOTH                                                                               \
    {LISTENER("unrouted", unrouted, unrouted_by), .by_default = "refuse"},                         \
        {LISTENER("insecure", insecure, key_bool), .by_default = "no"},                            \
        {LISTENER("socket-mode", socket_mode, key_mode), .by_default = "0600"},                    \
        {LISTENER("max-connections", max_connections, key_number), .min = 1, .max = 1000000,       \
         .by_default = "4096"},                                                                    \
    {                                                                                              \
        LISTENER("max-connections-per-source", max_per_source, key_number),                        \
            .min = 1, .max = 1000000, .by_default = "1024"                                         \
    }

const struct key config_socks_keys[] = {
    {LISTENER("listen", address, listen_at)},
    {LISTENER("password-file", password_file, key_path)},
    {LISTENER("hello-timeout", hello_timeout_ms, key_duration), .min = 1, .by_default = "10s"},
    KEYS_OF_BOTH,
    {0},
};

const struct key config_forward_keys[] = {
    {LISTENER("listen", address, listen_at)},
    {LISTENER("destination", destination, key_destination)},
    KEYS_OF_BOTH,
    {0},
};

const struct key *config_listener_keys(const struct config_listener *listener) {
    return listener->kind == CONFIG_SOCKS ? config_socks_keys : config_forward_keys;
}

const char *config_listener_text(const struct config_listener *listener, char *out, size_t size) {
    snprintf(out, size, "%s%s%s", listener->kind == CONFIG_SOCKS ? "socks" : "forward",
             listener->name[0] ? " " : "", listener->name);
    return out;
}

/* ---- Sections ---- */

static bool is_name(const char *name) {
    size_t len = strlen(name);
    return len > 0 && len <= ROUTE_NAME_MAX && !strpbrk(name, " ,;=\t/:[]\"");
}

static bool is_taken(const struct config *config, enum config_listener_kind kind,
                     const char *name) {
    for (unsigned i = 0; i < config->n_listeners; i++)
        if (config->listener[i].kind == kind && strcmp(config->listener[i].name, name) == 0)
            return true;
    return false;
}

struct config_listener *config_listener_add(struct config *config, enum config_listener_kind kind,
                                            const char *name, struct ini_error *error) {
    const char *what = kind == CONFIG_SOCKS ? "socks" : "forward";
    if (config->n_listeners == CONFIG_LISTENERS_MAX)
        key_fail(error, "expected at most %u sections [socks] and [forward NAME]",
                 CONFIG_LISTENERS_MAX);
    else if (kind == CONFIG_SOCKS && !name[0] && is_taken(config, kind, name))
        key_fail(error, "expected one [socks], found a second: others have names, [socks NAME]");
    else if (is_taken(config, kind, name))
        key_fail(error, "expected one [%s %.60s], found a second", what, name);
    else if (name[0] ? !is_name(name) : kind != CONFIG_SOCKS)
        key_fail(error, "\"%.80s\": expected a name of 1 to %u letters, digits, '-', '_', '.'",
                 name, ROUTE_NAME_MAX);
    else {
        struct config_listener *listener = &config->listener[config->n_listeners++];
        memset(listener, 0, sizeof *listener);
        listener->kind = (uint8_t)kind;
        strcpy(listener->name, name);
        keys_default(config_listener_keys(listener), listener);
        return listener;
    }
    return NULL;
}

bool config_address_is_exposed(const struct config_address *address) {
    uint8_t v4[4], v6[16];
    static const uint8_t loopback[16] = {[15] = 1};
    if (address->scheme == CONFIG_UNIX)
        return false;
    if (inet_pton(AF_INET, address->host, v4) == 1)
        return v4[0] != 127;
    return inet_pton(AF_INET6, address->host, v6) != 1 || memcmp(v6, loopback, sizeof v6) != 0;
}

static bool has_address(const struct config_listener *listener,
                        const struct config_address *address) {
    for (unsigned i = 0; i < listener->n_addresses; i++)
        if (config_addresses_equal(&listener->address[i], 1, address, 1))
            return true;
    return false;
}

static bool check_address(const struct config *config, const struct config_listener *listener,
                          const struct config_address *address, struct ini_error *error) {
    char where[80], other[80], text[CONFIG_URL_MAX + 1];
    config_listener_text(listener, where, sizeof where);
    config_address_text(address, text, sizeof text);
    for (const struct config_listener *before = config->listener; before < listener; before++)
        if (has_address(before, address))
            return key_fail(error, "[%s]: expected an address of its own, [%s] listens at %.160s",
                            where, config_listener_text(before, other, sizeof other), text);
    if (listener->insecure || listener->password_file[0] || !config_address_is_exposed(address))
        return true;
    return key_fail(error,
                    "[%s]: %.160s is open to the network: expected %sa loopback address, a "
                    "unix socket or insecure = yes",
                    where, text, listener->kind == CONFIG_SOCKS ? "password-file, " : "");
}

bool config_listener_check(const struct config *config, const struct config_listener *listener,
                           struct ini_error *error) {
    char where[80];
    config_listener_text(listener, where, sizeof where);
    if (listener->n_addresses == 0)
        return key_fail(error, "[%s]: expected listen", where);
    if (listener->kind == CONFIG_FORWARD && listener->destination.port == 0)
        return key_fail(error, "[%s]: expected a destination", where);
    for (unsigned i = 0; i < listener->n_addresses; i++)
        if (!check_address(config, listener, &listener->address[i], error))
            return false;
    return true;
}
