/* SPDX-License-Identifier: MIT */
/* config.c - the table of keys of smuxshim.conf, and what is checked across sections. */
#include "core/common/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/common/ini.h"

/* What the ini reader's handler works on. */
struct parse_state {
    struct config *config;
    struct config_gateway *gateway; /* of the current section, or NULL */
    struct route *route;            /* likewise */
    bool in_helper, in_names;
    unsigned route_line; /* of the current route's header */
    unsigned line_of_route[ROUTES_MAX], line_of_gateway[CONFIG_GATEWAYS_MAX];
};

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

/* Copies the next element of a list separated by commas or blanks; false at the end. */
static bool next_element(const char **rest, char *out, size_t size, bool *fits) {
    *rest += strspn(*rest, ", \t");
    size_t len = strcspn(*rest, ", \t");
    *fits = len < size;
    if (len && *fits) {
        memcpy(out, *rest, len);
        out[len] = '\0';
    }
    *rest += len;
    return len > 0;
}

/* One setter per type of value; `target` is the field. */
typedef bool set_value(void *target, const char *key, const char *value, struct ini_error *error);

static bool set_path(void *target, const char *key, const char *value, struct ini_error *error) {
    if (value[0] != '/' || strlen(value) > CONFIG_PATH_MAX)
        return fail_value(error, key, "an absolute path of at most 255 bytes", value);
    strcpy(target, value);
    return true;
}

static bool set_duration(void *target, const char *key, const char *value,
                         struct ini_error *error) {
    return (ini_duration_ms(value, target) && *(uint32_t *)target > 0) ||
           fail_value(error, key, INI_EXPECTED_DURATION, value);
}

static bool set_keepalive(void *target, const char *key, const char *value,
                          struct ini_error *error) {
    return ini_duration_ms(value, target) ||
           fail_value(error, key, INI_EXPECTED_DURATION ", or 0 for none", value);
}

static bool set_size(void *target, const char *key, const char *value, struct ini_error *error) {
    return (ini_size(value, target) && *(uint32_t *)target > 0) ||
           fail_value(error, key, INI_EXPECTED_SIZE, value);
}

static bool set_frame_size(void *target, const char *key, const char *value,
                           struct ini_error *error) {
    uint32_t size;
    if (!ini_size(value, &size) || size < 1 || size > 65535)
        return fail_value(error, key, "a size from 1 to 65535 bytes", value);
    *(uint32_t *)target = size;
    return true;
}

static bool set_smux_version(void *target, const char *key, const char *value,
                             struct ini_error *error) {
    uint32_t number;
    if (!ini_number(value, 1, 2, &number))
        return fail_value(error, key, "1 or 2", value);
    *(uint8_t *)target = (uint8_t)number;
    return true;
}

static bool set_connections(void *target, const char *key, const char *value,
                            struct ini_error *error) {
    uint32_t number;
    if (!ini_number(value, 1, 64, &number))
        return fail_value(error, key, "a number from 1 to 64", value);
    *(uint16_t *)target = (uint16_t)number;
    return true;
}

static bool set_max_streams(void *target, const char *key, const char *value,
                            struct ini_error *error) {
    return ini_number(value, 1, 1000000, target) ||
           fail_value(error, key, "a number from 1 to 1000000", value);
}

static bool set_max_per_user(void *target, const char *key, const char *value,
                             struct ini_error *error) {
    return ini_number(value, 1, 65536, target) ||
           fail_value(error, key, "a number from 1 to 65536", value);
}

static bool set_range(void *target, const char *key, const char *value, struct ini_error *error) {
    struct name_range *range = target;
    const char *why = name_range_parse(range, range->family, value);
    return !why || fail_value(error, key, why, value);
}

static bool set_bool(void *target, const char *key, const char *value, struct ini_error *error) {
    return ini_bool(value, target) || fail_value(error, key, INI_EXPECTED_BOOL, value);
}

static bool set_mode(void *target, const char *key, const char *value, struct ini_error *error) {
    return ini_mode(value, target) || fail_value(error, key, INI_EXPECTED_MODE, value);
}

static bool set_socket(void *target, const char *key, const char *value, struct ini_error *error) {
    struct sockaddr_un name;
    if (value[0] != '/' || helper_path_name(&name, value) == 0)
        return fail_value(error, key, "an absolute path that ends in /" HELPER_SOCKET_FILE, value);
    return set_path(target, key, value, error);
}

static bool set_log_level(void *target, const char *key, const char *value,
                          struct ini_error *error) {
    static const char *const level[] = {"error", "warn", "info", "debug"};
    for (uint8_t i = 0; i < sizeof level / sizeof *level; i++)
        if (strcmp(value, level[i]) == 0) {
            *(uint8_t *)target = i;
            return true;
        }
    return fail_value(error, key, "error, warn, info or debug", value);
}

