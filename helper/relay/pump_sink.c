/* SPDX-License-Identifier: MIT */
/* pump_sink.c - binding streams to sinks, and lending buffers to the engine (pump.h). */
#include "helper/relay/pump.h"

void pump_bind(struct pump *pump, struct pump_sink *sink, smux_stream *stream) {
    smux_stream_set_user(stream, sink);
    list_prepend(&pump->sinks, &sink->bound);
}

void pump_unbind(struct pump *pump, struct pump_sink *sink, smux_stream *stream) {
    if (pump->batch == sink) {
        pump->batch = NULL;
        pump->gather_count = 0;
    }
    list_remove(&sink->parked);
    pump_unpark(pump); /* this sink may have been given the turn */
    list_remove(&sink->bound);
    smux_stream_set_user(stream, NULL);
}

bool pump_may_borrow(const struct pump *pump) {
    const struct reactor *reactor = pump->reactor;
    if (pump->loans < PUMP_LOANS_MIN)
        return true;
    return pump->loans < PUMP_LOANS_MAX && pump->loans < reactor->loans_max / 4 &&
           reactor->pool.used_count < reactor->loans_max;
}

int pump_lend(struct pump *pump, struct pump_sink *sink, smux_stream *stream, struct buffer *buffer,
              const uint8_t *data, size_t len) {
    buffer->lent.data = data;
    buffer->lent.len = len;
    int error = smux_stream_send_borrowed(stream, &buffer->lent);
    if (error)
        return error;
    buffer->owner = sink;
    pump->loans++;
    return 0;
}

void pump_park(struct pump *pump, struct pump_sink *sink) {
    if (!list_is_linked(&sink->parked))
        list_append(&pump->parked, &sink->parked);
}

void pump_unpark(struct pump *pump) {
    struct list_link *first = list_first(&pump->parked);
    if (!first || !pump_may_borrow(pump))
        return;
    list_remove(first);
    struct pump_sink *sink = container_of(first, struct pump_sink, parked);
    sink->ops->may_borrow(sink);
}

uint32_t pump_streams(const struct pump *pump) {
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    return info.streams;
}
