/* SPDX-License-Identifier: MIT
 *
 * KCP in stream mode: a reliable stream of bytes over packets that may be lost, doubled or
 * reordered, compatible with github.com/xtaci/kcp-go without encryption and FEC.
 *
 * It does no I/O, reads no clock, keeps no global state and starts no thread.  All memory is
 * allocated by smux_kcp_new.  A connection belongs to one thread at a time.
 *
 *     received packet --> smux_kcp_input --> smux_kcp_recv --> the application
 *     the application --> smux_kcp_send --> smux_kcp_output until 0 --> sendto
 *     smux_kcp_timeout --> wait at most so long --> smux_kcp_output
 *
 * Time: `now_ms` is a monotonic clock in milliseconds, modulo 2^32, with an arbitrary origin.
 * KCP has no end of a stream and no handshake, and it does not authenticate: packets that are
 * damaged or forged must be sorted out below.
 */
#ifndef SMUX_KCP_H
#define SMUX_KCP_H

#include "smux_config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct smux_kcp smux_kcp;

/* Fill it with smux_kcp_config_init first, since fields may be appended. */
typedef struct smux_kcp_config {
    /* The conversation, the same number at both ends.  Default 0. */
    uint32_t conv;
    /* The most bytes of a packet, 50..1500, of which kcp-go 5.7 takes 1472.  Default 1400. */
    uint32_t mtu;
    /* The most segments in flight or waiting, and the most that are held for the application,
     * 1..32768.  Defaults 128 and 512, as kcptun's. */
    uint32_t send_window, receive_window;
    /* As kcp-go's SetNoDelay.  interval_ms, 10..5000, is how long acknowledgements wait for
     * others.  resend: a segment is sent again after that many acknowledgements of later ones, 0:
     * only when nothing new is to be sent.  Defaults: fast of kcptun, {false, 30, 2, true}. */
    bool nodelay;
    uint32_t interval_ms;
    uint32_t resend;
    bool no_congestion_window;
    /* Acknowledge every packet at once.  Default false. */
    bool ack_no_delay;
    /* The link is dead when a segment has been sent so often, at least 2.  Default 20. */
    uint32_t dead_link;
} smux_kcp_config;

SMUX_API void smux_kcp_config_init(smux_kcp_config *config);

/* Creates a connection; `config` and `allocator` are copied, and `allocator` may be NULL (malloc).
 * Errors: SMUX_ERR_NOMEM, SMUX_ERR_CONFIG. */
SMUX_API int smux_kcp_new(smux_kcp **kcp, const smux_kcp_config *config,
                          const smux_allocator *allocator);
/* `kcp` may be NULL. */
SMUX_API void smux_kcp_free(smux_kcp *kcp);

/* Takes a packet.  SMUX_ERR_ARGUMENT if it is malformed or of another conversation; the segments
 * before the fault have had their effect. */
SMUX_API int smux_kcp_input(smux_kcp *kcp, const void *packet, size_t len, uint32_t now_ms);

/* Makes the next packet that is due now, in `packet`, which has room for `mtu` bytes.  Returns its
 * length, 0 if there is none. */
SMUX_API size_t smux_kcp_output(smux_kcp *kcp, void *packet, uint32_t now_ms);

#define SMUX_KCP_NEVER UINT32_MAX
/* In how many milliseconds smux_kcp_output has something next: 0 now, SMUX_KCP_NEVER if nothing
 * is due before the next call. */
SMUX_API uint32_t smux_kcp_timeout(const smux_kcp *kcp, uint32_t now_ms);

/* Queues as many of these bytes as there is room for, and returns their number. */
SMUX_API size_t smux_kcp_send(smux_kcp *kcp, const void *data, size_t len);
/* Takes up to `len` received bytes, in order, and returns their number. */
SMUX_API size_t smux_kcp_recv(smux_kcp *kcp, void *data, size_t len);

/* Segments that are queued or not yet acknowledged. */
SMUX_API uint32_t smux_kcp_unacknowledged(const smux_kcp *kcp);
/* Whether a segment has been sent dead_link times; nothing is sent any more. */
SMUX_API bool smux_kcp_is_dead(const smux_kcp *kcp);

#ifdef __cplusplus
}
#endif
#endif
