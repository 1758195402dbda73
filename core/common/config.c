/* SPDX-License-Identifier: MIT */
/* config.c - the key tables of smuxshim.conf, and the checks across sections. */
#include "core/common/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/common/config_internal.h"
#include "core/common/ini.h"

/* The state of the handler that the INI reader calls. */
struct parse_state {
    struct config *config;
    struct config_gateway *gateway; /* of the current section, or NULL */
    struct route *route;            /* likewise */
    struct config_listener *listener;
    bool in_helper, in_names;
    unsigned route_line; /* of the current route's header */
    unsigned line_of_route[ROUTES_MAX], line_of_gateway[CONFIG_GATEWAYS_MAX];
    unsigned line_of_listener[CONFIG_LISTENERS_MAX];
};

/* ---- Value types that only this file needs ---- */

static bool set_range(const struct key *key, void *section, const char *value,
                      struct ini_error *error) {
    bool is_v4 = key->offset == offsetof(struct config_names, ranges.v4);
    const char *why = name_range_parse(key_field(key, section), is_v4 ? AF_INET : AF_INET6, value);
    return !why || key_expected(key, why, value, error);
}

static bool equal_ranges(const struct key *key, const void *a, const void *b) {
    return name_range_equal((const void *)((const char *)a + key->offset),
                            (const void *)((const char *)b + key->offset));
}

static bool set_socket(const struct key *key, void *section, const char *value,
                       struct ini_error *error) {
    struct sockaddr_un name;
    if (value[0] != '/' || helper_path_name(&name, value) == 0)
        return key_expected(key, "an absolute path that ends in /" HELPER_SOCKET_FILE, value,
                            error);
    return key_path.set(key, section, value, error);
}

/* User or group names, or numeric ids; kept as text separated by single commas. */
static bool set_accounts(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    char *out = key_field(key, section), name[64];
    size_t len = 0;
    bool fits;
    for (const char *rest = value; key_next_element(&rest, name, sizeof name, &fits);) {
        if (!fits || len + strlen(name) + 2 > key->size)
            return key_expected(key, "names or ids, at most 1023 bytes", value, error);
        len += (size_t)sprintf(out + len, "%s%s", len ? "," : "", name);
    }
    return len > 0 || key_expected(key, "names or ids", value, error);
}

/* If there are several lines with addresses, the last one counts. */
static bool set_addresses(const struct key *key, void *section, const char *value,
                          struct ini_error *error) {
    struct config_gateway *gateway = section;
    gateway->n_addresses = 0;
    return config_addresses_add_any(key, gateway->address, &gateway->n_addresses, value,
                                    "a shorter address", error) &&
           (gateway->n_addresses > 0 || key_expected(key, "tcp://HOST:PORT", value, error));
}

static bool equal_addresses(const struct key *key, const void *a, const void *b) {
    const struct config_gateway *left = a, *right = b;
    (void)key;
    return config_addresses_equal(left->address, left->n_addresses, right->address,
                                  right->n_addresses);
}

static bool set_sandbox(const struct key *key, void *section, const char *value,
                        struct ini_error *error) {
    uint8_t *mode = key_field(key, section);
    bool on;
    if (strcmp(value, "log") == 0)
        *mode = CONFIG_SANDBOX_LOG;
    else if (ini_bool(value, &on))
        *mode = on ? CONFIG_SANDBOX_YES : CONFIG_SANDBOX_NO;
    else
        return key_expected(key, "yes, no or log", value, error);
    return true;
}

const struct key_type key_sandbox = {set_sandbox, key_equal_bytes};

static const char *const balance_names[] = {
    [CONFIG_FIRST] = "first", [CONFIG_LEAST_STREAMS] = "least-streams", [CONFIG_RANDOM] = "random"};

static bool set_balance(const struct key *key, void *section, const char *value,
                        struct ini_error *error) {
    for (uint8_t i = 0; i < sizeof balance_names / sizeof *balance_names; i++)
        if (strcmp(balance_names[i], value) == 0) {
            *(uint8_t *)key_field(key, section) = i;
            return true;
        }
    return key_expected(key, "first, least-streams or random", value, error);
}

