/* SPDX-License-Identifier: MIT */
/* key_table.c - see key_table.h. */
#include "core/common/key_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

bool key_fail(struct ini_error *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

bool key_expected(const struct key *key, const char *expected, const char *value,
                  struct ini_error *error) {
    return key_fail(error, "%s: expected %s, not \"%.80s\"", key->name, expected, value);
}

bool key_equal_bytes(const struct key *key, const void *a, const void *b) {
    return memcmp((const char *)a + key->offset, (const char *)b + key->offset, key->size) == 0;
}

bool key_equal_text(const struct key *key, const void *a, const void *b) {
    return strcmp((const char *)a + key->offset, (const char *)b + key->offset) == 0;
}

bool key_copy_text(const struct key *key, void *section, const char *text) {
    if (strlen(text) >= key->size)
        return false;
    strcpy(key_field(key, section), text);
    return true;
}

bool key_next_element(const char **rest, char *out, size_t size, bool *fits) {
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

/* ---- Types ---- */

static bool store(const struct key *key, void *section, uint32_t number) {
    void *field = key_field(key, section);
    if (key->size == sizeof(uint8_t))
        *(uint8_t *)field = (uint8_t)number;
    else if (key->size == sizeof(uint16_t))
        *(uint16_t *)field = (uint16_t)number;
    else
        *(uint32_t *)field = number;
    return true;
}

static bool in_range(const struct key *key, uint32_t number) {
    return number >= key->min && (key->max == 0 || number <= key->max);
}

static bool set_number(const struct key *key, void *section, const char *value,
                       struct ini_error *error) {
    uint32_t number;
    char expected[60];
    if (ini_number(value, key->min, key->max, &number))
        return store(key, section, number);
    snprintf(expected, sizeof expected,
             key->max == key->min + 1 ? "%u or %u" : "a number from %u to %u", key->min, key->max);
    return key_expected(key, expected, value, error);
}

static bool set_size(const struct key *key, void *section, const char *value,
                     struct ini_error *error) {
    uint32_t size;
    char expected[60] = INI_EXPECTED_SIZE;
    if (ini_size(value, &size) && in_range(key, size))
        return store(key, section, size);
    if (key->max)
        snprintf(expected, sizeof expected, "a size from %u to %u bytes", key->min, key->max);
    return key_expected(key, expected, value, error);
}

static bool set_duration(const struct key *key, void *section, const char *value,
                         struct ini_error *error) {
    uint32_t duration_ms;
    if (ini_duration_ms(value, &duration_ms) && in_range(key, duration_ms))
        return store(key, section, duration_ms);
    return key_expected(key,
                        key->min ? INI_EXPECTED_DURATION : INI_EXPECTED_DURATION ", or 0 for none",
                        value, error);
}

static bool set_mode(const struct key *key, void *section, const char *value,
                     struct ini_error *error) {
    return ini_mode(value, key_field(key, section)) ||
           key_expected(key, INI_EXPECTED_MODE, value, error);
}

static bool set_bool(const struct key *key, void *section, const char *value,
                     struct ini_error *error) {
    return ini_bool(value, key_field(key, section)) ||
           key_expected(key, INI_EXPECTED_BOOL, value, error);
}

static bool set_path(const struct key *key, void *section, const char *value,
                     struct ini_error *error) {
    return (value[0] == '/' && key_copy_text(key, section, value)) ||
           key_expected(key, "an absolute path of at most 255 bytes", value, error);
}

#define PIN_PREFIX "sha256//"
#define PIN_LEN    52u

/* What SHA-256 is in base64: 43 characters and one that fills up. */
static bool is_pin(const char *text) {
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(text) == PIN_LEN && strncmp(text, PIN_PREFIX, strlen(PIN_PREFIX)) == 0 &&
           strspn(text + strlen(PIN_PREFIX), base64) == PIN_LEN - strlen(PIN_PREFIX) - 1 &&
           text[PIN_LEN - 1] == '=';
}

/* Each line adds to what is there. */
static bool set_pins(const struct key *key, void *section, const char *value,
                     struct ini_error *error) {
    char *out = key_field(key, section), pin[PIN_LEN + 1];
    size_t len = strlen(out), before = len;
    bool fits;
    for (const char *rest = value; key_next_element(&rest, pin, sizeof pin, &fits);) {
        if (!fits || !is_pin(pin))
            return key_expected(key, "sha256//BASE64, as --show-pin and genkey print it", value,
                                error);
        if (len + PIN_LEN + 2 > key->size)
            return key_fail(error, "%s: expected at most %zu pins", key->name,
                            key->size / (PIN_LEN + 1));
        len += (size_t)sprintf(out + len, "%s%s", len ? "," : "", pin);
    }
    return len > before || key_expected(key, "sha256//BASE64", value, error);
}

static bool set_log_level(const struct key *key, void *section, const char *value,
                          struct ini_error *error) {
    static const struct {
        const char *name;
        uint8_t level;
    } levels[] = {
        {"error", LOG_ERR}, {"warn", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(value, levels[i].name) == 0)
            return store(key, section, levels[i].level);
    return key_expected(key, "error, warn, info or debug", value, error);
}

static bool set_log_format(const struct key *key, void *section, const char *value,
                           struct ini_error *error) {
    bool json = strcmp(value, "json") == 0;
    if (json || strcmp(value, "text") == 0)
        return store(key, section, json ? CONFIG_LOG_JSON : CONFIG_LOG_TEXT);
    return key_expected(key, "text or json", value, error);
}

const struct key_type key_number = {set_number, key_equal_bytes};
const struct key_type key_size = {set_size, key_equal_bytes};
const struct key_type key_duration = {set_duration, key_equal_bytes};
const struct key_type key_mode = {set_mode, key_equal_bytes};
const struct key_type key_bool = {set_bool, key_equal_bytes};
const struct key_type key_path = {set_path, key_equal_text};
const struct key_type key_pins = {set_pins, key_equal_text};
const struct key_type key_log_level = {set_log_level, key_equal_bytes};
const struct key_type key_log_format = {set_log_format, key_equal_bytes};

/* ---- Tables ---- */

void keys_default(const struct key *keys, void *section) {
    struct ini_error error;
    for (; keys->name; keys++)
        if (keys->by_default)
            keys->type->set(keys, section, keys->by_default, &error);
}

static bool fail_unknown(const struct key *keys, const char *name, const char *where,
                         struct ini_error *error) {
    char known[1000];
    size_t len = 0;
    for (; keys->name && len + strlen(keys->name) + 3 < sizeof known; keys++)
        len +=
            (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", keys->name);
    return key_fail(error, "unknown key \"%.40s\"%s, expected one of %s", name, where, known);
}

bool keys_set(const struct key *keys, void *section, const char *name, const char *value,
              const char *where, struct ini_error *error) {
    for (const struct key *key = keys; key->name; key++)
        if (strcmp(key->name, name) == 0)
            return key->type->set(key, section, value, error);
    return fail_unknown(keys, name, where, error);
}

const struct key *keys_changed(const struct key *keys, const void *a, const void *b) {
    for (; keys->name; keys++)
        if (!keys->type->equal(keys, a, b))
            return keys;
    return NULL;
}
