/* SPDX-License-Identifier: MIT */
/*
 * target_allow.h - where a client's streams may be connected to.
 */
#ifndef HELPER_GATEWAY_TARGET_ALLOW_H
#define HELPER_GATEWAY_TARGET_ALLOW_H

#include <stdbool.h>

#include "helper/gateway/gateway_session.h"

/* The list for the session's client: its own, or else the gateway's. Valid until the next reload.
 */
const struct route_list *target_allow(const struct gateway_session *session);

/* Whether the list has the address, or the name that stands for it (NULL: none). The host's own
 * addresses are there only if a rule lists them, or a network that contains them: neither `*` nor a
 * name is enough, as a name may be in somebody else's zone. */
bool target_allow_has(struct gateway_session *session, const struct endpoint *address,
                      const char *name);

#endif
