/* SPDX-License-Identifier: MIT */
/* gateway_config.c - see gateway_config.h. */
#include "helper/gateway/gateway_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/common/ini.h"
#include "helper/net/log.h"
#include "helper/net/sockaddr.h"

static bool fail(struct ini_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct ini_error *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

static bool fail_value(struct ini_error *error, const char *key, const char *expected,
                       const char *value) {
    return fail(error, "%s: expected %s, not \"%.80s\"", key, expected, value);
}

void gateway_config_init(struct gateway_config *config) {
    memset(config, 0, sizeof *config);
    route_list_init(&config->allow);
    config->connect_timeout_ms = 10000;
    config->drain_timeout_ms = 30000;
    config->keepalive_interval_ms = 10000;
    config->keepalive_timeout_ms = 30000;
    config->target_keepalive_ms = 120000;
    config->half_closed_timeout_ms = 300000;
    config->max_frame_size = 65535;
    config->max_receive_buffer = 64 * 1024 * 1024;
    config->max_stream_buffer = 16 * 1024 * 1024;
    config->max_streams = 65536;
    config->max_sessions = 1024;
    config->max_sessions_per_source = 256;
    config->hello_timeout_ms = 10000;
    config->first_stream_timeout_ms = 600000;
    config->workers = 1;
    config->socket_mode = 0600;
    config->log_level = LOG_INFO;
    strcpy(config->log_file, "stderr");
}

/* ---- Values: one function per type; `field` is where it goes ---- */

typedef bool set_value(struct gateway_config *config, void *field, const char *key,
                       const char *value, struct ini_error *error);

static bool set_addresses(struct gateway_config *config, void *field, const char *key,
                          const char *value, struct ini_error *error) {
    const char *rest = value, *why;
    (void)field;
    for (;;) {
        char text[CONFIG_URL_MAX + 1];
        rest += strspn(rest, ", \t");
        size_t len = strcspn(rest, ", \t");
        if (len == 0)
            return true;
        if (config->n_addresses == GATEWAY_ADDRESSES_MAX)
            return fail(error, "%s: expected at most %d addresses", key, GATEWAY_ADDRESSES_MAX);
        if (len >= sizeof text)
            return fail_value(error, key, "an address of at most 271 bytes", rest);
        memcpy(text, rest, len);
        text[len] = '\0';
        if (!config_address_parse(&config->address[config->n_addresses], text, &why))
            return fail_value(error, key, why, text);
        config->n_addresses++;
        rest += len;
    }
}

static bool set_allow(struct gateway_config *config, void *field, const char *key,
                      const char *value, struct ini_error *error) {
    struct route_error route_error;
    (void)config;
    if (route_list_parse_destinations(field, value, &route_error))
        return true;
    return fail(error, "%s: %s", key, route_error.text);
}

static bool set_version(struct gateway_config *config, void *field, const char *key,
                        const char *value, struct ini_error *error) {
    uint32_t version = 0;
    (void)config;
    if (strcmp(value, "auto") != 0 && !ini_number(value, 1, 2, &version))
        return fail_value(error, key, "auto, 1 or 2", value);
    *(uint8_t *)field = (uint8_t)version;
    return true;
}

static bool set_bool(struct gateway_config *config, void *field, const char *key, const char *value,
                     struct ini_error *error) {
    (void)config;
    return ini_bool(value, field) || fail_value(error, key, INI_EXPECTED_BOOL, value);
}

static bool set_duration(struct gateway_config *config, void *field, const char *key,
                         const char *value, struct ini_error *error) {
    (void)config;
    return (ini_duration_ms(value, field) && *(uint32_t *)field > 0) ||
           fail_value(error, key, INI_EXPECTED_DURATION, value);
}

static bool set_duration_or_zero(struct gateway_config *config, void *field, const char *key,
                                 const char *value, struct ini_error *error) {
    (void)config;
    return ini_duration_ms(value, field) ||
           fail_value(error, key, INI_EXPECTED_DURATION ", or 0 for none", value);
}

static bool set_size(struct gateway_config *config, void *field, const char *key, const char *value,
                     struct ini_error *error) {
    (void)config;
    return (ini_size(value, field) && *(uint32_t *)field > 0) ||
           fail_value(error, key, INI_EXPECTED_SIZE, value);
}

static bool set_frame_size(struct gateway_config *config, void *field, const char *key,
                           const char *value, struct ini_error *error) {
    uint32_t size;
    (void)config;
    if (!ini_size(value, &size) || size < 1 || size > 65535)
        return fail_value(error, key, "a size from 1 to 65535 bytes", value);
    *(uint32_t *)field = size;
    return true;
}

static bool set_count(struct gateway_config *config, void *field, const char *key,
                      const char *value, struct ini_error *error) {
    (void)config;
    return ini_number(value, 1, 1000000, field) ||
           fail_value(error, key, "a number from 1 to 1000000", value);
}

static bool set_workers(struct gateway_config *config, void *field, const char *key,
                        const char *value, struct ini_error *error) {
    (void)config;
    return ini_number(value, 1, 256, field) ||
           fail_value(error, key, "a number from 1 to 256", value);
}

static bool set_mode(struct gateway_config *config, void *field, const char *key, const char *value,
                     struct ini_error *error) {
    (void)config;
    return ini_mode(value, field) || fail_value(error, key, INI_EXPECTED_MODE, value);
}

static bool set_log_level(struct gateway_config *config, void *field, const char *key,
                          const char *value, struct ini_error *error) {
    int level = log_level_from_name(value);
    (void)config;
    if (level < 0)
        return fail_value(error, key, "error, warn, info or debug", value);
    *(int *)field = level;
    return true;
}

static bool set_log_file(struct gateway_config *config, void *field, const char *key,
                         const char *value, struct ini_error *error) {
    (void)config;
    bool word = strcmp(value, "stderr") == 0 || strcmp(value, "syslog") == 0;
    if ((!word && value[0] != '/') || strlen(value) > CONFIG_PATH_MAX)
        return fail_value(error, key, "stderr, syslog or an absolute path", value);
    strcpy(field, value);
    return true;
}

/* ---- Keys ---- */

#define KEY(name, field, setter)                                                                   \
    { name, offsetof(struct gateway_config, field), setter }

static const struct {
    const char *name;
    size_t offset;
    set_value *set;
} keys[] = {
    KEY("address", address, set_addresses),
    KEY("allow", allow, set_allow),
    KEY("version", version, set_version),
    KEY("insecure", insecure, set_bool),
    KEY("core-dumps", core_dumps, set_bool),
    KEY("connect-timeout", connect_timeout_ms, set_duration),
    KEY("drain-timeout", drain_timeout_ms, set_duration_or_zero),
    KEY("keepalive-interval", keepalive_interval_ms, set_duration_or_zero),
    KEY("keepalive-timeout", keepalive_timeout_ms, set_duration),
    KEY("target-keepalive", target_keepalive_ms, set_duration_or_zero),
    KEY("half-closed-timeout", half_closed_timeout_ms, set_duration_or_zero),
    KEY("max-frame-size", max_frame_size, set_frame_size),
    KEY("max-receive-buffer", max_receive_buffer, set_size),
    KEY("max-stream-buffer", max_stream_buffer, set_size),
    KEY("max-memory", max_memory, set_size),
    KEY("max-streams", max_streams, set_count),
    KEY("max-sessions", max_sessions, set_count),
    KEY("max-sessions-per-source", max_sessions_per_source, set_count),
    KEY("hello-timeout", hello_timeout_ms, set_duration),
    KEY("first-stream-timeout", first_stream_timeout_ms, set_duration_or_zero),
    KEY("workers", workers, set_workers),
    KEY("socket-mode", socket_mode, set_mode),
    KEY("log-level", log_level, set_log_level),
    KEY("log-file", log_file, set_log_file),
};

#define KEY_COUNT (sizeof keys / sizeof *keys)

static bool set_key(struct gateway_config *config, const char *key, const char *value,
                    struct ini_error *error) {
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, key) == 0)
            return keys[i].set(config, (char *)config + keys[i].offset, key, value, error);
    char expected[512] = "";
    for (size_t i = 0, len = 0; i < KEY_COUNT && len < sizeof expected; i++)
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%s%s", i ? ", " : "",
                                keys[i].name);
    return fail(error, "unknown key \"%.40s\", expected one of %s", key, expected);
}