/* Addresses of name servers, kept with their ports, separated by single commas. */
static bool set_resolver(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    char *out = key_field(key, section), text[80];
    size_t len = 0;
    bool fits;
    for (const char *rest = value; key_next_element(&rest, text, sizeof text, &fits);) {
        struct config_address server;
        int n = fits && config_name_server_parse(&server, text)
                    ? snprintf(out + len, key->size - len,
                               strchr(server.host, ':') ? "%s[%s]:%u" : "%s%s:%u", len ? "," : "",
                               server.host, server.port)
                    : -1;
        if (n < 0)
            return key_expected(key, "ADDRESS or ADDRESS:PORT of name servers", text, error);
        if ((size_t)n >= key->size - len)
            return key_expected(key, "a shorter list", value, error);
        len += (size_t)n;
    }
    return len > 0 || key_expected(key, "ADDRESS or ADDRESS:PORT of name servers", value, error);
}

static const struct key_type balance = {set_balance, key_equal_bytes};
static const struct key_type name_servers = {set_resolver, key_equal_text};

static bool set_host_name(const struct key *key, void *section, const char *value,
                          struct ini_error *error) {
    return (helper_host_name_valid(value, strlen(value)) && key_copy_text(key, section, value)) ||
           key_expected(key, "a host name or an address", value, error);
}

static const struct key_type host_name = {set_host_name, key_equal_text};
static const struct key_type addresses = {set_addresses, equal_addresses};
static const struct key_type socket_path = {set_socket, key_equal_text};
static const struct key_type accounts = {set_accounts, key_equal_text};
static const struct key_type range = {set_range, equal_ranges};

/* ---- Keys: those of [route] are in routes.c, which has a text form of its own ---- */

#define GATEWAY(name, field, type) KEY(config_gateway, name, field, type)
const struct key config_gateway_keys[] = {
    {GATEWAY("address", address, addresses)},
    {GATEWAY("version", session.version, key_number), .min = 1, .max = 2, .by_default = "2"},
    {GATEWAY("balance", balance, balance), .by_default = "first"},
    {GATEWAY("connections", connections, key_number), .min = 1, .max = 64, .by_default = "1"},
    {GATEWAY("keepalive-interval", session.keepalive_interval_ms, key_duration),
     .by_default = "10s"},
    {GATEWAY("keepalive-timeout", session.keepalive_timeout_ms, key_duration), .min = 1,
     .by_default = "30s"},
    {GATEWAY("dial-timeout", dial_timeout_ms, key_duration), .min = 1, .by_default = "10s"},
    {GATEWAY("retry-min", retry_min_ms, key_duration), .min = 1, .by_default = "100ms"},
    {GATEWAY("retry-max", retry_max_ms, key_duration), .min = 1, .by_default = "10s"},
    {GATEWAY("answer-timeout", answer_timeout_ms, key_duration), .min = 10, .by_default = "500ms"},
    {GATEWAY("ttl-min", ttl_min_ms, key_duration), .min = 100, .by_default = "5s"},
    {GATEWAY("ttl-max", ttl_max_ms, key_duration), .min = 100, .by_default = "1h"},
    {GATEWAY("max-frame-size", session.max_frame_size, key_size), .min = 1, .max = 65535,
     .by_default = "65535"},
    {GATEWAY("max-receive-buffer", session.max_receive_buffer, key_size), .min = 1,
     .by_default = "64m"},
    {GATEWAY("max-stream-buffer", session.max_stream_buffer, key_size), .min = 1,
     .by_default = "4m"},
    {GATEWAY("stalled-reader-timeout", session.stalled_reader_timeout_ms, key_duration),
     .by_default = "10s"},
    {GATEWAY("psk", psk, key_path)},
    {GATEWAY("pin", pins, key_pins)},
    {GATEWAY("ca", ca, key_path)},
    {GATEWAY("crl", crl, key_path)},
    {GATEWAY("server-name", server_name, host_name)},
    {GATEWAY("cert", cert, key_path)},
    {GATEWAY("key", key, key_path)},
    {0},
};

