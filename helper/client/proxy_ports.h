/* SPDX-License-Identifier: MIT */
/*
 * proxy_ports.h - the child that opens ports for a helper in its sandbox, at a reload, and which of
 * them (listen_broker.h): only those that the configuration names when it is asked.
 */
#ifndef HELPER_CLIENT_PROXY_PORTS_H
#define HELPER_CLIENT_PROXY_PORTS_H

#include <stdbool.h>

#include "core/common/config.h"

/* What the configuration is read from, as config_load_with has it. */
struct proxy_ports {
    const char *file, *gateway, *routes;
};

/* Starts the child, if the configuration has listeners and the helper will have a sandbox. False
 * after logging why not. */
bool proxy_ports_start(const struct proxy_ports *source, const struct config *config);

#endif