static bool on_item(void *user, const struct ini_item *item, struct ini_error *error) {
    if (strcmp(item->section, "listen") != 0)
        return fail(error, "unknown section [%.60s], expected [listen]", item->section);
    return !item->key || set_key(user, item->key, item->value, error);
}

bool gateway_config_set(struct gateway_config *config, const char *key, const char *value,
                        struct config_error *error) {
    struct ini_error ini_error;
    if (set_key(config, key, value, &ini_error))
        return true;
    snprintf(error->text, sizeof error->text, "%s", ini_error.text);
    return false;
}

bool gateway_config_parse(struct gateway_config *config, const char *file, char *text, size_t len,
                          struct config_error *error) {
    struct ini_error ini_error = {0};
    snprintf(config->file, sizeof config->file, "%s", file);
    if (ini_read(text, len, on_item, config, &ini_error))
        return true;
    snprintf(error->text, sizeof error->text, "%s:%u: %s", file, ini_error.line, ini_error.text);
    return false;
}

/* The whole file in memory of the caller's to free; NULL with errno set. */
static char *read_file(const char *file, size_t *len) {
    struct stat st;
    char *text = NULL;
    ssize_t n = -1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        errno = EISDIR;
    else if ((text = malloc(CONFIG_FILE_MAX + 2)) != NULL)
        n = read(fd, text, CONFIG_FILE_MAX + 1);
    int saved = errno;
    close(fd);
    if (n > CONFIG_FILE_MAX) {
        saved = EFBIG;
        n = -1;
    }
    if (n < 0) {
        free(text);
        errno = saved;
        return NULL;
    }
    *len = (size_t)n;
    return text;
}

