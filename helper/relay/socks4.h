/* SPDX-License-Identifier: MIT */
/*
 * socks4.h - SOCKS version 4 and 4a, command CONNECT: the server's side.
 *
 * The parser is incremental as that of socks5.h, and gives what that gives.
 */
#ifndef HELPER_RELAY_SOCKS4_H
#define HELPER_RELAY_SOCKS4_H

#include "helper/relay/socks5.h"

/* A user's name is read and ignored: nothing proves it. It is bounded as host names are. */
#define SOCKS4_USER_MAX 255

struct socks4_server {
    uint8_t state;
    uint8_t have;  /* bytes of `fixed` that are there */
    uint16_t user; /* bytes of the user's name so far */
    uint8_t fixed[8];
    struct socks5_destination destination; /* when SOCKS5_DONE */
    const char *why;                       /* when SOCKS5_BROKEN */
};

void socks4_server_init(struct socks4_server *server);
enum socks5_progress socks4_server_feed(struct socks4_server *server, const uint8_t *data,
                                        size_t len, size_t *taken);

/* Version 4 has one code for all that fails. Returns the length. */
size_t socks4_reply_write(uint8_t *out, int error, const struct endpoint *bound);
#define SOCKS4_REPLY_LEN 8

#endif
