/* SPDX-License-Identifier: MIT */
/*
 * upstream_trust.h - the credentials of [gateway NAME] sections: what this helper shows its
 * gateways, and what they have to show.
 */
#ifndef HELPER_CLIENT_UPSTREAM_TRUST_H
#define HELPER_CLIENT_UPSTREAM_TRUST_H

#include "core/common/config.h"
#include "helper/carrier/tls_context.h"

struct upstream_trust {
    /* In the order of config->gateway; NULL: no address is a tls:// one. */
    struct tls_context *of[CONFIG_GATEWAYS_MAX];
};

/* Reads the files that the configuration names. False and one line on the first mistake; there is
 * nothing to free then. */
bool upstream_trust_read(struct upstream_trust *trust, const struct config *config,
                         struct config_error *error);
void upstream_trust_free(struct upstream_trust *trust);

#endif
