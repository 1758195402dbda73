/* SPDX-License-Identifier: MIT */
/* gateway_trust.c - see gateway_trust.h. */
#include "helper/gateway/gateway_trust.h"

#include <stdio.h>

#include "helper/carrier/tls_context.h"

static bool has_tls_address(const struct gateway_config *config) {
    for (unsigned i = 0; i < config->n_addresses; i++)
        if (config->address[i].scheme == CONFIG_TLS)
            return true;
    return false;
}

static bool has_credentials(const struct gateway_config *config) {
    return config->psk[0];
}

bool gateway_trust_read(struct gateway_config *config, struct config_error *error) {
    const char *file = config->file[0] ? config->file : "command line";
    const struct tls_settings settings = {.server = true, .psk = config->psk};
    char why[500] = "there are credentials for TLS: expected a tls:// address";
    if (has_tls_address(config))
        config->tls = tls_context_new(&settings, why, sizeof why);
    if (config->tls || !(has_tls_address(config) || has_credentials(config)))
        return true;
    snprintf(error->text, sizeof error->text, "%s: %s", file, why);
    return false;
}
