/* SPDX-License-Identifier: MIT */
/* routes.c - lists of routes, their settings and their text form. See routes.h. */
#include "core/common/routes.h"

#include <stdio.h>
#include <string.h>

#include "core/common/ini.h"
#include "core/common/routes_internal.h"

void route_list_init(struct route_list *list) {
    memset(list, 0, sizeof *list);
}

static bool name_is_valid(const char *name) {
    size_t len = strlen(name);
    return len > 0 && len <= ROUTE_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

static const struct route *find_route(const struct route_list *list, const char *name) {
    for (size_t i = 0; i < list->n_routes; i++)
        if (strcmp(list->route[i].name, name) == 0)
            return &list->route[i];
    return NULL;
}

struct route *route_list_add(struct route_list *list, const char *name, struct route_error *error) {
    if (list->n_routes == ROUTES_MAX) {
        route_fail(error, "expected at most %u routes", ROUTES_MAX);
        return NULL;
    }
    if (!name_is_valid(name)) {
        route_fail(error,
                   "\"%.80s\": expected a route name of 1 to %u letters, digits, '-', '_', '.'",
                   name, ROUTE_NAME_MAX);
        return NULL;
    }
    if (find_route(list, name)) {
        route_fail(error, "expected one route called \"%s\", found a second", name);
        return NULL;
    }
    struct route *route = &list->route[list->n_routes++];
    memset(route, 0, sizeof *route);
    strcpy(route->name, name);
    strcpy(route->gateway, ROUTE_DEFAULT_GATEWAY);
    route->connect_timeout_ms = ROUTE_DEFAULT_CONNECT_TIMEOUT_MS;
    return route;
}

static bool add_destinations(struct route_list *list, const struct route *route, struct slice rest,
                             struct route_error *error) {
    struct slice word;
    size_t before = list->n_rules;
    while (route_slice_next_word(&rest, &word))
        if (!route_add_rule(list, (uint8_t)(route - list->route), word, error))
            return false;
    return list->n_rules > before || route_fail(error, "expected at least one destination");
}

bool route_add_destinations(struct route_list *list, const struct route *route, const char *text,
                            struct route_error *error) {
    return add_destinations(list, route, (struct slice){text, strlen(text)}, error);
}

static bool set_gateway(struct route *route, const char *value, struct route_error *error) {
    if (!name_is_valid(value))
        return route_fail(error, "gateway: expected the NAME of a [gateway NAME], not \"%.80s\"",
                          value);
    strcpy(route->gateway, value);
    return true;
}

static bool set_timeout(struct route *route, const char *value, struct route_error *error) {
    uint32_t ms;
    if (!ini_duration_ms(value, &ms) || ms == 0)
        return route_fail(
            error, "connect-timeout: expected " INI_EXPECTED_DURATION ", not \"%.80s\"", value);
    route->connect_timeout_ms = ms;
    return true;
}

/* Settings whose value is one of two words. */
static const struct choice {
    const char *key, *word[2];
    size_t offset; /* of a uint8_t that gets 0 or 1 */
} choices[] = {
    {"connect", {"confirm", "eager"}, offsetof(struct route, connect)},
    {"on-failure", {"refuse", "direct"}, offsetof(struct route, on_failure)},
    {"handshake", {"socks5", "none"}, offsetof(struct route, handshake)},
};
#define N_CHOICES (sizeof choices / sizeof *choices)

static bool set_choice(struct route *route, const struct choice *choice, const char *value,
                       struct route_error *error) {
    for (uint8_t i = 0; i < 2; i++)
        if (strcmp(value, choice->word[i]) == 0) {
            ((uint8_t *)route)[choice->offset] = i;
            return true;
        }
    return route_fail(error, "%s: expected %s or %s, not \"%.80s\"", choice->key, choice->word[0],
                      choice->word[1], value);
}

bool route_set(struct route_list *list, struct route *route, const char *key, const char *value,
               struct route_error *error) {
    if (strcmp(key, "destinations") == 0)
        return route_add_destinations(list, route, value, error);
    if (strcmp(key, "gateway") == 0)
        return set_gateway(route, value, error);
    if (strcmp(key, "connect-timeout") == 0)
        return set_timeout(route, value, error);
    for (size_t i = 0; i < N_CHOICES; i++)
        if (strcmp(key, choices[i].key) == 0)
            return set_choice(route, &choices[i], value, error);
    return route_fail(error,
                      "unknown key \"%.60s\", expected destinations, gateway, connect, "
                      "connect-timeout, on-failure or handshake",
                      key);
}

/* Copies a slice into a terminated buffer; false if it does not fit. */
static bool slice_copy(struct slice s, char *out, size_t size) {
    if (s.len >= size)
        return false;
    memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return true;
}

/* Finds the value of `key=` among the words of a route. */
static bool find_word(struct slice text, const char *key, struct slice *value) {
    struct slice word;
    size_t key_len = strlen(key);
    while (route_slice_next_word(&text, &word))
        if (word.len > key_len && word.at[key_len] == '=' && memcmp(word.at, key, key_len) == 0) {
            *value = (struct slice){word.at + key_len + 1, word.len - key_len - 1};
            return true;
        }
    return false;
}

static bool apply_word(struct route_list *list, struct route *route, struct slice word,
                       struct route_error *error) {
    char key[ROUTE_NAME_MAX + 1], value[ROUTE_NAME_MAX + 2];
    const char *equals = memchr(word.at, '=', word.len);
    if (!equals)
        return route_add_rule(list, (uint8_t)(route - list->route), word, error);
    struct slice left = {word.at, (size_t)(equals - word.at)};
    struct slice right = {equals + 1, word.len - left.len - 1};
    if (!slice_copy(left, key, sizeof key) || !slice_copy(right, value, sizeof value))
        return route_fail(error, "\"%.*s\": expected a shorter KEY=VALUE",
                          (int)(word.len < 80 ? word.len : 80), word.at);
    return strcmp(key, "name") == 0 || route_set(list, route, key, value, error);
}

static bool parse_one(struct route_list *list, struct slice text, struct route_error *error) {
    char name[ROUTE_NAME_MAX + 2];
    struct slice word, given;
    if (!find_word(text, "name", &given))
        snprintf(name, sizeof name, "route%u", list->n_routes + 1u);
    else if (!slice_copy(given, name, sizeof name))
        return route_fail(error, "name: expected at most %u bytes", ROUTE_NAME_MAX);
    struct route *route = route_list_add(list, name, error);
    size_t before = list->n_rules;
    if (!route)
        return false;
    while (route_slice_next_word(&text, &word))
        if (!apply_word(list, route, word, error))
            return false;
    return list->n_rules > before ||
           route_fail(error, "route \"%s\": expected at least one destination", name);
}

bool route_list_parse(struct route_list *list, const char *text, struct route_error *error) {
    route_list_init(list);
    while (*text) {
        size_t len = strcspn(text, ";");
        struct slice one = route_slice_trim((struct slice){text, len});
        if (one.len && !parse_one(list, one, error))
            return false;
        text += len + (text[len] == ';');
    }
    return list->n_routes > 0 || route_fail(error, "expected at least one destination");
}

bool route_list_parse_destinations(struct route_list *list, const char *text,
                                   struct route_error *error) {
    route_list_init(list);
    struct route *route = route_list_add(list, "allow", error);
    return route && route_add_destinations(list, route, text, error);
}

/* The output; keeps counting after the buffer is full, as snprintf does. */
struct text_out {
    char *at;
    size_t size, len;
};

static void put(struct text_out *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++, out->len++)
        if (out->len + 1 < out->size)
            out->at[out->len] = text[i];
}

