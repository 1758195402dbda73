/* SPDX-License-Identifier: MIT
 * The bytes of the smux protocol: constants, and pack/unpack pairs.  See PROTOCOL.md.
 */
#ifndef CORE_ENGINE_WIRE_H
#define CORE_ENGINE_WIRE_H

#include <stdint.h>

enum wire_command {
    WIRE_SYN = 0, /* opens a stream */
    WIRE_FIN = 1, /* the sender will send no more on this stream */
    WIRE_PSH = 2, /* payload */
    WIRE_NOP = 3, /* keepalive, and with a stream id: the extensions */
    WIRE_UPD = 4, /* version 2: window update */
    WIRE_COMMANDS
};

#define WIRE_HEADER_LEN  8u
#define WIRE_UPDATE_LEN  8u
#define WIRE_PAYLOAD_MAX 65535u

/* The window that a version 2 sender may assume before the first UPD. */
#define WIRE_INITIAL_WINDOW 262144u

/* The same on a stream that was opened small (PROTOCOL.md, 7). */
#define WIRE_SMALL_WINDOW 512u

/* Reserved ids; stream ids end below them. HELLO is the id of a FIN, because every peer ignores a
 * FIN for a stream it does not know (async_smux ends the session for a NOP whose id is not 0). The
 * others are ids of NOP frames unless noted, sent only to a peer that has said hello. */
#define WIRE_RESERVED  0xFFFFFF00u
#define WIRE_HELLO     0xFFFFFF00u
#define WIRE_GOAWAY    0xFFFFFF01u
#define WIRE_FULL      0xFFFFFF02u /* of a FIN, like HELLO: windows start full, promises are kept */
#define WIRE_SMALL     0xFFFFFF03u /* of a FIN: from here on they start small */
#define WIRE_CREDIT    0xFFFFFF04u /* WIRE_CREDITS more streams may be opened with a full window */
#define WIRE_SYNC      0xFFFFFF05u /* asks for SYNCED, after updates that lower windows */
#define WIRE_SYNCED    0xFFFFFF06u
#define WIRE_PING      0xFFFFFF10u /* to 1F: the low four bits number it */
#define WIRE_PONG      0xFFFFFF20u /* to 2F: the answer */
#define WIRE_CREDITS   16u
#define WIRE_SEQ_MASK  0x0Fu
#define WIRE_KIND_MASK 0xFFFFFFF0u

struct wire_header {
    uint8_t version;
    uint8_t command;
    uint16_t length;
    uint32_t id;
};

struct wire_update {
    uint32_t consumed;
    uint32_t window;
};

_Static_assert(sizeof(struct wire_header) == WIRE_HEADER_LEN, "header has no padding");
_Static_assert(sizeof(struct wire_update) == WIRE_UPDATE_LEN, "update has no padding");

static inline void wire_pack32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline uint32_t wire_unpack32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void wire_pack_header(uint8_t *p, struct wire_header h) {
    p[0] = h.version;
    p[1] = h.command;
    p[2] = (uint8_t)h.length;
    p[3] = (uint8_t)(h.length >> 8);
    wire_pack32(p + 4, h.id);
}

static inline struct wire_header wire_unpack_header(const uint8_t *p) {
    return (struct wire_header){p[0], p[1], (uint16_t)(p[2] | p[3] << 8), wire_unpack32(p + 4)};
}

static inline void wire_pack_update(uint8_t *p, struct wire_update u) {
    wire_pack32(p, u.consumed);
    wire_pack32(p + 4, u.window);
}

static inline struct wire_update wire_unpack_update(const uint8_t *p) {
    return (struct wire_update){wire_unpack32(p), wire_unpack32(p + 4)};
}

#endif
