/* SPDX-License-Identifier: MIT
 *
 * Byte buffers, and smux frames built and parsed independently of the code under test.
 */
#ifndef TEST_SUPPORT_FRAME_H
#define TEST_SUPPORT_FRAME_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CMD_SYN = 0, CMD_FIN = 1, CMD_PSH = 2, CMD_NOP = 3, CMD_UPD = 4 };
enum { FRAME_HEADER = 8, FRAME_PAYLOAD_MAX = 65535 };

#define FIN_HELLO       0xFFFFFF00u /* the hello is a FIN: every peer ignores one */
#define NOP_GOAWAY      0xFFFFFF01u
#define NOP_PING        0xFFFFFF10u
#define NOP_PONG        0xFFFFFF20u
#define INITIAL_WINDOW  262144u
#define STREAM_IDS_END  0xFFFFFF00u
#define SECONDS(n)      ((uint64_t)(n)*1000000u)
#define MILLISECONDS(n) ((uint64_t)(n)*1000u)

typedef struct bytes {
    uint8_t *data;
    size_t len, cap;
} bytes;

static inline uint8_t *bytes_grow(bytes *b, size_t len) {
    if (b->len + len >= b->cap) { /* never NULL, not even for nothing */
        b->cap = 2 * (b->len + len) + 64;
        b->data = realloc(b->data, b->cap);
        if (!b->data)
            abort();
    }
    b->len += len;
    return b->data + b->len - len;
}

static inline void bytes_add(bytes *b, const void *data, size_t len) {
    uint8_t *at = bytes_grow(b, len);
    if (len)
        memcpy(at, data, len);
}

/* Drops n bytes from the front. */
static inline void bytes_drop(bytes *b, size_t n) {
    if (n)
        memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

static inline void bytes_free(bytes *b) {
    free(b->data);
    *b = (bytes){0};
}

static inline void put_u32(bytes *b, uint32_t v) {
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    bytes_add(b, le, sizeof(le));
}

static inline uint32_t get_u32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Appends a header, valid or not. */
static inline void put_header(bytes *b, int version, int cmd, unsigned len, uint32_t sid) {
    uint8_t head[4] = {(uint8_t)version, (uint8_t)cmd, (uint8_t)len, (uint8_t)(len >> 8)};
    bytes_add(b, head, sizeof(head));
    put_u32(b, sid);
}

static inline void put_frame(bytes *b, int version, int cmd, uint32_t sid, const void *payload,
                             size_t len) {
    put_header(b, version, cmd, (unsigned)len, sid);
    bytes_add(b, payload, len);
}

static inline void put_psh(bytes *b, int version, uint32_t sid, const char *text) {
    put_frame(b, version, CMD_PSH, sid, text, strlen(text));
}

static inline void put_upd(bytes *b, int version, uint32_t sid, uint32_t consumed,
                           uint32_t window) {
    put_header(b, version, CMD_UPD, 8, sid);
    put_u32(b, consumed);
    put_u32(b, window);
}

/* The data that a test sends depends on stream, direction and position, so that exchanged, lost or
 * repeated data is detected. Eight bytes at a time, for speed. */
static inline uint64_t pattern_word(uint32_t stream, int direction, uint64_t offset) {
    uint64_t x = (offset >> 3) * 0x9E3779B97F4A7C15u + stream * 0xC2B2AE3D27D4EB4Fu +
                 (uint64_t)direction * 0x165667B19E3779F9u;
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    return x ^ x >> 32;
}

static inline uint8_t pattern(uint32_t stream, int direction, uint64_t offset) {
    return (uint8_t)(pattern_word(stream, direction, offset) >> (8 * (offset & 7)));
}

static inline void pattern_fill(uint8_t *at, size_t len, uint32_t stream, int direction,
                                uint64_t offset) {
    for (; len && offset & 7; len--)
        *at++ = pattern(stream, direction, offset++);
    for (; len >= 8; len -= 8, at += 8, offset += 8) {
        uint64_t word = pattern_word(stream, direction, offset);
        memcpy(at, &word, 8);
    }
    for (; len; len--)
        *at++ = pattern(stream, direction, offset++);
}

/* The first offset that differs from the pattern, or len. */
static inline size_t pattern_differs(const uint8_t *at, size_t len, uint32_t stream, int direction,
                                     uint64_t offset) {
    uint8_t want[512];
    for (size_t done = 0, part; done < len; done += part) {
        part = len - done < sizeof(want) ? len - done : sizeof(want);
        pattern_fill(want, part, stream, direction, offset + done);
        if (memcmp(want, at + done, part) == 0)
            continue;
        while (at[done] == pattern(stream, direction, offset + done))
            done++;
        return done;
    }
    return len;
}

/* PSH frames of the stream's pattern, direction 0, each of at most frame_len bytes. */
static inline void put_pattern(bytes *b, int version, uint32_t sid, uint64_t offset, size_t len,
                               size_t frame_len) {
    while (len) {
        size_t part = len < frame_len ? len : frame_len;
        put_header(b, version, CMD_PSH, (unsigned)part, sid);
        pattern_fill(bytes_grow(b, part), part, sid, 0, offset);
        offset += part;
        len -= part;
    }
}

typedef struct {
    int version, cmd;
    uint32_t len, sid;
    const uint8_t *payload;
} frame;

/* The size of the frame at `data`, or 0 if it is not complete. */
static inline size_t frame_parse(const uint8_t *data, size_t len, frame *f) {
    if (len < FRAME_HEADER)
        return 0;
    *f = (frame){.version = data[0],
                 .cmd = data[1],
                 .len = data[2] | (uint32_t)data[3] << 8,
                 .sid = get_u32(data + 4),
                 .payload = data + FRAME_HEADER};
    return len < FRAME_HEADER + f->len ? 0 : FRAME_HEADER + f->len;
}

#endif
