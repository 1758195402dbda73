/* SPDX-License-Identifier: MIT */
/* gateway_config.c - see gateway_config.h. */
#include "helper/gateway/gateway_config.h"

#include <stdio.h>
#include <string.h>

#include "core/common/ini.h"
#include "core/smux.h"
#include "helper/carrier/carrier_scheme.h"
#include "helper/carrier/tls_context.h"
#include "helper/net/file_broker.h"
#include "helper/net/sockaddr.h"

/* ---- Types of values that only this file has ---- */

/* Each line, and each --listen, adds to what is there. */
static bool set_addresses(const struct key *key, void *section, const char *value,
                          struct ini_error *error) {
    struct gateway_config *config = section;
    return config_addresses_add(key, config->address, &config->n_addresses, value,
                                "an address of at most 271 bytes", error);
}

static bool equal_addresses(const struct key *key, const void *a, const void *b) {
    const struct gateway_config *left = a, *right = b;
    (void)key;
    return config_addresses_equal(left->address, left->n_addresses, right->address,
                                  right->n_addresses);
}

static bool set_version(const struct key *key, void *section, const char *value,
                        struct ini_error *error) {
    uint32_t version = SMUX_VERSION_AUTO;
    if (strcmp(value, "auto") != 0 && !ini_number(value, 1, 2, &version))
        return key_expected(key, "auto, 1 or 2", value, error);
    *(uint8_t *)key_field(key, section) = (uint8_t)version;
    return true;
}

static bool set_log_file(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    bool word = strcmp(value, "stderr") == 0 || strcmp(value, "syslog") == 0;
    return ((word || value[0] == '/') && key_copy_text(key, section, value)) ||
           key_expected(key, "stderr, syslog or an absolute path", value, error);
}

static bool set_account(const struct key *key, void *section, const char *value,
                        struct ini_error *error) {
    bool good = value[0] && !strpbrk(value, ", \t:") && key_copy_text(key, section, value);
    return good || key_expected(key, "a name or an id", value, error);
}

static bool set_handshake(const struct key *key, void *section, const char *value,
                          struct ini_error *error) {
    uint8_t *handshake = key_field(key, section);
    bool none = strcmp(value, "none") == 0;
    *handshake = none ? ROUTE_PLAIN : ROUTE_SOCKS5;
    return none || strcmp(value, "socks5") == 0 ||
           key_expected(key, "socks5 or none", value, error);
}

static const struct key_type handshake = {set_handshake, key_equal_bytes};
static const struct key_type account = {set_account, key_equal_text};
static const struct key_type addresses = {set_addresses, equal_addresses};
static const struct key_type version = {set_version, key_equal_bytes};
static bool set_access_log(const struct key *key, void *section, const char *value,
                           struct ini_error *error) {
    return ((strcmp(value, "syslog") == 0 || value[0] == '/') &&
            key_copy_text(key, section, value)) ||
           key_expected(key, "syslog or an absolute path", value, error);
}

static bool set_networks(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    char text[64];
    struct networks *networks = key_field(key, section);
    bool fits;
    memset(networks, 0, sizeof *networks);
    for (const char *rest = value; key_next_element(&rest, text, sizeof text, &fits);) {
        const char *expected = fits ? networks_add(networks, text) : "a shorter network";
        if (expected)
            return key_expected(key, expected, fits ? text : value, error);
    }
    return networks->count > 0 || key_expected(key, "networks such as 10.0.0.0/8", value, error);
}

static const struct key_type networks = {set_networks, key_equal_bytes};
static const struct key_type access_log = {set_access_log, key_equal_text};
static const struct key_type log_file = {set_log_file, key_equal_text};

/* ---- Keys ---- */

