/* SPDX-License-Identifier: MIT */
/* proxy_ports.c - see proxy_ports.h. */
#include "helper/client/proxy_ports.h"

#include <stdlib.h>
#include <string.h>

#include "helper/net/listen_broker.h"
#include "helper/net/log.h"
#include "helper/net/sandbox.h"

static bool names(const struct config *config, const struct config_address *address) {
    for (unsigned i = 0; i < config->n_listeners; i++)
        for (unsigned j = 0; j < config->listener[i].n_addresses; j++)
            if (config_addresses_equal(&config->listener[i].address[j], 1, address, 1))
                return true;
    return false;
}

/* In the child: it reads the configuration itself, as its helper may be somebody else's by now. */
static bool may(void *user, const struct config_address *address) {
    const struct proxy_ports *source = user;
    struct config *config = calloc(1, sizeof *config);
    struct config_error error;
    bool named = config &&
                 config_load_with(config, source->file, source->gateway, source->routes, &error) &&
                 names(config, address);
    free(config);
    return named;
}

bool proxy_ports_start(const struct proxy_ports *source, const struct config *config) {
    struct proxy_ports copy = *source;
    if (config->n_listeners == 0 || sandbox_is_off(config->helper.sandbox))
        return true;
    int error = listen_broker_start(config->helper.sandbox, may, &copy);
    if (error)
        log_error("cannot start: no child that opens ports: %s", strerror(-error));
    return error == 0;
}