bool gateway_config_read(struct gateway_config *config, const char *file,
                         struct config_error *error) {
    size_t len;
    char *text = read_file(file, &len);
    if (!text) {
        snprintf(error->text, sizeof error->text, "%s: cannot be read: %s", file, strerror(errno));
        return false;
    }
    bool good = gateway_config_parse(config, file, text, len, error);
    free(text);
    return good;
}

/* ---- What needs the whole ---- */

static bool is_loopback(const struct config_address *address) {
    struct sockaddr_storage addr;
    socklen_t len;
    if (strcmp(address->host, "localhost") == 0)
        return true;
    if (!sockaddr_literal(address, &addr, &len))
        return false;
    if (addr.ss_family == AF_INET)
        return ntohl(((struct sockaddr_in *)&addr)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&addr)->sin6_addr);
}

bool gateway_config_check(const struct gateway_config *config, struct config_error *error) {
    const char *file = config->file[0] ? config->file : "command line";
    char text[CONFIG_URL_MAX + 1];
    if (config->n_addresses == 0) {
        snprintf(error->text, sizeof error->text,
                 "%s: no address to listen on, expected address in [listen] or --listen", file);
        return false;
    }
    for (int i = 0; i < config->n_addresses; i++) {
        const struct config_address *address = &config->address[i];
        config_address_text(address, text, sizeof text);
        if (address->scheme == CONFIG_TLS) {
            snprintf(
                error->text, sizeof error->text,
                "%.180s: %.180s: TLS is not supported by this build, expected tcp:// or unix://",
                file, text);
            return false;
        }
        if (address->scheme == CONFIG_TCP && !config->insecure && !is_loopback(address)) {
            snprintf(
                error->text, sizeof error->text,
                "%.180s: %.180s is open to the network without TLS, expected a loopback address, "
                "unix:// or insecure = yes",
                file, text);
            return false;
        }
    }
    if (config->keepalive_interval_ms > 0 &&
        config->keepalive_timeout_ms < config->keepalive_interval_ms) {
        snprintf(error->text, sizeof error->text,
                 "%s: keepalive-timeout: expected at least keepalive-interval", file);
        return false;
    }
    return true;
}
