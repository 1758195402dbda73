/* SPDX-License-Identifier: MIT */
/*
 * tls_error.h - why a TLS connection has failed, as one line for the log that says what to look at.
 */
#ifndef HELPER_CARRIER_TLS_ERROR_H
#define HELPER_CARRIER_TLS_ERROR_H

#include "helper/carrier/tls_context.h"

struct tls_failure {
    bool server;       /* the side that tells */
    bool in_handshake; /* or in a connection that had begun */
    bool eof;          /* the lower carrier has ended */
    const struct tls_verdict *verdict;
};

/* Explains the errors in OpenSSL's queue, which a call has just left there. Returns their kind. */
enum carrier_failure tls_explain(const struct tls_failure *failure, char *why, size_t size);

#endif