#define HELPER(name, field, type) KEY(config_helper, name, field, type)
const struct key config_helper_keys[] = {
    {HELPER("socket", socket, socket_path), .restart = true},
    {HELPER("socket-mode", socket_mode, key_mode), .by_default = "0600"},
    {HELPER("allow-users", allow_users, accounts)},
    {HELPER("allow-groups", allow_groups, accounts)},
    {HELPER("resolver", resolver, name_servers), .restart = true},
    {HELPER("autostart", autostart, key_bool), .by_default = "yes"},
    {HELPER("core-dumps", core_dumps, key_bool), .restart = true},
    {HELPER("sandbox", sandbox, key_sandbox), .by_default = "yes", .restart = true},
    {HELPER("log-level", log_level, key_log_level), .by_default = "info"},
    {HELPER("log-format", log_format, key_log_format), .by_default = "text"},
    {HELPER("log-file", log_file, key_path), .restart = true},
    {HELPER("max-streams", max_streams, key_number), .min = 1, .max = 1000000,
     .by_default = "65536"},
    {HELPER("max-streams-per-user", max_streams_per_user, key_number), .min = 1, .max = 1000000,
     .by_default = "8192"},
    {HELPER("max-memory", max_memory, key_size), .min = 1},
    {HELPER("metrics", metrics, key_listener), .restart = true},
    {0},
};

#define NAMES(name, field, type) KEY(config_names, name, field, type)
const struct key config_names_keys[] = {
    {NAMES("ipv4", ranges.v4, range), .by_default = NAME_RANGE_DEFAULT_V4},
    {NAMES("ipv6", ranges.v6, range), .by_default = NAME_RANGE_DEFAULT_V6},
    {NAMES("max-per-user", max_per_user, key_number), .min = 1, .max = 65536, .by_default = "8192"},
    {0},
};

bool config_gateway_equal(const struct config_gateway *a, const struct config_gateway *b) {
    return strcmp(a->name, b->name) == 0 && !keys_changed(config_gateway_keys, a, b);
}

unsigned config_gateway_sessions(const struct config_gateway *gateway) {
    unsigned addresses = 0;
    if (gateway->balance == CONFIG_FIRST)
        return gateway->connections;
    for (int i = 0; i < gateway->n_addresses; i++)
        addresses += config_address_is_name(&gateway->address[i]) ? CONFIG_NAME_COUNTS : 1;
    unsigned sessions = addresses * gateway->connections;
    return sessions < CONFIG_SESSIONS_MAX ? sessions : CONFIG_SESSIONS_MAX;
}

/* ---- Sections ---- */

#define SECTIONS "[gateway NAME], [route NAME], [helper], [names], [socks] or [forward NAME]"

static bool handle_key(struct parse_state *state, const struct ini_item *item,
                       struct ini_error *error) {
    struct route_error route_error;
    char where[60];
    snprintf(where, sizeof where, " in [%.40s]", item->section);
    if (state->gateway)
        return keys_set(config_gateway_keys, state->gateway, item->key, item->value, where, error);
    if (state->in_helper)
        return keys_set(config_helper_keys, &state->config->helper, item->key, item->value, where,
                        error);
    if (state->in_names)
        return keys_set(config_names_keys, &state->config->names, item->key, item->value, where,
                        error);
    if (state->listener)
        return keys_set(config_listener_keys(state->listener), state->listener, item->key,
                        item->value, where, error);
    if (!state->route)
        return key_fail(error, "expected " SECTIONS " before \"%.60s\"", item->key);
    return route_set(&state->config->routes, state->route, item->key, item->value, &route_error) ||
           key_fail(error, "%s", route_error.text);
}

static struct config_gateway *add_gateway(struct config *config, const char *name,
                                          struct ini_error *error) {
    if (config->n_gateways == CONFIG_GATEWAYS_MAX) {
        key_fail(error, "expected at most %u gateways", CONFIG_GATEWAYS_MAX);
        return NULL;
    }
    if (config_gateway(config, name)) {
        key_fail(error, "expected one gateway called \"%.60s\", found a second", name);
        return NULL;
    }
    size_t len = strlen(name);
    if (len == 0 || len > ROUTE_NAME_MAX || strpbrk(name, " ,;=\t/:")) {
        key_fail(error,
                 "\"%.80s\": expected a gateway name of 1 to %u letters, digits, '-', '_', '.'",
                 name, ROUTE_NAME_MAX);
        return NULL;
    }
    struct config_gateway *gateway = &config->gateway[config->n_gateways++];
    memset(gateway, 0, sizeof *gateway);
    keys_default(config_gateway_keys, gateway);
    strcpy(gateway->name, name);
    return gateway;
}

