/* session_config.h - the engine's configuration as both programs want it. */
#ifndef HELPER_SESSION_CONFIG_H
#define HELPER_SESSION_CONFIG_H

#include "core/smux.h"

/* For sessions whose peer may be a plain one. */
#define SESSION_PLAIN_LINGER_US (3600u * 1000000ull)

/* Fills *smux. Sizes in bytes; stream_buffer is the largest automatic window and, for version 1 and
 * for peers without extensions, no more than a hint; keepalive_interval_ms 0: none.
 *
 * What a closed stream still has to say waits for its reader without limit: both ends are ours, and a
 * carrier that dies ends it. Callers whose peer may be a plain one set linger_timeout_us, as that one
 * may have closed without a word.
 *
 * A full receive budget resets the stream that holds most of it, rather than stalling all: version 2
 * windows keep honest peers below it, so it happens only to version 1 streams whose reader has
 * stopped. */
void session_config_fill(smux_config *smux, int version, uint32_t receive_buffer,
                         uint32_t stream_buffer, uint32_t frame_size,
                         uint32_t keepalive_interval_ms, uint32_t keepalive_timeout_ms);

#endif
