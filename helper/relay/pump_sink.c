/* SPDX-License-Identifier: MIT */
/* pump_sink.c - the users of a session's streams, and the buffers that they lend (pump.h). */
#include "helper/relay/pump.h"

void pump_bind(struct pump *pump, struct pump_sink *sink, smux_stream *stream) {
    smux_stream_set_user(stream, sink);
    sink->at = &pump->sinks;
    sink->next = pump->sinks;
    if (sink->next)
        sink->next->at = &sink->next;
    pump->sinks = sink;
}

static void leave_parking(struct pump *pump, struct pump_sink *sink) {
    if (!sink->parked_at)
        return;
    *sink->parked_at = sink->parked_next;
    if (sink->parked_next)
        sink->parked_next->parked_at = sink->parked_at;
    else
        pump->parked_end = sink->parked_at;
    sink->parked_at = NULL;
}

void pump_unbind(struct pump *pump, struct pump_sink *sink, smux_stream *stream) {
    if (pump->batch == sink) {
        pump->batch = NULL;
        pump->gather_count = 0;
    }
    leave_parking(pump, sink);
    pump_unpark(pump); /* it may have been its turn */
    *sink->at = sink->next;
    if (sink->next)
        sink->next->at = sink->at;
    sink->at = NULL;
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
    if (sink->parked_at)
        return;
    sink->parked_next = NULL;
    sink->parked_at = pump->parked_end;
    *pump->parked_end = sink;
    pump->parked_end = &sink->parked_next;
}

void pump_unpark(struct pump *pump) {
    struct pump_sink *sink = pump->parked;
    if (!sink || !pump_may_borrow(pump))
        return;
    leave_parking(pump, sink);
    sink->ops->may_borrow(sink);
}