/* User or group names, or numeric ids; kept as text separated by single commas. */
static bool set_accounts(void *target, const char *key, const char *value,
                         struct ini_error *error) {
    char *out = target, name[64];
    size_t len = 0;
    bool fits;
    for (const char *rest = value; next_element(&rest, name, sizeof name, &fits);) {
        if (!fits || len + strlen(name) + 2 > CONFIG_LIST_MAX)
            return fail_value(error, key, "names or ids, at most 1023 bytes", value);
        len += (size_t)sprintf(out + len, "%s%s", len ? "," : "", name);
    }
    return len > 0 || fail_value(error, key, "names or ids", value);
}

static bool set_addresses(struct config_gateway *gateway, const char *value,
                          struct ini_error *error) {
    char text[CONFIG_URL_MAX + 1];
    const char *why = "a shorter address";
    bool fits;
    gateway->n_addresses = 0;
    for (const char *rest = value; next_element(&rest, text, sizeof text, &fits);) {
        if (gateway->n_addresses == CONFIG_ADDRESSES_MAX)
            return fail(error, "address: expected at most %u addresses", CONFIG_ADDRESSES_MAX);
        if (!fits || !config_address_parse(&gateway->address[gateway->n_addresses], text, &why))
            return fail_value(error, "address", why, fits ? text : value);
        gateway->n_addresses++;
    }
    return gateway->n_addresses > 0 || fail_value(error, "address", "tcp://HOST:PORT", value);
}

struct key_row {
    const char *key;
    size_t offset;
    set_value *set;
};

#define GATEWAY(key, field, set)                                                                   \
    { key, offsetof(struct config_gateway, field), set }
static const struct key_row gateway_keys[] = {
    GATEWAY("version", version, set_smux_version),
    GATEWAY("connections", connections, set_connections),
    GATEWAY("keepalive-interval", keepalive_interval_ms, set_keepalive),
    GATEWAY("keepalive-timeout", keepalive_timeout_ms, set_duration),
    GATEWAY("dial-timeout", dial_timeout_ms, set_duration),
    GATEWAY("retry-min", retry_min_ms, set_duration),
    GATEWAY("retry-max", retry_max_ms, set_duration),
    GATEWAY("max-frame-size", max_frame_size, set_frame_size),
    GATEWAY("max-receive-buffer", max_receive_buffer, set_size),
    GATEWAY("max-stream-buffer", max_stream_buffer, set_size),
    GATEWAY("psk", psk, set_path),
    GATEWAY("ca", ca, set_path),
    GATEWAY("cert", cert, set_path),
    GATEWAY("key", key, set_path),
    {NULL, 0, NULL},
};

#define HELPER(key, field, set)                                                                    \
    { key, offsetof(struct config_helper, field), set }
static const struct key_row helper_keys[] = {
    HELPER("socket", socket, set_socket),
    HELPER("socket-mode", socket_mode, set_mode),
    HELPER("allow-users", allow_users, set_accounts),
    HELPER("allow-groups", allow_groups, set_accounts),
    HELPER("autostart", autostart, set_bool),
    HELPER("core-dumps", core_dumps, set_bool),
    HELPER("log-level", log_level, set_log_level),
    HELPER("log-file", log_file, set_path),
    HELPER("max-streams", max_streams, set_max_streams),
    HELPER("max-streams-per-user", max_streams_per_user, set_max_streams),
    HELPER("max-memory", max_memory, set_size),
    {NULL, 0, NULL},
};

#define NAMES(key, field, set)                                                                     \
    { key, offsetof(struct config_names, field), set }
static const struct key_row names_keys[] = {
    NAMES("ipv4", ranges.v4, set_range),
    NAMES("ipv6", ranges.v6, set_range),
    NAMES("max-per-user", max_per_user, set_max_per_user),
    {NULL, 0, NULL},
};

