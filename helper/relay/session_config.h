/* SPDX-License-Identifier: MIT */
/* session_config.h - the engine's configuration as both programs want it. */
#ifndef HELPER_RELAY_SESSION_CONFIG_H
#define HELPER_RELAY_SESSION_CONFIG_H

#include "core/common/config.h"
#include "core/smux.h"

/* For sessions whose peer may be a plain one. */
#define SESSION_PLAIN_LINGER_US (3600u * 1000000ull)

/* Fills *smux. max_stream_buffer is the largest automatic window and, for version 1 and for peers
 * without extensions, no more than a hint.
 *
 * What a closed stream still has to say waits for its reader without limit: both ends are ours, and
 * a carrier that dies ends it. Callers whose peer may be a plain one set linger_timeout_us, as that
 * one may have closed without a word.
 *
 * A full receive budget resets the stream that holds most of it, rather than stalling all. Between
 * our own two ends it is never full in version 2, as no more is promised than it holds
 * (core/PROTOCOL.md, 7); in version 1, and with plain peers, readers that stop may lose their
 * stream, which the pump logs as a warning. */
void session_config_fill(smux_config *smux, const struct session_limits *limits);

#endif
