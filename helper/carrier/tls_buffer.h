/* SPDX-License-Identifier: MIT */
/*
 * tls_buffer.h - buffers for encrypted bytes, which TLS carriers have only while something is in
 * them: an idle carrier has none. Those returned last are kept, and used again first.
 *
 * For the process's loop, in one thread.
 */
#ifndef HELPER_CARRIER_TLS_BUFFER_H
#define HELPER_CARRIER_TLS_BUFFER_H

#include <stdint.h>

/* Enough for what a carrier gathers before it writes, and for one read. */
#define TLS_BUFFER_SIZE 150784u

/* So many are kept while nobody uses them. */
#define TLS_BUFFERS_KEPT 8u

/* A buffer of TLS_BUFFER_SIZE bytes, not initialized; NULL if memory is short. */
uint8_t *tls_buffer_take(void);
/* NULL is fine. */
void tls_buffer_return(uint8_t *buffer);

#endif
