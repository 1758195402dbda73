/* SPDX-License-Identifier: MIT */
/* tls_buffer.c - see tls_buffer.h. */
#include "helper/carrier/tls_buffer.h"

#include <stdlib.h>

static struct {
    uint8_t *buffer[TLS_BUFFERS_KEPT];
    unsigned count;
} kept;

uint8_t *tls_buffer_take(void) {
    return kept.count > 0 ? kept.buffer[--kept.count] : malloc(TLS_BUFFER_SIZE);
}

void tls_buffer_return(uint8_t *buffer) {
    if (buffer && kept.count < TLS_BUFFERS_KEPT)
        kept.buffer[kept.count++] = buffer;
    else
        free(buffer);
}