static bool begin_gateway(struct parse_state *state, const char *name, unsigned line,
                          struct ini_error *error) {
    state->gateway = add_gateway(state->config, name, error);
    if (state->gateway)
        state->line_of_gateway[state->config->n_gateways - 1] = line;
    return state->gateway;
}

static bool begin_route(struct parse_state *state, const char *name, unsigned line,
                        struct ini_error *error) {
    struct route_error route_error;
    state->route = route_list_add(&state->config->routes, name, &route_error);
    if (!state->route)
        return key_fail(error, "%s", route_error.text);
    state->line_of_route[state->config->routes.n_routes - 1] = line;
    return true;
}

static bool begin_listener(struct parse_state *state, enum config_listener_kind kind,
                           const char *name, unsigned line, struct ini_error *error) {
    state->listener = config_listener_add(state->config, kind, name, error);
    if (state->listener)
        state->line_of_listener[state->config->n_listeners - 1] = line;
    return state->listener;
}

static bool handle_header(struct parse_state *state, const struct ini_item *item,
                          struct ini_error *error) {
    state->gateway = NULL;
    state->route = NULL;
    state->listener = NULL;
    state->in_helper = strcmp(item->section, "helper") == 0;
    state->in_names = strcmp(item->section, "names") == 0;
    if (state->in_helper || state->in_names)
        return true;
    if (strncmp(item->section, "gateway ", 8) == 0)
        return begin_gateway(state, item->section + 8, item->line, error);
    if (strncmp(item->section, "route ", 6) == 0)
        return begin_route(state, item->section + 6, item->line, error);
    if (strcmp(item->section, "socks") == 0)
        return begin_listener(state, CONFIG_SOCKS, "", item->line, error);
    if (strncmp(item->section, "socks ", 6) == 0)
        return begin_listener(state, CONFIG_SOCKS, item->section + 6, item->line, error);
    if (strncmp(item->section, "forward ", 8) == 0)
        return begin_listener(state, CONFIG_FORWARD, item->section + 8, item->line, error);
    return key_fail(error, "expected " SECTIONS ", not [%.60s]", item->section);
}

static bool handle_item(void *ctx, const struct ini_item *item, struct ini_error *error) {
    return item->key ? handle_key(ctx, item, error) : handle_header(ctx, item, error);
}

static bool route_has_rules(const struct route_list *routes, size_t index) {
    for (size_t i = 0; i < routes->n_rules; i++)
        if (routes->rule[i].route == index)
            return true;
    return false;
}

static bool check_gateway(const struct config_gateway *gateway, struct ini_error *error) {
    if (gateway->n_addresses == 0)
        return key_fail(error, "[gateway %s]: expected an address", gateway->name);
    const struct session_limits *session = &gateway->session;
    if (session->keepalive_interval_ms &&
        session->keepalive_timeout_ms < session->keepalive_interval_ms)
        return key_fail(error,
                        "[gateway %s]: expected keepalive-timeout not below keepalive-interval",
                        gateway->name);
    if (session->max_stream_buffer > session->max_receive_buffer)
        return key_fail(error,
                        "[gateway %s]: expected max-stream-buffer not above max-receive-buffer",
                        gateway->name);
    if (gateway->retry_max_ms < gateway->retry_min_ms)
        return key_fail(error, "[gateway %s]: expected retry-max not below retry-min",
                        gateway->name);
    if (gateway->ttl_max_ms < gateway->ttl_min_ms)
        return key_fail(error, "[gateway %s]: expected ttl-max not below ttl-min", gateway->name);
    if (gateway->cert[0] && !gateway->key[0])
        return key_fail(error, "[gateway %s]: expected key with cert", gateway->name);
    return true;
}

/* A destination that can never be reached, because its addresses are reserved to stand for host
 * names. */
