/* SPDX-License-Identifier: MIT */
/* gateway_files.c - see gateway_files.h. */
#include "helper/gateway/gateway_files.h"

#include <stdlib.h>
#include <string.h>

#include "helper/net/hosts.h"

static bool section_names(const struct key *keys, const void *section, const char *path) {
    for (const struct key *key = keys; key->name; key++)
        if (key->type == &key_path && strcmp((const char *)section + key->offset, path) == 0)
            return true;
    return false;
}

static bool names_file(const struct gateway_config *config, const char *path) {
    if (section_names(gateway_config_keys, config, path))
        return true;
    for (const struct client_config *client = config->clients; client; client = client->next)
        if (section_names(client_config_keys, client, path))
            return true;
    return false;
}

/* Reads the configuration from the disk, and does not trust that of the process that asks. */
static bool is_named_by(const char *config_file, const char *path) {
    struct config_error error;
    struct gateway_config *config = malloc(sizeof *config);
    if (!config)
        return false;
    gateway_config_init(config);
    bool named = gateway_config_read(config, config_file, &error) && names_file(config, path);
    gateway_config_fini(config);
    free(config);
    return named;
}

bool gateway_files_may(void *files, const char *path, enum file_use use) {
    const struct gateway_files *known = files;
    if (path[0] != '/' && (!known->config || strcmp(path, known->config) != 0))
        return false;
    if (use == FILE_APPEND)
        return strcmp(path, known->log) == 0 || strcmp(path, known->access_log) == 0;
    if (strcmp(path, HOSTS_FILE) == 0 || strcmp(path, NSSWITCH_FILE) == 0 ||
        strcmp(path, ACCOUNTS_FILE) == 0)
        return true;
    return known->config && (strcmp(path, known->config) == 0 || is_named_by(known->config, path));
}
