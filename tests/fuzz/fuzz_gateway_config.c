/* SPDX-License-Identifier: MIT
 *
 * gateway.conf: every text either parses or gives one line that names the file. The clients of one
 * that parses are found by their names, and each identity is that client's and nobody else's.
 */
#include "fuzz_check.h"
#include "helper/gateway/gateway_config.h"

static struct carrier carrier;

static void check_client(const struct gateway_config *config, const struct client_config *client) {
    MUST(client_config_find(config->clients, client->name) == client);
    MUST(client->n_identities > 0 && client->n_identities <= CLIENT_IDENTITIES_MAX);
    MUST(!keys_changed(client_config_keys, client, client));
    for (int i = 0; i < client->n_identities; i++) {
        MUST(strlen(client->identity[i]) <= CARRIER_IDENTITY_MAX);
        memset(carrier.identities, 0, sizeof carrier.identities);
        strcpy(carrier.identities, client->identity[i]);
        MUST(client_config_of(config->clients, &carrier) == client);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct gateway_config config;
    struct config_error error;
    char *text = fuzz_copy(data, size, 1);
    gateway_config_init(&config);
    if (!gateway_config_parse(&config, "gateway.conf", text, size, &error)) {
        fuzz_check_message(error.text, sizeof(error.text));
        MUST(strncmp(error.text, "gateway.conf", 12) == 0);
    } else if (!gateway_config_check(&config, &error)) {
        fuzz_check_message(error.text, sizeof(error.text));
    } else {
        MUST(!keys_changed(gateway_config_keys, &config, &config));
        for (const struct client_config *client = config.clients; client; client = client->next)
            check_client(&config, client);
    }
    gateway_config_fini(&config);
    free(text);
    return 0;
}
