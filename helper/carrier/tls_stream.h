/* SPDX-License-Identifier: MIT */
/*
 * tls_stream.h - the application data of a TLS connection, once OpenSSL has done the handshake.
 *
 * Works on the wire that the handshake has used, from its first byte that OpenSSL has not taken.
 * KeyUpdate is obeyed, and said when a key has protected enough; tickets are ignored; anything else
 * that is no data ends the connection.
 */
#ifndef HELPER_CARRIER_TLS_STREAM_H
#define HELPER_CARRIER_TLS_STREAM_H

#include "helper/carrier/tls_record.h"
#include "helper/carrier/tls_wire.h"

/* The records that one key protects: AES-GCM is safe for 2^24.5 full ones. */
#define TLS_KEY_RECORDS (UINT64_C(1) << 24)

/* So many records in a row may bring nothing. */
#define TLS_BARREN_MAX 32u

/* What a peer may say to TLS itself, each of which costs some microseconds: changes of its keys,
 * tickets for sessions to be resumed. So many, and one more for each piece of data of this size. */
#define TLS_MESSAGES_FREE  32u
#define TLS_MESSAGES_BYTES 65536u

struct tls_stream {
    struct tls_wire *wire;
    struct tls_keys in, out;
    uint64_t key_records;      /* TLS_KEY_RECORDS; tests need less */
    bool ended;                /* the peer has said close_notify */
    bool failed;               /* what came, or the peer's alert, has ended it */
    bool owes_update;          /* the peer wants to see another key */
    bool restless;             /* it has failed because of too many messages */
    uint64_t messages, bytes;  /* how many messages and bytes of data have come */
    unsigned barren;           /* records in a row that brought nothing */
    uint8_t message[4];        /* a handshake message's header, */
    uint8_t message_len;       /* as far as it has come; */
    uint32_t message_left;     /* what is missing of its body */
    size_t left_off, left_len; /* decrypted and not taken, in the record at wire->in_off */
    size_t record_len;         /* of which this is the length */
};

/* Takes over the connection that goes through `wire`. False: memory is short, or `traffic` lacks
 * the secrets. tls_stream_free is due in both cases. The structure has been zeroed. */
bool tls_stream_begin(struct tls_stream *stream, struct tls_wire *wire, const SSL_CIPHER *suite,
                      const struct tls_traffic *traffic);
void tls_stream_free(struct tls_stream *stream);

/* Takes what has arrived, at most `len` bytes, reading the wire if need be. Less than that: the
 * wire has no more, or the stream has ended or failed; when it fails, the reason is put into
 * OpenSSL's queue and an alert may wait in the wire. */
size_t tls_stream_read(struct tls_stream *stream, uint8_t *data, size_t len);

/* Decrypts until there is something to take, as tls_stream_read does, but leaves it there. */
void tls_stream_look(struct tls_stream *stream);

/* Puts a record of the next `len` bytes, TLS_RECORD_MAX at most, into the wire, which has room for
 * one. False: that is the end of the connection. */
bool tls_stream_write(struct tls_stream *stream, struct iov_cursor *from, size_t len);

/* Puts close_notify into the wire. */
void tls_stream_close(struct tls_stream *stream);

#endif
