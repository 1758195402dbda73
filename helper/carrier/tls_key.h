/* SPDX-License-Identifier: MIT */
/*
 * tls_key.h - keys of one's own, which peers know by their pins (tls_pin.h).
 */
#ifndef HELPER_CARRIER_TLS_KEY_H
#define HELPER_CARRIER_TLS_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "helper/carrier/tls_pin.h"

/* Makes a P-256 key and a certificate without end that it signs itself, whose subject is CN=`name`,
 * and writes both as PEM into a new file with mode 0600. False and one line in `why`. */
bool tls_key_create(const char *file, const char *name, char pin[TLS_PIN_SIZE], char *why,
                    size_t size);

#endif
