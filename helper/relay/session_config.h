/* SPDX-License-Identifier: MIT */
/* session_config.h - the engine's configuration that helper and gateway share. */
#ifndef HELPER_RELAY_SESSION_CONFIG_H
#define HELPER_RELAY_SESSION_CONFIG_H

#include "core/common/config.h"
#include "core/smux.h"

/* The linger timeout for sessions whose peer may be a plain smux implementation. */
#define SESSION_PLAIN_LINGER_US (3600u * 1000000ull)

/* Fills *smux. max_stream_buffer is the largest automatic window and, for version 1 and for peers
 * without extensions, no more than a hint.
 *
 * The unsent data of a closed stream waits for its reader without limit: both ends are ours, and
 * the end of the carrier ends the wait. Callers whose peer may be a plain implementation set
 * linger_timeout_us, because such a peer may close a stream without telling.
 *
 * When the receive budget is full, the stream that holds most of it is reset, rather than stalling
 * all. Between our own two ends this never happens in version 2, because no more is promised than
 * the budget holds (core/PROTOCOL.md, 7). In version 1, and with plain peers, a reader that stops
 * may lose its stream, which the pump logs as a warning. */
void session_config_fill(smux_config *smux, const struct session_limits *limits);

#endif
