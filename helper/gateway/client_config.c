/* SPDX-License-Identifier: MIT */
/* client_config.c - see client_config.h. */
#include "helper/gateway/client_config.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/net/file_broker.h"

/* ---- Identities ---- */

/* The accounts of the file alone: libraries that ask the network for others would have to be loaded
 * at each reload, which a process without the right to open files cannot do. */
static bool user_id(const char *name, uid_t *uid) {
    int fd = file_open(ACCOUNTS_FILE, FILE_READ);
    FILE *accounts = fd >= 0 ? fdopen(fd, "r") : NULL;
    struct passwd entry, *found = NULL;
    char text[4096];
    bool same = false;
    if (!accounts && fd >= 0)
        close(fd);
    if (!accounts)
        return false;
    while (!same && fgetpwent_r(accounts, &entry, text, sizeof text, &found) == 0)
        same = strcmp(found->pw_name, name) == 0;
    fclose(accounts);
    if (same)
        *uid = found->pw_uid;
    return same;
}

static bool is_base64_sha256(const char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strspn(text, digits) == 43 && strcmp(text + 43, "=") == 0;
}

/* NULL if it is one. */
static const char *identity_mistake(const char *text) {
    uint32_t id;
    if (strncmp(text, "uid:", 4) == 0)
        return ini_number(text + 4, 0, UINT32_MAX - 1, &id) ? NULL : "uid: and a number";
    if (strncmp(text, "pin:", 4) == 0)
        return strncmp(text + 4, "sha256//", 8) == 0 && is_base64_sha256(text + 12)
                   ? NULL
                   : "pin:sha256// and 44 characters of base64";
    if ((strncmp(text, "psk:", 4) == 0 && text[4]) || (strncmp(text, "cert:", 5) == 0 && text[5]))
        return NULL;
    return "psk:IDENTITY, pin:sha256//BASE64, cert:NAME, uid:NUMBER or user:NAME";
}

/* user:NAME becomes the uid that carriers have. */
static bool add_identity(const struct key *key, struct client_config *client, const char *text,
                         struct ini_error *error) {
    const char *mistake = NULL;
    uid_t uid;
    if (client->n_identities == CLIENT_IDENTITIES_MAX)
        return key_fail(error, "%s: expected at most %u", key->name, CLIENT_IDENTITIES_MAX);
    char *out = client->identity[client->n_identities];
    if (strncmp(text, "user:", 5) != 0) {
        snprintf(out, sizeof client->identity[0], "%s", text);
        mistake = identity_mistake(text);
    } else if (user_id(text + 5, &uid)) {
        snprintf(out, sizeof client->identity[0], "uid:%u", (unsigned)uid);
    } else {
        mistake = "user: and a name of /etc/passwd, or uid: and a number";
    }
    if (mistake)
        return key_expected(key, mistake, text, error);
    client->n_identities++;
    return true;
}

/* A key that is given twice adds to what is there: identities are long. */
static bool set_identities(const struct key *key, void *section, const char *value,
                           struct ini_error *error) {
    char text[CARRIER_IDENTITY_MAX + 1];
    struct client_config *client = section;
    uint16_t before = client->n_identities;
    bool fits;
    for (const char *rest = value; key_next_element(&rest, text, sizeof text, &fits);) {
        if (!fits)
            return key_expected(key, "an identity of at most 271 bytes", value, error);
        if (!add_identity(key, client, text, error))
            return false;
    }
    return client->n_identities > before ||
           key_expected(key, "psk:, pin:, cert:, uid: or user:", value, error);
}

static bool equal_identities(const struct key *key, const void *a, const void *b) {
    const struct client_config *left = a, *right = b;
    (void)key;
    return left->n_identities == right->n_identities &&
           memcmp(left->identity, right->identity, sizeof left->identity) == 0;
}

static bool set_destinations(const struct key *key, void *section, const char *value,
                             struct ini_error *error) {
    struct route_error route_error;
    return route_list_parse_destinations(key_field(key, section), value, &route_error) ||
           key_fail(error, "%s: %s", key->name, route_error.text);
}

