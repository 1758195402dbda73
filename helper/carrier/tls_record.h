/* SPDX-License-Identifier: MIT */
/*
 * tls_record.h - the records of an established TLS 1.3 connection (RFC 8446, section 5.2).
 *
 * Encrypts from where the bytes lie to where they leave, and decrypts to where they are wanted:
 * nothing is copied but small pieces.
 */
#ifndef HELPER_CARRIER_TLS_RECORD_H
#define HELPER_CARRIER_TLS_RECORD_H

#include "helper/carrier/tls_traffic.h"
#include "helper/net/iov.h"

/* The most that a record carries, and what encryption adds to it at most. */
#define TLS_RECORD_MAX      16384u
#define TLS_RECORD_OVERHEAD 256u
#define TLS_RECORD_HEADER   5u
#define TLS_RECORD_TAG      16u
/* What it adds here: header, type and tag. */
#define TLS_RECORD_COST (TLS_RECORD_HEADER + 1u + TLS_RECORD_TAG)

/* The type of records with data, and of all that are encrypted, to whom they look alike. */
#define TLS_RECORD_DATA 23

/* Writes a record of the next `len` bytes of `from`, TLS_RECORD_MAX at most, to `out`, where there
 * is room for len + TLS_RECORD_COST bytes. False: the cipher has failed. */
bool tls_record_seal(struct tls_keys *keys, uint8_t type, struct iov_cursor *from, size_t len,
                     uint8_t *out);

/* How many bytes follow a header; or, if no record of application data begins like this, the number
 * of the alert to send, negative. */
int tls_record_length(const uint8_t header[TLS_RECORD_HEADER]);

/* Decrypts the record whose header is at `record`, and behind it `len` bytes. `out` has room for
 * len - TLS_RECORD_TAG bytes, and may be where the encrypted bytes are: record +
 * TLS_RECORD_HEADER. Returns how many bytes it carries; or the number of the alert to send,
 * negative, and `out` is garbage. */
int tls_record_open(struct tls_keys *keys, const uint8_t *record, size_t len, uint8_t *out,
                    uint8_t *type);

#endif
