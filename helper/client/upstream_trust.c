/* SPDX-License-Identifier: MIT */
/* upstream_trust.c - see upstream_trust.h. */
#include "helper/client/upstream_trust.h"

#include <stdio.h>

static bool has_credentials(const struct config_gateway *gateway) {
    return gateway->psk[0] || gateway->pins[0] || gateway->ca[0] || gateway->key[0];
}

static struct tls_context *read_one(const struct config_gateway *gateway, char *why, size_t size) {
    const struct tls_settings settings = {.psk = gateway->psk,
                                          .pins = gateway->pins,
                                          .ca = gateway->ca,
                                          .crl = gateway->crl,
                                          .key = gateway->key,
                                          .cert = gateway->cert};
    return tls_context_new(&settings, why, size);
}

/* Whoever asks for secrets means to be safe: without TLS they would be of no use. */
static bool read_gateway(struct tls_context **context, const struct config_gateway *gateway,
                         char *why, size_t size) {
    *context = NULL;
    if (config_addresses_have(gateway->address, gateway->n_addresses, CONFIG_TLS)) {
        *context = read_one(gateway, why, size);
        return *context;
    }
    snprintf(why, size, "it has credentials for TLS: expected a tls:// address");
    return !has_credentials(gateway);
}

bool upstream_trust_read(struct upstream_trust *trust, const struct config *config,
                         struct config_error *error) {
    const char *file = config->file[0] ? config->file : "configuration";
    char why[500];
    *trust = (struct upstream_trust){0};
    for (int i = 0; i < config->n_gateways; i++) {
        const struct config_gateway *gateway = &config->gateway[i];
        if (read_gateway(&trust->of[i], gateway, why, sizeof why))
            continue;
        snprintf(error->text, sizeof error->text, "%s: [gateway %s]: %s", file, gateway->name, why);
        upstream_trust_free(trust);
        return false;
    }
    return true;
}

void upstream_trust_free(struct upstream_trust *trust) {
    for (unsigned i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        tls_context_unref(trust->of[i]);
    *trust = (struct upstream_trust){0};
}