#define LISTEN(name, field, type) KEY(gateway_config, name, field, type)
const struct key gateway_config_keys[] = {
    {LISTEN("address", address, addresses), .restart = true},
    {LISTEN("allow", allow, key_destinations)},
    {LISTEN("handshake", handshake, handshake), .by_default = "socks5"},
    {LISTEN("target", target, key_destination)},
    {LISTEN("silent-client-delay", silent_client_delay_ms, key_duration), .by_default = "250ms"},
    {LISTEN("accept-proxy", accept_proxy, networks)},
    {LISTEN("proxy-protocol", proxy.version, key_proxy_version)},
    {LISTEN("proxy-protocol-to", proxy.to, key_destinations)},
    {LISTEN("psk", psk, key_path)},
    {LISTEN("key", key, key_path)},
    {LISTEN("cert", cert, key_path)},
    {LISTEN("client-pins", client_pins, key_pins)},
    {LISTEN("client-ca", client_ca, key_path)},
    {LISTEN("crl", crl, key_path)},
    {LISTEN("version", session.version, version), .by_default = "auto"},
    {LISTEN("insecure", insecure, key_bool), .restart = true},
    {LISTEN("core-dumps", core_dumps, key_bool), .restart = true},
    {LISTEN("user", user, account), .restart = true},
    {LISTEN("group", group, account), .restart = true},
    {LISTEN("sandbox", sandbox, key_sandbox), .by_default = "yes", .restart = true},
    {LISTEN("connect-timeout", connect_timeout_ms, key_duration), .min = 1, .by_default = "10s"},
    {LISTEN("drain-timeout", drain_timeout_ms, key_duration), .by_default = "30s"},
    {LISTEN("keepalive-interval", session.keepalive_interval_ms, key_duration),
     .by_default = "10s"},
    {LISTEN("keepalive-timeout", session.keepalive_timeout_ms, key_duration), .min = 1,
     .by_default = "30s"},
    {LISTEN("target-keepalive", target_keepalive_ms, key_duration), .by_default = "2m"},
    {LISTEN("half-closed-timeout", half_closed_timeout_ms, key_duration), .by_default = "5m"},
    {LISTEN("max-frame-size", session.max_frame_size, key_size), .min = 1, .max = 65535,
     .by_default = "65535"},
    {LISTEN("max-receive-buffer", session.max_receive_buffer, key_size), .min = 1,
     .by_default = "64m"},
    {LISTEN("max-stream-buffer", session.max_stream_buffer, key_size), .min = 1,
     .by_default = "16m"},
    {LISTEN("stalled-reader-timeout", session.stalled_reader_timeout_ms, key_duration),
     .by_default = "10s"},
    {LISTEN("max-memory", max_memory, key_size), .min = 1},
    {LISTEN("max-streams", max_streams, key_number), .min = 1, .max = 1000000,
     .by_default = "65536"},
    {LISTEN("max-sessions", max_sessions, key_number), .min = 1, .max = 1000000,
     .by_default = "1024"},
    {LISTEN("max-sessions-per-source", max_sessions_per_source, key_number), .min = 1,
     .max = 1000000, .by_default = "256"},
    {LISTEN("max-handshakes", max_handshakes, key_number), .min = 1, .max = 1000000,
     .by_default = "512"},
    {LISTEN("max-handshakes-per-source", max_handshakes_per_source, key_number), .min = 1,
     .max = 1000000, .by_default = "64"},
    {LISTEN("hello-timeout", hello_timeout_ms, key_duration), .min = 1, .by_default = "10s"},
    {LISTEN("first-stream-timeout", first_stream_timeout_ms, key_duration), .by_default = "10m"},
    {LISTEN("workers", workers, key_number), .min = 1, .max = 256, .by_default = "1",
     .restart = true},
    {LISTEN("socket-mode", socket_mode, key_mode), .by_default = "0600", .restart = true},
    {LISTEN("log-level", log_level, key_log_level), .by_default = "info"},
    {LISTEN("log-format", log_format, key_log_format), .by_default = "text"},
    {LISTEN("log-file", log_file, log_file), .by_default = "stderr", .restart = true},
    {LISTEN("access-log", access_log, access_log), .restart = true},
    {LISTEN("metrics", metrics, key_listener), .restart = true},
    {0},
};

void gateway_config_init(struct gateway_config *config) {
    memset(config, 0, sizeof *config);
    route_list_init(&config->allow);
    keys_default(gateway_config_keys, config);
}

void gateway_config_fini(struct gateway_config *config) {
    client_config_free(&config->clients);
    tls_context_unref(config->tls);
}

static bool on_client_item(struct gateway_config *config, const char *name,
                           const struct ini_item *item, struct ini_error *error) {
    char where[ROUTE_NAME_MAX + 20];
    if (!item->key)
        return client_config_add(&config->clients, name, item->line, error);
    snprintf(where, sizeof where, " in [%.60s]", item->section);
    return keys_set(client_config_keys, client_config_find(config->clients, name), item->key,
                    item->value, where, error);
}

