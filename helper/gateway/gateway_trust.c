/* SPDX-License-Identifier: MIT */
/* gateway_trust.c - see gateway_trust.h. */
#include "helper/gateway/gateway_trust.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "helper/carrier/tls_context.h"
#include "helper/carrier/tls_key.h"
#include "helper/net/log.h"

static bool has_credentials(const struct gateway_config *config) {
    return config->psk[0] || config->key[0] || config->client_pins[0] || config->client_ca[0];
}

/* A key without a certificate, and without a file: it is to be made. */
static bool make_key(const struct gateway_config *config, char *why, size_t size) {
    char pin[TLS_PIN_SIZE];
    if (!config->key[0] || config->cert[0] || access(config->key, F_OK) == 0 || errno != ENOENT)
        return true;
    if (!tls_key_create(config->key, "smux-gateway", pin, why, size))
        return false;
    log_about(LOG_INFO, ABOUT(.file = config->key), "%s: made a key, with pin %s", config->key,
              pin);
    return true;
}

static bool read_all(struct gateway_config *config, char *why, size_t size) {
    const struct tls_settings settings = {.server = true,
                                          .anyone = config->insecure,
                                          .psk = config->psk,
                                          .pins = config->client_pins,
                                          .ca = config->client_ca,
                                          .crl = config->crl,
                                          .key = config->key,
                                          .cert = config->cert};
    if (!make_key(config, why, size))
        return false;
    config->tls = tls_context_new(&settings, why, size);
    if (config->tls && tls_context_takes_anyone(config->tls))
        log_warn("tls:// addresses are open to every client (insecure = yes): there is no psk, "
                 "client-pins or client-ca");
    return config->tls;
}

bool gateway_trust_read(struct gateway_config *config, struct config_error *error) {
    const char *file = config->file[0] ? config->file : "command line";
    char why[500] = "there are credentials for TLS: expected a tls:// address";
    bool has_tls = config_addresses_have(config->address, config->n_addresses, CONFIG_TLS);
    if (has_tls ? read_all(config, why, sizeof why) : !has_credentials(config))
        return true;
    snprintf(error->text, sizeof error->text, "%s: %s", file, why);
    return false;
}