static const struct route_rule *unreachable_rule(const struct config *config) {
    const struct name_range *v4 = &config->names.ranges.v4, *v6 = &config->names.ranges.v6;
    const struct route_rule *rule =
        route_list_rule_within(&config->routes, ROUTE_RULE_IPV4, v4->addr, v4->prefix_len);
    if (!rule)
        rule = route_list_rule_within(&config->routes, ROUTE_RULE_IPV6, v6->addr, v6->prefix_len);
    return config->routes.n_name_rules ? rule : NULL;
}

static void describe_unreachable(const struct config *config, const struct route_rule *rule,
                                 char *out, size_t size) {
    char text[NAME_RANGES_TEXT_SIZE], destination[400];
    const struct name_ranges *ranges = &config->names.ranges;
    route_rule_format(&config->routes, rule, destination, sizeof destination);
    snprintf(out, size,
             "[route %.40s]: \"%.60s\" lies in %s, whose addresses stand for host names: expected "
             "another destination, or another range in [names]",
             config->routes.route[rule->route].name, destination,
             name_range_text(rule->kind == ROUTE_RULE_IPV4 ? &ranges->v4 : &ranges->v6, text,
                             sizeof text));
}

bool config_check_names(const struct config *config, struct config_error *error) {
    const struct route_rule *rule = unreachable_rule(config);
    if (rule)
        describe_unreachable(config, rule, error->text, sizeof error->text);
    return !rule;
}

/* Checks what only the whole file shows. The line reported is that of the section. */
static bool check_sections(struct parse_state *state, struct ini_error *error) {
    struct config *config = state->config;
    for (size_t i = 0; i < config->n_gateways; i++) {
        error->line = state->line_of_gateway[i];
        if (!check_gateway(&config->gateway[i], error))
            return false;
    }
    for (size_t i = 0; i < config->routes.n_routes; i++) {
        const struct route *route = &config->routes.route[i];
        error->line = state->line_of_route[i];
        if (!route_has_rules(&config->routes, i))
            return key_fail(error, "[route %s]: expected destinations", route->name);
        if (!config_gateway(config, route->gateway))
            return key_fail(error, "[route %s]: expected a [gateway %s], there is none",
                            route->name, route->gateway);
    }
    for (size_t i = 0; i < config->n_listeners; i++) {
        error->line = state->line_of_listener[i];
        if (!config_listener_check(config, &config->listener[i], error))
            return false;
    }
    const struct route_rule *rule = unreachable_rule(config);
    if (rule) {
        error->line = state->line_of_route[rule->route];
        describe_unreachable(config, rule, error->text, sizeof error->text);
    }
    return !rule;
}

bool config_parse_text(struct config *config, const char *file, char *text, size_t len,
                       struct config_error *error) {
    struct parse_state state = {.config = config};
    struct ini_error ini_error;
    snprintf(config->file, sizeof config->file, "%s", file);
    if (ini_read(text, len, handle_item, &state, &ini_error) && check_sections(&state, &ini_error))
        return true;
    snprintf(error->text, sizeof error->text, "%s:%u: %s", file, ini_error.line, ini_error.text);
    return false;
}

unsigned config_error_line(const struct config_error *error, const char *file) {
    size_t len = strlen(file);
    unsigned line;
    if (len == 0 || strncmp(error->text, file, len) != 0)
        return 0;
    return sscanf(error->text + len, ":%9u:", &line) == 1 ? line : 0;
}

void config_init(struct config *config) {
    memset(config, 0, sizeof *config);
    keys_default(config_helper_keys, &config->helper);
    keys_default(config_names_keys, &config->names);
}

const struct config_gateway *config_gateway(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->n_gateways; i++)
        if (strcmp(config->gateway[i].name, name) == 0)
            return &config->gateway[i];
    return NULL;
}

bool config_set_gateway_text(struct config *config, const char *text, struct config_error *error) {
    struct ini_error ini_error;
    struct config_gateway *gateway = (struct config_gateway *)config_gateway(config, "main");
    if (!gateway)
        gateway = add_gateway(config, "main", &ini_error);
    if (gateway && keys_set(config_gateway_keys, gateway, "address", text, "", &ini_error))
        return true;
    snprintf(error->text, sizeof error->text, "%s", ini_error.text);
    return false;
}
