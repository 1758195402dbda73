/* SPDX-License-Identifier: MIT */
/*
 * proxy_protocol.h - the header in which a proxy says whom it speaks for: versions 1 (a line) and 2
 * (binary) of the PROXY protocol, both read and written.
 *
 * Nothing here does I/O or allocates.
 */
#ifndef HELPER_NET_PROXY_PROTOCOL_H
#define HELPER_NET_PROXY_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

/* The longest header that is taken, and that is written. */
#define PROXY_HEADER_MAX 536u

/* Types of TLVs that are a sender's own to choose: what a gateway tells of its client. */
#define PROXY_TLV_CLIENT   0xe0 /* its name in the gateway's configuration */
#define PROXY_TLV_IDENTITY 0xe1 /* what it has proved, such as "psk:laptop" */

enum proxy_version { PROXY_NONE, PROXY_V1, PROXY_V2 };

struct proxy_header {
    struct endpoint source; /* family 0: it says of nobody; the connection itself is meant */
    struct endpoint destination;
    const char *client, *identity; /* of version 2; NULL: not told. Not read */
};

enum proxy_progress {
    PROXY_MORE,  /* what is there can be the beginning of one */
    PROXY_DONE,  /* it is complete */
    PROXY_BROKEN /* it is none, or too long */
};

/* Reads a header of either version. DONE: *used is its length, which bytes may follow. BROKEN: *why
 * is a text for the log. What a header says beyond addresses is checked and passed over. */
enum proxy_progress proxy_header_read(const uint8_t *data, size_t len, struct proxy_header *header,
                                      size_t *used, const char **why);

/* Writes a header into `out`, which has PROXY_HEADER_MAX bytes, and returns its length. If source
 * and destination are of different families, IPv4 is written as IPv6. TLVs without room are left
 * out. */
size_t proxy_header_write(uint8_t *out, enum proxy_version version,
                          const struct proxy_header *header);

#endif