static bool set_proxy_version(const struct key *key, void *section, const char *value,
                              struct ini_error *error) {
    uint8_t version = strcmp(value, "v1") == 0 ? PROXY_V1 : PROXY_V2;
    if (strcmp(value, "v1") != 0 && strcmp(value, "v2") != 0)
        return key_expected(key, "v1 or v2", value, error);
    *(uint8_t *)key_field(key, section) = version;
    return true;
}

const struct key_type key_proxy_version = {set_proxy_version, key_equal_bytes};
static const struct key_type identities = {set_identities, equal_identities};
const struct key_type key_destinations = {set_destinations, key_equal_bytes};

/* ---- Keys ---- */

#define CLIENT(name, field, type) KEY(client_config, name, field, type)
const struct key client_config_keys[] = {
    {CLIENT("identity", identity, identities)},
    {CLIENT("allow", allow, key_destinations)},
    {CLIENT("max-streams", max_streams, key_number), .min = 1, .max = 1000000},
    {CLIENT("max-connects-per-second", max_connects_per_second, key_number), .min = 1,
     .max = 1000000},
    {CLIENT("max-bytes-per-second", max_bytes_per_second, key_size), .min = 1},
    {CLIENT("proxy-protocol", proxy.version, key_proxy_version)},
    {CLIENT("proxy-protocol-to", proxy.to, key_destinations)},
    {0},
};

/* ---- Sections ---- */

static bool name_is_valid(const char *name) {
    size_t len = strlen(name);
    return len > 0 && len <= ROUTE_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

struct client_config *client_config_add(struct client_config **list, const char *name,
                                        unsigned line, struct ini_error *error) {
    unsigned count = 0;
    const char *mistake = name_is_valid(name) ? NULL : "a name of letters, digits, '-', '_', '.'";
    for (; *list; list = &(*list)->next, count++)
        if (strcmp((*list)->name, name) == 0)
            mistake = "one section of a name, found a second";
    if (count == CLIENTS_MAX)
        mistake = "at most 256 clients";
    struct client_config *client = mistake ? NULL : calloc(1, sizeof *client);
    if (client) {
        client->line = line;
        strcpy(client->name, name);
        keys_default(client_config_keys, client);
        *list = client;
    } else {
        key_fail(error, "[client %.80s]: %s%s", name, mistake ? "expected " : "out of memory",
                 mistake ? mistake : "");
    }
    return client;
}

struct client_config *client_config_find(struct client_config *list, const char *name) {
    while (list && strcmp(list->name, name) != 0)
        list = list->next;
    return list;
}

static bool has(const struct client_config *client, const char *identity) {
    for (unsigned i = 0; i < client->n_identities; i++)
        if (strcmp(client->identity[i], identity) == 0)
            return true;
    return false;
}

static const struct client_config *owner(const struct client_config *list, const char *identity) {
    while (list && !has(list, identity))
        list = list->next;
    return list;
}

bool client_config_check(const struct client_config *list, struct ini_error *error) {
    for (const struct client_config *client = list; client; client = client->next) {
        error->line = client->line;
        if (client->n_identities == 0)
            return key_fail(error, "[client %s]: expected an identity", client->name);
        if (client->proxy.to.n_rules > 0 && client->proxy.version == PROXY_NONE)
            return key_fail(
                error, "[client %s]: proxy-protocol-to: expected proxy-protocol = v1 or v2 as well",
                client->name);
        for (unsigned i = 0; i < client->n_identities; i++) {
            const struct client_config *first = owner(list, client->identity[i]);
            if (first != client)
                return key_fail(error, "[client %s]: %.200s is an identity of [client %s] already",
                                client->name, client->identity[i], first->name);
        }
    }
    return true;
}

const struct client_config *client_config_of(const struct client_config *list,
                                             const struct carrier *carrier) {
    const struct client_config *client = NULL;
    for (const char *id = carrier_identity(carrier); *id && !client; id += strlen(id) + 1)
        client = owner(list, id);
    return client;
}

void client_config_free(struct client_config **list) {
    while (*list) {
        struct client_config *client = *list;
        *list = client->next;
        free(client);
    }
}
