/* SPDX-License-Identifier: MIT */
/*
 * gateway_trust.h - the gateway's credentials: what it shows its clients at tls:// addresses, and
 * what they have to show.
 */
#ifndef HELPER_GATEWAY_GATEWAY_TRUST_H
#define HELPER_GATEWAY_GATEWAY_TRUST_H

#include "helper/gateway/gateway_config.h"

/* Reads the files that the configuration names into config->tls, if there is a tls:// address;
 * makes the key's file if there is none, and no certificate is named.
 * False and one line on the first mistake. */
bool gateway_trust_read(struct gateway_config *config, struct config_error *error);

#endif