static void put_text(struct text_out *out, const char *text) {
    put(out, text, strlen(text));
}

static void format_route(const struct route_list *list, const struct route *route,
                         struct text_out *out) {
    char rule_text[SHIM_RULE_HOST_SIZE + 16], number[32];
    const char *separator = "";
    for (size_t i = 0; i < list->n_rules; i++) {
        if (&list->route[list->rule[i].route] != route)
            continue;
        route_rule_format(list, &list->rule[i], rule_text, sizeof rule_text);
        put_text(out, separator);
        put_text(out, rule_text);
        separator = ",";
    }
    put_text(out, " name=");
    put_text(out, route->name);
    put_text(out, " gateway=");
    put_text(out, route->gateway);
    snprintf(number, sizeof number, " connect-timeout=%ums", route->connect_timeout_ms);
    put_text(out, number);
    for (size_t i = 0; i < N_CHOICES; i++) {
        put_text(out, " ");
        put_text(out, choices[i].key);
        put_text(out, "=");
        put_text(out, choices[i].word[((const uint8_t *)route)[choices[i].offset] ? 1 : 0]);
    }
}

size_t route_list_format(const struct route_list *list, char *out, size_t size) {
    struct text_out text = {out, size, 0};
    for (size_t i = 0; i < list->n_routes; i++) {
        put_text(&text, i ? "; " : "");
        format_route(list, &list->route[i], &text);
    }
    if (size)
        out[text.len < size ? text.len : size - 1] = '\0';
    return text.len;
}
