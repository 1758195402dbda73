/* SPDX-License-Identifier: MIT
 *
 * For tests of the blocking API whose peer is a bare socket that sends what the test tells it
 * to.
 */
#ifndef TEST_SUPPORT_BARE_H
#define TEST_SUPPORT_BARE_H

#include "support_blocking.h"

#include "core/engine/wire.h"

struct bare {
    smuxb_session *session; /* a server */
    int peer;               /* the client's end of the carrier */
};

static inline void bare_start(struct bare *b, void (*pair)(int fds[2]), const smux_config *config) {
    int fds[2];
    pair(fds);
    b->peer = fds[0];
    assert_int_equal(smuxb_session_server(&b->session, fds[1], config), 0);
}

static inline void bare_end(struct bare *b) {
    smuxb_session_free(b->session);
    if (b->peer >= 0)
        close(b->peer);
}

static inline void peer_says(struct bare *b, const void *bytes, size_t len) {
    assert_int_equal(send(b->peer, bytes, len, MSG_NOSIGNAL), len);
}

static inline void peer_sends(struct bare *b, uint8_t command, uint32_t id, uint16_t length) {
    uint8_t header[WIRE_HEADER_LEN];
    wire_pack_header(header, (struct wire_header){1, command, length, id});
    peer_says(b, header, sizeof header);
}

static inline smuxb_stream *accepted(struct bare *b) {
    smuxb_stream *st;
    assert_int_equal(smuxb_stream_accept(b->session, &st), 0);
    return st;
}

#endif
