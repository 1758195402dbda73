/* SPDX-License-Identifier: MIT */
/* session_config.c - see session_config.h. */
#include "helper/relay/session_config.h"

#include <sys/random.h>

/* The smallest maximum that the engine accepts for automatic windows. */
#define WINDOW_MIN (256u * 1024u)

void session_config_fill(smux_config *smux, const struct session_limits *limits) {
    uint32_t stream_buffer = limits->max_stream_buffer;
    smux_config_init(smux);
    smux->version = limits->version;
    smux->max_receive_buffer = limits->max_receive_buffer;
    if (stream_buffer > limits->max_receive_buffer)
        stream_buffer = limits->max_receive_buffer;
    smux->max_stream_buffer = stream_buffer;
    smux->auto_window = stream_buffer >= WINDOW_MIN;
    smux->max_window = smux->auto_window ? stream_buffer : 0;
    smux->max_frame_size = limits->max_frame_size;
    smux->keepalive_disabled = limits->keepalive_interval_ms == 0;
    if (limits->keepalive_interval_ms > 0) {
        smux->keepalive_interval_us = (uint64_t)limits->keepalive_interval_ms * 1000u;
        smux->keepalive_timeout_us = (uint64_t)limits->keepalive_timeout_ms * 1000u;
    }
    smux->linger_timeout_us = 0;  /* TCP has no such limit either */
    smux->accept_backlog = 65536; /* every stream is accepted at once */
    smux->max_streams = 65536;
    smux->on_full = SMUX_FULL_RESET;
    smux->full_patience_us = limits->stalled_reader_timeout_ms * UINT64_C(1000);
    if (getrandom(&smux->hash_seed, sizeof smux->hash_seed, GRND_NONBLOCK) < 0)
        smux->hash_seed = 0;
}
