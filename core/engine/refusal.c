/* SPDX-License-Identifier: MIT
 * Resets for streams that do not exist: a queue of ids to send to the peer.
 */
#include "core/engine/engine.h"

#include <string.h>

/* Planned ids lie before the head, and may come back. */
static int refusals_grow(smux_session *s) {
    uint32_t from = s->outstanding ? 0 : s->refusals_head, len = s->refusals_tail - from;
    uint32_t size = len < 32 ? 64 : len * 2;
    uint32_t *refusals = engine_alloc(s, size * sizeof *refusals);
    if (!refusals)
        return SMUX_ERR_NOMEM;
    if (len)
        memcpy(refusals, s->refusals + from, len * sizeof *refusals);
    engine_free(s, s->refusals);
    s->refusals = refusals;
    s->refusals_size = size;
    s->refusals_head -= from;
    s->refusals_tail -= from;
    return 0;
}

/* If memory is short the peer is not told; its own timeouts will end the stream. */
void send_refuse(smux_session *s, uint32_t id, bool for_data) {
    uint32_t waiting = s->refusals_tail - s->refusals_head;
    if (for_data &&
        (waiting >= REFUSALS_FOR_DATA || (waiting && s->refusals[s->refusals_tail - 1] == id)))
        return;
    if (waiting >= REFUSALS_MAX) {
        session_fail_got(s, SMUX_ERR_FLOOD, waiting, "the peer to read its refusals");
        return;
    }
    if (s->refusals_tail == s->refusals_size && refusals_grow(s))
        return;
    s->refusals[s->refusals_tail++] = id;
}
