/* SPDX-License-Identifier: MIT */
/* socks4.c - see socks4.h. */
#include "helper/relay/socks4.h"

#include <string.h>
#include <sys/socket.h>

#define VERSION     4
#define CMD_CONNECT 1
#define GRANTED     90
#define FAILED      91

/* Offsets: version, command, port, address. */
enum { AT_COMMAND = 1, AT_PORT = 2, AT_ADDRESS = 4, FIXED_LEN = 8 };

enum { READ_FIXED, READ_USER, READ_NAME, READ_DONE, READ_BROKEN };

void socks4_server_init(struct socks4_server *server) {
    memset(server, 0, sizeof *server);
}

static void fail(struct socks4_server *server, const char *why) {
    server->state = READ_BROKEN;
    server->why = why;
}

/* 0.0.0.x stands for a name that follows (version 4a). */
static bool by_name(const struct socks4_server *server) {
    static const uint8_t zeros[3];
    return memcmp(server->fixed + AT_ADDRESS, zeros, sizeof zeros) == 0 &&
           server->fixed[FIXED_LEN - 1] != 0;
}

static void take_fixed(struct socks4_server *server, uint8_t byte) {
    struct endpoint *address = &server->destination.address;
    server->fixed[server->have++] = byte;
    if (server->fixed[0] != VERSION) {
        fail(server, "request is not of SOCKS version 4");
    } else if (server->have > AT_COMMAND && server->fixed[AT_COMMAND] != CMD_CONNECT) {
        fail(server, "command is not CONNECT");
    } else if (server->have == FIXED_LEN) {
        server->state = READ_USER;
        address->port = (uint16_t)(server->fixed[AT_PORT] << 8 | server->fixed[AT_PORT + 1]);
        if (by_name(server))
            return;
        address->family = AF_INET;
        memcpy(address->addr, server->fixed + AT_ADDRESS, 4);
    }
}

static void take_user(struct socks4_server *server, uint8_t byte) {
    if (byte == 0)
        server->state = by_name(server) ? READ_NAME : READ_DONE;
    else if (++server->user > SOCKS4_USER_MAX)
        fail(server, "the user's name is longer than 255 bytes");
}

static void take_name(struct socks4_server *server, uint8_t byte) {
    struct socks5_destination *destination = &server->destination;
    if (byte == 0 && destination->name_len == 0)
        fail(server, "empty host name");
    else if (byte == 0)
        server->state = READ_DONE;
    else if (destination->name_len == SOCKS5_NAME_MAX)
        fail(server, "host name is longer than 255 bytes");
    else
        destination->name[destination->name_len++] = (char)byte;
}

enum socks5_progress socks4_server_feed(struct socks4_server *server, const uint8_t *data,
                                        size_t len, size_t *taken) {
    static void (*const take[])(struct socks4_server * server, uint8_t byte) = {
        [READ_FIXED] = take_fixed, [READ_USER] = take_user, [READ_NAME] = take_name};
    size_t n = 0;
    while (n < len && server->state < READ_DONE)
        take[server->state](server, data[n++]);
    *taken = n;
    if (server->state == READ_BROKEN)
        return SOCKS5_BROKEN;
    return server->state == READ_DONE ? SOCKS5_DONE : SOCKS5_MORE;
}

size_t socks4_reply_write(uint8_t *out, int error, const struct endpoint *bound) {
    memset(out, 0, SOCKS4_REPLY_LEN);
    out[1] = error ? FAILED : GRANTED;
    if (error == 0 && bound && bound->family == AF_INET) {
        out[AT_PORT] = (uint8_t)(bound->port >> 8);
        out[AT_PORT + 1] = (uint8_t)bound->port;
        memcpy(out + AT_ADDRESS, bound->addr, 4);
    }
    return SOCKS4_REPLY_LEN;
}
