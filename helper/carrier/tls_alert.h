/* SPDX-License-Identifier: MIT */
/*
 * tls_alert.h - how each side of a connection learns that only one of the two speaks TLS.
 *
 * Both a port of TLS that hears something else and a plain one that hears TLS answer with a TLS
 * record: the alert unexpected_message.
 */
#ifndef HELPER_CARRIER_TLS_ALERT_H
#define HELPER_CARRIER_TLS_ALERT_H

#include <stdint.h>

/* The first byte of a record: its type. A handshake begins with one of these. */
#define TLS_RECORD_ALERT     21
#define TLS_RECORD_HANDSHAKE 22

static const uint8_t tls_alert_unexpected[] = {TLS_RECORD_ALERT, 3, 3, 0, 2, 2, 10};

#endif