static bool on_item(void *user, const struct ini_item *item, struct ini_error *error) {
    if (strncmp(item->section, "client ", 7) == 0)
        return on_client_item(user, item->section + 7, item, error);
    if (strcmp(item->section, "listen") != 0)
        return key_fail(error, "unknown section [%.60s], expected [listen] or [client NAME]",
                        item->section);
    return !item->key || keys_set(gateway_config_keys, user, item->key, item->value, "", error);
}

bool gateway_config_set(struct gateway_config *config, const char *key, const char *value,
                        struct config_error *error) {
    struct ini_error ini_error;
    if (keys_set(gateway_config_keys, config, key, value, "", &ini_error))
        return true;
    snprintf(error->text, sizeof error->text, "%s", ini_error.text);
    return false;
}

bool gateway_config_parse(struct gateway_config *config, const char *file, char *text, size_t len,
                          struct config_error *error) {
    struct ini_error ini_error = {0};
    snprintf(config->file, sizeof config->file, "%s", file);
    if (ini_read(text, len, on_item, config, &ini_error) &&
        client_config_check(config->clients, &ini_error))
        return true;
    snprintf(error->text, sizeof error->text, "%s:%u: %s", file, ini_error.line, ini_error.text);
    return false;
}

bool gateway_config_read(struct gateway_config *config, const char *file,
                         struct config_error *error) {
    char *text = NULL;
    size_t len = 0;
    int fd = file_open(file, FILE_READ);
    int failed = fd < 0 ? fd : config_file_map_open(fd, &text, &len);
    if (failed) {
        snprintf(error->text, sizeof error->text, "%s: cannot be read: %s", file,
                 strerror(-failed));
        return false;
    }
    bool good = gateway_config_parse(config, file, text, len, error);
    config_file_unmap(text);
    return good;
}

void gateway_config_target(const struct gateway_config *config,
                           struct socks5_destination *destination) {
    const struct config_address *target = &config->target;
    struct sockaddr_storage addr;
    socklen_t len;
    destination->address.port = target->port;
    if (sockaddr_literal(target, &addr, &len)) {
        endpoint_from_sockaddr(&destination->address, (struct sockaddr *)&addr, len);
        return;
    }
    destination->name_len = (uint8_t)strlen(target->host);
    memcpy(destination->name, target->host, destination->name_len + 1u);
}

/* ---- What needs the whole ---- */

bool gateway_config_is_exposed(const struct config_address *address) {
    return !carrier_scheme_is_private(address->scheme) && strcmp(address->host, "localhost") != 0 &&
           config_address_is_exposed(address);
}

static bool check_address(const struct gateway_config *config, const char *file,
                          const struct config_address *address, struct config_error *error) {
    char text[CONFIG_URL_MAX + 1];
    config_address_text(address, text, sizeof text);
    if (config->insecure || !gateway_config_is_exposed(address))
        return true;
    snprintf(error->text, sizeof error->text,
             "%.180s: %.180s is open to the network without TLS, expected tls://, a loopback "
             "address, unix:// or insecure = yes",
             file, text);
    return false;
}

static bool check_target(const struct gateway_config *config, const char *file,
                         struct config_error *error) {
    bool plain = config->handshake == ROUTE_PLAIN, given = config->target.host[0] != '\0';
    if (plain != given)
        snprintf(error->text, sizeof error->text, "%.180s: %s", file,
                 plain ? "handshake = none: expected target = HOST:PORT as well"
                       : "target: expected handshake = none as well");
    return plain == given;
}

bool gateway_config_check(const struct gateway_config *config, struct config_error *error) {
    const char *file = config->file[0] ? config->file : "command line";
    if (config->n_addresses == 0) {
        snprintf(error->text, sizeof error->text,
                 "%s: no address to listen on, expected address in [listen] or --listen", file);
        return false;
    }
    for (int i = 0; i < config->n_addresses; i++)
        if (!check_address(config, file, &config->address[i], error))
            return false;
    if (config->proxy.to.n_rules > 0 && config->proxy.version == PROXY_NONE) {
        snprintf(error->text, sizeof error->text,
                 "%.180s: proxy-protocol-to: expected proxy-protocol = v1 or v2 as well", file);
        return false;
    }
    if (!check_target(config, file, error))
        return false;
    const struct session_limits *session = &config->session;
    if (session->keepalive_interval_ms > 0 &&
        session->keepalive_timeout_ms < session->keepalive_interval_ms) {
        snprintf(error->text, sizeof error->text,
                 "%s: keepalive-timeout: expected at least keepalive-interval", file);
        return false;
    }
    return true;
}
