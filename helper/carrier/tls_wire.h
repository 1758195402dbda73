/* SPDX-License-Identifier: MIT */
/*
 * tls_wire.h - the encrypted bytes between TLS and the carrier below it.
 *
 * For the handshake it is a BIO that OpenSSL reads and writes; after that tls_stream.h uses `in`
 * and `out` themselves. Bytes move between these and the lower carrier in large pieces: when more
 * is wanted than there is, and by tls_wire_flush when the owner says so.
 */
#ifndef HELPER_CARRIER_TLS_WIRE_H
#define HELPER_CARRIER_TLS_WIRE_H

#include <openssl/bio.h>

#include "helper/carrier/carrier.h"
#include "helper/carrier/tls_hello.h"
#include "helper/carrier/tls_record.h"

/* Records that are passed to the lower carrier at once: the engine's large frames come in sums of
 * 128 KiB, and their headers make a ninth record of them. Behind them there is room for the few
 * bytes that TLS itself may add to a write: an alert, a change of keys. */
#define TLS_OUT_RECORDS 9u
#define TLS_OUT_SIZE    (TLS_OUT_RECORDS * (TLS_RECORD_MAX + TLS_RECORD_OVERHEAD) + 1024u)

/* One read of the lower carrier; and while its peer is still a stranger, whose first message must
 * fit in, with the headers of its records. */
#define TLS_IN_SIZE          TLS_OUT_SIZE
#define TLS_IN_SIZE_STRANGER 8192u

struct tls_wire {
    struct carrier *lower;
    bool server;
    bool readable, writable; /* the lower carrier, as far as it has told */
    bool lower_ended;        /* no more bytes will come in than are there */
    bool eof;                /* its end has been read */
    bool heard, trusted;     /* anything came from the peer; it is no stranger */
    int read_error;          /* errno, of the lower carrier's; EPROTO with `not_tls` */
    int write_error;         /* the same */
    const char *not_tls;     /* what the peer speaks instead; NULL: it is TLS, as far as is known */
    unsigned reads_left;     /* the owner's limit: of the lower carrier, from now on */
    size_t in_off, in_len;   /* in[in_off..in_len) has not been looked at */
    size_t out_off, out_len; /* out[out_off..out_len) is still to be written */
    uint8_t *in, *out;       /* NULL while nothing is in them */
    size_t in_room;          /* the size of `in`: one for strangers, or one of tls_buffer.h */
    struct tls_hello hello;  /* of a server's peer while that is a stranger */
};

void tls_wire_init(struct tls_wire *wire, struct carrier *lower, bool server);
/* Frees the buffers. */
void tls_wire_fini(struct tls_wire *wire);

/* A BIO on the wire, which must outlive it; NULL if memory is short. */
BIO *tls_wire_bio(struct tls_wire *wire);

/* Notes what the lower carrier has told. */
void tls_wire_events(struct tls_wire *wire, uint8_t events);

/* Is there anything to look at, perhaps after a read of the lower carrier? */
bool tls_wire_fill(struct tls_wire *wire);

/* For a server, before its BIO is first used: has the client's whole hello arrived, or anything
 * else to look at? */
bool tls_wire_gather(struct tls_wire *wire);

/* Are there `n` bytes, a record at most, at in + in_off, perhaps after reads of the lower carrier?
 * `in` may have moved. For a peer that is trusted. */
bool tls_wire_need(struct tls_wire *wire, size_t n);
/* `n` bytes of these are done with. */
void tls_wire_take(struct tls_wire *wire, size_t n);

/* The place of `len` bytes at the end of `out`, where they will be written; there is room for them.
 * NULL with `write_error` set: memory is short. */
uint8_t *tls_wire_extend(struct tls_wire *wire, size_t len);

/* Appends to `out` as much as fits, and returns how much that is. 0 with `write_error` set: memory
 * is short. */
size_t tls_wire_put(struct tls_wire *wire, const void *data, size_t len);

/* Writes what is in `out`. False with errno: not all of it is gone; EAGAIN: the lower carrier will
 * tell when there is room, anything else: it never will be. */
bool tls_wire_flush(struct tls_wire *wire);

/* May `out` get another record? Not while the lower carrier takes nothing. `max_records` are
 * gathered at most. */
bool tls_wire_has_room(const struct tls_wire *wire, unsigned max_records);

#endif