static bool fail_unknown_key(const struct ini_item *item, const char *first,
                             const struct key_row *row, struct ini_error *error) {
    char known[300];
    size_t len = (size_t)snprintf(known, sizeof known, "%s", first);
    for (; row->key && len + strlen(row->key) + 3 < sizeof known; row++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", row->key);
    return fail(error, "unknown key \"%.40s\" in [%.40s], expected one of %s", item->key,
                item->section, known);
}

static bool set_from_table(const struct key_row *row, void *base, const struct ini_item *item,
                           const char *first, struct ini_error *error) {
    const struct key_row *table = row;
    for (; row->key; row++)
        if (strcmp(row->key, item->key) == 0)
            return row->set((char *)base + row->offset, item->key, item->value, error);
    return fail_unknown_key(item, first, table, error);
}

static bool handle_key(struct parse_state *state, const struct ini_item *item,
                       struct ini_error *error) {
    struct route_error route_error;
    if (state->gateway)
        return strcmp(item->key, "address") == 0
                   ? set_addresses(state->gateway, item->value, error)
                   : set_from_table(gateway_keys, state->gateway, item, "address", error);
    if (state->in_helper)
        return set_from_table(helper_keys, &state->config->helper, item, "", error);
    if (state->in_names)
        return set_from_table(names_keys, &state->config->names, item, "", error);
    if (!state->route)
        return fail(error,
                    "expected a [gateway NAME], [route NAME], [helper] or [names] before \"%.60s\"",
                    item->key);
    return route_set(&state->config->routes, state->route, item->key, item->value, &route_error) ||
           fail(error, "%s", route_error.text);
}

static void gateway_defaults(struct config_gateway *gateway) {
    memset(gateway, 0, sizeof *gateway);
    gateway->version = 2;
    gateway->connections = 1;
    gateway->keepalive_interval_ms = 10000;
    gateway->keepalive_timeout_ms = 30000;
    gateway->dial_timeout_ms = 10000;
    gateway->retry_min_ms = 100;
    gateway->retry_max_ms = 10000;
    gateway->max_frame_size = 65535;
    gateway->max_receive_buffer = 64 << 20;
    gateway->max_stream_buffer = 4 << 20;
}

static struct config_gateway *add_gateway(struct config *config, const char *name,
                                          struct ini_error *error) {
    if (config->n_gateways == CONFIG_GATEWAYS_MAX) {
        fail(error, "expected at most %u gateways", CONFIG_GATEWAYS_MAX);
        return NULL;
    }
    if (config_gateway(config, name)) {
        fail(error, "expected one gateway called \"%.60s\", found a second", name);
        return NULL;
    }
    size_t len = strlen(name);
    if (len == 0 || len > ROUTE_NAME_MAX || strpbrk(name, " ,;=\t/:")) {
        fail(error, "\"%.80s\": expected a gateway name of 1 to %u letters, digits, '-', '_', '.'",
             name, ROUTE_NAME_MAX);
        return NULL;
    }
    struct config_gateway *gateway = &config->gateway[config->n_gateways++];
    gateway_defaults(gateway);
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
        return fail(error, "%s", route_error.text);
    state->line_of_route[state->config->routes.n_routes - 1] = line;
    return true;
}

static bool handle_header(struct parse_state *state, const struct ini_item *item,
                          struct ini_error *error) {
    state->gateway = NULL;
    state->route = NULL;
    state->in_helper = strcmp(item->section, "helper") == 0;
    state->in_names = strcmp(item->section, "names") == 0;
    if (state->in_helper || state->in_names)
        return true;
    if (strncmp(item->section, "gateway ", 8) == 0)
        return begin_gateway(state, item->section + 8, item->line, error);
    if (strncmp(item->section, "route ", 6) == 0)
        return begin_route(state, item->section + 6, item->line, error);
    return fail(error, "expected [gateway NAME], [route NAME], [helper] or [names], not [%.60s]",
                item->section);
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
        return fail(error, "[gateway %s]: expected an address", gateway->name);
    if (gateway->keepalive_interval_ms &&
        gateway->keepalive_timeout_ms < gateway->keepalive_interval_ms)
        return fail(error, "[gateway %s]: expected keepalive-timeout not below keepalive-interval",
                    gateway->name);
    if (gateway->max_stream_buffer > gateway->max_receive_buffer)
        return fail(error, "[gateway %s]: expected max-stream-buffer not above max-receive-buffer",
                    gateway->name);
    if (gateway->retry_max_ms < gateway->retry_min_ms)
        return fail(error, "[gateway %s]: expected retry-max not below retry-min", gateway->name);
    if (!gateway->cert[0] != !gateway->key[0])
        return fail(error, "[gateway %s]: expected cert and key together", gateway->name);
    return true;
}

/* A destination that can never be reached, because its addresses stand for names. */
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

/* What only shows when the whole file is known. The line given is that of the section. */
static bool check_sections(struct parse_state *state, struct ini_error *error) {
    struct config *config = state->config;
    for (size_t i = 0; i < config->n_gateways; i++) {
        error->line = state->line_of_gateway[i];
        config->gateway[i].keepalive = config->gateway[i].keepalive_interval_ms > 0;
        if (!check_gateway(&config->gateway[i], error))
            return false;
    }
    for (size_t i = 0; i < config->routes.n_routes; i++) {
        const struct route *route = &config->routes.route[i];
        error->line = state->line_of_route[i];
        if (!route_has_rules(&config->routes, i))
            return fail(error, "[route %s]: expected destinations", route->name);
        if (!config_gateway(config, route->gateway))
            return fail(error, "[route %s]: expected a [gateway %s], there is none", route->name,
                        route->gateway);
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

void config_init(struct config *config) {
    memset(config, 0, sizeof *config);
    config->helper.socket_mode = 0600;
    config->helper.autostart = true;
    config->helper.log_level = CONFIG_LOG_INFO;
    config->helper.max_streams = 65536;
    config->helper.max_streams_per_user = 8192;
    config->names.max_per_user = 8192;
    name_ranges_default(&config->names.ranges);
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
    if (gateway && set_addresses(gateway, text, &ini_error)) {
        gateway->keepalive = gateway->keepalive_interval_ms > 0;
        return true;
    }
    snprintf(error->text, sizeof error->text, "%s", ini_error.text);
    return false;
}
