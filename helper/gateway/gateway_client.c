/* SPDX-License-Identifier: MIT */
/* gateway_client.c - see gateway_client.h. */
#include "helper/gateway/gateway_client.h"

#include <stdlib.h>
#include <string.h>

static void follow(struct gateway_client *client, const struct client_config *config) {
    uint32_t per_second = config ? config->max_bytes_per_second : 0;
    client->config = config;
    rate_set(&client->from_targets, per_second);
    rate_set(&client->to_targets, per_second);
}

static void free_client(struct gateway_client *client) {
    rate_fini(&client->from_targets);
    rate_fini(&client->to_targets);
    free(client);
}

struct gateway_client *gateway_client_get(struct gateway_client **list, struct loop *loop,
                                          const struct client_config *config) {
    struct gateway_client *client = *list;
    while (client && strcmp(client->name, config->name) != 0)
        client = client->next;
    if (client)
        return client;
    client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    memcpy(client->name, config->name, sizeof client->name);
    rate_init(&client->from_targets, loop);
    rate_init(&client->to_targets, loop);
    follow(client, config);
    client->flows = metrics_series(&metrics_slot()->flows, client->name, NULL);
    client->sessions_of = metrics_series(&metrics_slot()->peers, client->name, NULL);
    client->next = *list;
    *list = client;
    return client;
}

void gateway_clients_follow(struct gateway_client **list, struct client_config *configs) {
    while (*list) {
        struct gateway_client *client = *list;
        follow(client, client_config_find(configs, client->name));
        if (client->config || client->sessions > 0) {
            list = &client->next;
            continue;
        }
        *list = client->next;
        free_client(client);
    }
}

void gateway_clients_free(struct gateway_client **list) {
    while (*list) {
        struct gateway_client *client = *list;
        *list = client->next;
        free_client(client);
    }
}

/* Each connection is worth 1/rate of a second, and a second can be owed. */
static bool take_connect(struct gateway_client *client, uint32_t per_second, uint64_t now_us) {
    uint64_t cost_us = 1000000u / per_second;
    uint64_t from_us = client->connects_full_us > now_us ? client->connects_full_us : now_us;
    if (from_us + cost_us > now_us + 1000000u)
        return false;
    client->connects_full_us = from_us + cost_us;
    return true;
}

const char *gateway_client_admit(struct gateway_client *client, uint64_t now_us) {
    if (!client || !client->config)
        return NULL;
    const struct client_config *config = client->config;
    if (config->max_streams > 0 && client->streams > config->max_streams)
        return "too many streams of the client (max-streams)";
    if (config->max_connects_per_second > 0 &&
        !take_connect(client, config->max_connects_per_second, now_us))
        return "too many connections of the client in a second (max-connects-per-second)";
    return NULL;
}
