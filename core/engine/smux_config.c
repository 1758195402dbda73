/* SPDX-License-Identifier: MIT */
#include "core/engine/engine.h"

#define SECOND_US 1000000u

void smux_config_init(smux_config *config) {
    *config = (smux_config){
        .version = 1,
        .keepalive_interval_us = 10 * (uint64_t)SECOND_US,
        .keepalive_timeout_us = 30 * (uint64_t)SECOND_US,
        .max_frame_size = 32768,
        .max_receive_buffer = 4u << 20,
        .max_stream_buffer = 64u << 10,
        .auto_window = true,
        .linger_timeout_us = 600 * (uint64_t)SECOND_US,
        .accept_backlog = 1024,
        .max_streams = 1u << 20,
        .stream_send_buffer = 256u << 10,
        .session_send_buffer = 4u << 20,
        .on_full = SMUX_FULL_STALL,
        .extensions = true,
    };
}

static bool positive31(uint32_t v) {
    return v >= 1 && v <= INT32_MAX;
}

int smux_config_verify(const smux_config *c, enum smux_role role, smux_config_fault *fault) {
    bool version_ok = c->version == 1 || c->version == 2 ||
                      (c->version == SMUX_VERSION_AUTO && role == SMUX_SERVER);
    const struct {
        bool ok;
        const char *field, *why;
    } rules[] = {
        {version_ok, "version",
         role == SMUX_SERVER ? "must be 1, 2 or SMUX_VERSION_AUTO" : "must be 1 or 2"},
        {c->keepalive_disabled || c->keepalive_interval_us > 0, "keepalive_interval_us",
         "must be positive"},
        {c->keepalive_disabled || c->keepalive_timeout_us >= c->keepalive_interval_us,
         "keepalive_timeout_us", "must not be less than keepalive_interval_us"},
        {c->max_frame_size >= 1 && c->max_frame_size <= WIRE_PAYLOAD_MAX, "max_frame_size",
         "must be 1 to 65535"},
        {positive31(c->max_receive_buffer), "max_receive_buffer", "must be 1 to 2147483647"},
        {c->max_stream_buffer >= 1 && c->max_stream_buffer <= c->max_receive_buffer,
         "max_stream_buffer", "must be 1 to max_receive_buffer"},
        {c->max_window == 0 ||
             (c->max_window >= WIRE_INITIAL_WINDOW && c->max_window <= c->max_receive_buffer),
         "max_window", "must be 0, or 262144 to max_receive_buffer"},
        {positive31(c->accept_backlog), "accept_backlog", "must be 1 to 2147483647"},
        {positive31(c->max_streams), "max_streams", "must be 1 to 2147483647"},
        {positive31(c->stream_send_buffer), "stream_send_buffer", "must be 1 to 2147483647"},
        {positive31(c->session_send_buffer), "session_send_buffer", "must be 1 to 2147483647"},
        {c->on_full == SMUX_FULL_STALL || c->on_full == SMUX_FULL_RESET, "on_full",
         "must be SMUX_FULL_STALL or SMUX_FULL_RESET"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok) {
            if (fault)
                *fault = (smux_config_fault){rules[i].field, rules[i].why};
            return SMUX_ERR_CONFIG;
        }
    return 0;
}
