/* SPDX-License-Identifier: MIT */
/* socks5.c - see socks5.h. */
#include "helper/relay/socks5.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define VERSION         5
#define METHOD_NONE     0
#define METHOD_PASSWORD 2
#define METHOD_BITS     0xE0 /* to 0xEF: four bits of an address */
#define NO_METHOD       0xFF
#define LOGIN_VERSION   1 /* of RFC 1929 */
#define CMD_CONNECT     1
#define ATYP_IPV4       1
#define ATYP_NAME       3
#define ATYP_IPV6       4

/* Offsets in a request or reply: version, command or code, reserved, address type, address. */
enum { AT_CODE = 1, AT_RESERVED = 2, AT_TYPE = 3, AT_ADDRESS = 4, HEADER_LEN = 4 };

const uint8_t socks5_greeting_answer[SOCKS5_GREETING_ANSWER_LEN] = {VERSION, METHOD_NONE};
const uint8_t socks5_login_question[SOCKS5_GREETING_ANSWER_LEN] = {VERSION, METHOD_PASSWORD};
const uint8_t socks5_no_method[SOCKS5_GREETING_ANSWER_LEN] = {VERSION, NO_METHOD};
const uint8_t socks5_login_answer[2][SOCKS5_LOGIN_ANSWER_LEN] = {{LOGIN_VERSION, 1},
                                                                 {LOGIN_VERSION, 0}};

/* ---- Addresses, the same in requests and replies ---- */

static size_t put_address(uint8_t *at, const struct endpoint *address) {
    size_t len = address->family == AF_INET6 ? 16 : 4;
    *at++ = address->family == AF_INET6 ? ATYP_IPV6 : ATYP_IPV4;
    memcpy(at, address->addr, len);
    at[len] = (uint8_t)(address->port >> 8);
    at[len + 1] = (uint8_t)address->port;
    return 1 + len + 2;
}

/* The length of the whole message, as far as its first `have` bytes show it; 0 for an unknown
 * address type. */
static uint16_t message_len(const uint8_t *part, size_t have) {
    if (have <= AT_TYPE)
        return HEADER_LEN;
    switch (part[AT_TYPE]) {
    case ATYP_IPV4:
        return HEADER_LEN + 4 + 2;
    case ATYP_IPV6:
        return HEADER_LEN + 16 + 2;
    case ATYP_NAME:
        return have <= AT_ADDRESS ? HEADER_LEN + 1 : HEADER_LEN + 1 + part[AT_ADDRESS] + 2;
    default:
        return 0;
    }
}

static size_t put_chosen(uint8_t *methods, const struct endpoint *address) {
    size_t len = address->family == AF_INET6 ? 16 : address->family == AF_INET ? 4 : 0;
    for (size_t i = 0; i < len; i++) {
        methods[2 * i] = METHOD_BITS | address->addr[i] >> 4;
        methods[2 * i + 1] = METHOD_BITS | (address->addr[i] & 0x0f);
    }
    return 2 * len;
}

/* Methods that do not make up a whole address are ignored. */
static void get_chosen(struct endpoint *out, const uint8_t *methods, size_t count) {
    size_t bits = 0;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        if ((methods[i] & 0xf0) != METHOD_BITS)
            continue;
        if (bits / 8 < sizeof out->addr)
            out->addr[bits / 8] |= (uint8_t)((methods[i] & 0x0f) << (bits % 8 ? 0 : 4));
        bits += 4;
    }
    if (bits == 32 || bits == 128)
        out->family = bits == 32 ? AF_INET : AF_INET6;
    else
        memset(out, 0, sizeof *out);
}

static void get_destination(struct socks5_destination *out, const uint8_t *part, size_t len,
                            const struct endpoint *chosen) {
    memset(out, 0, sizeof *out);
    if (part[AT_TYPE] == ATYP_NAME)
        out->address = *chosen;
    out->address.port = (uint16_t)(part[len - 2] << 8 | part[len - 1]);
    if (part[AT_TYPE] == ATYP_NAME) {
        out->name_len = part[AT_ADDRESS];
        memcpy(out->name, part + AT_ADDRESS + 1, out->name_len);
        return;
    }
    out->address.family = part[AT_TYPE] == ATYP_IPV6 ? AF_INET6 : AF_INET;
    memcpy(out->address.addr, part + AT_ADDRESS, out->address.family == AF_INET6 ? 16 : 4);
}

/* Moves bytes into `part` until it has `want`. Returns true when it has. */
static bool fill(uint8_t *part, uint16_t *have, uint16_t want, const uint8_t **data, size_t *len) {
    size_t n = (size_t)(want - *have);
    if (n > *len)
        n = *len;
    memcpy(part + *have, *data, n);
    *have = (uint16_t)(*have + n);
    *data += n;
    *len -= n;
    return *have == want;
}

/* ---- Server ---- */

enum {
    SERVER_GREETING,
    SERVER_METHODS,
    SERVER_LOGIN_NAME,
    SERVER_LOGIN_PASSWORD,
    SERVER_REQUEST,
    SERVER_DONE,
    SERVER_BROKEN
};

void socks5_server_init(struct socks5_server *server) {
    memset(server, 0, sizeof *server);
    server->want = 2;
}

static void server_break(struct socks5_server *server, uint8_t reply, const char *why) {
    server->state = SERVER_BROKEN;
    server->reply = reply;
    server->why = why;
}

static void server_next(struct socks5_server *server, uint8_t state, uint16_t want) {
    server->state = state;
    server->have = 0;
    server->want = want;
}

static void server_request_part(struct socks5_server *server) {
    uint16_t len = message_len(server->part, server->have);
    if (server->part[0] != VERSION) {
        server_break(server, 0, "request is not of SOCKS version 5");
    } else if (server->part[AT_CODE] != CMD_CONNECT) {
        server_break(server, SOCKS5_COMMAND_UNSUPPORTED, "command is not CONNECT");
    } else if (len == 0) {
        server_break(server, SOCKS5_ADDRESS_UNSUPPORTED, "unknown address type");
    } else if (server->have < len) {
        server->want = len;
    } else {
        get_destination(&server->destination, server->part, len, &server->chosen);
        server->state = SERVER_DONE;
        if (server->part[AT_TYPE] == ATYP_NAME && server->destination.name_len == 0)
            server_break(server, SOCKS5_GENERAL_FAILURE, "empty host name");
    }
}

static void server_methods(struct socks5_server *server) {
    int method = server->login ? METHOD_PASSWORD : METHOD_NONE;
    server->without_method = !memchr(server->part, method, server->have);
    if (server->without_method) {
        server_break(server, 0,
                     server->login ? "greeting does not offer a password, which is needed here"
                                   : "greeting does not offer \"no authentication\"");
        return;
    }
    server->greeted = true;
    get_chosen(&server->chosen, server->part, server->have);
    if (server->login)
        server_next(server, SERVER_LOGIN_NAME, 2);
    else
        server_next(server, SERVER_REQUEST, HEADER_LEN);
}

/* Version, length, name. Nobody needs the destination's name yet, so this one waits there. */
static void server_login_name(struct socks5_server *server) {
    size_t len = server->part[1];
    if (server->part[0] != LOGIN_VERSION) {
        server_break(server, 0, "login is not of version 1");
    } else if (server->have < 2 + len) {
        server->want = (uint16_t)(2 + len);
    } else {
        memcpy(server->destination.name, server->part + 2, len);
        server->destination.name_len = (uint8_t)len;
        server_next(server, SERVER_LOGIN_PASSWORD, 1);
    }
}

/* Length, password. */
static void server_login_password(struct socks5_server *server) {
    const struct socks5_destination *name = &server->destination;
    size_t len = server->part[0];
    if (server->have < 1 + len) {
        server->want = (uint16_t)(1 + len);
        return;
    }
    bool good = server->login->admits(server->login, name->name, name->name_len,
                                      (const char *)server->part + 1, len);
    explicit_bzero(server->part, sizeof server->part);
    server->login_state = good ? SOCKS5_LOGIN_ADMITTED : SOCKS5_LOGIN_REFUSED;
    if (good)
        server_next(server, SERVER_REQUEST, HEADER_LEN);
    else
        server_break(server, 0, "wrong name or password");
}

/* Acts on the complete part. */
static void server_part(struct socks5_server *server) {
    switch (server->state) {
    case SERVER_GREETING:
        if (server->part[0] != VERSION)
            server_break(server, 0, "greeting is not of SOCKS version 5");
        else if (server->part[1] == 0)
            server_break(server, 0, "greeting offers no method");
        else
            server_next(server, SERVER_METHODS, server->part[1]);
        break;
    case SERVER_METHODS:
        server_methods(server);
        break;
    case SERVER_LOGIN_NAME:
        server_login_name(server);
        break;
    case SERVER_LOGIN_PASSWORD:
        server_login_password(server);
        break;
    default:
        server_request_part(server);
    }
}

enum socks5_progress socks5_server_feed(struct socks5_server *server, const uint8_t *data,
                                        size_t len, size_t *taken) {
    const uint8_t *start = data;
    while (server->state < SERVER_DONE &&
           fill(server->part, &server->have, server->want, &data, &len))
        server_part(server);
    *taken = (size_t)(data - start);
    if (server->state == SERVER_BROKEN)
        return SOCKS5_BROKEN;
    return server->state == SERVER_DONE ? SOCKS5_DONE : SOCKS5_MORE;
}

/* One row per error that has a code of its own. */
static const struct {
    int error;
    uint8_t reply;
} reply_codes[] = {{0, SOCKS5_SUCCEEDED},
                   {SOCKS5_DENIED, SOCKS5_NOT_ALLOWED},
                   {-ENETUNREACH, SOCKS5_NETWORK_UNREACHABLE},
                   {-EHOSTUNREACH, SOCKS5_HOST_UNREACHABLE},
                   {-ECONNREFUSED, SOCKS5_REFUSED},
                   {-ETIMEDOUT, SOCKS5_TTL_EXPIRED},
                   {-EOPNOTSUPP, SOCKS5_COMMAND_UNSUPPORTED},
                   {-EAFNOSUPPORT, SOCKS5_ADDRESS_UNSUPPORTED}};

#define REPLY_CODES (sizeof reply_codes / sizeof *reply_codes)

static uint8_t reply_from_error(int error) {
    for (size_t i = 0; i < REPLY_CODES; i++)
        if (reply_codes[i].error == error)
            return reply_codes[i].reply;
    return SOCKS5_GENERAL_FAILURE;
}

size_t socks5_reply_write(uint8_t *out, int error, const struct endpoint *bound) {
    struct endpoint address = {.family = AF_INET};
    uint8_t reply = reply_from_error(error);
    if (error == 0 && bound && bound->family)
        address = *bound;
    if (reply == SOCKS5_GENERAL_FAILURE)
        address.port = (uint16_t)-error;
    out[0] = VERSION;
    out[AT_CODE] = reply;
    out[AT_RESERVED] = 0;
    return AT_TYPE + put_address(out + AT_TYPE, &address);
}

/* ---- Client ---- */

size_t socks5_request_write(uint8_t *out, const struct socks5_destination *destination) {
    uint8_t *at = out;
    *at++ = VERSION;
    *at++ = 1;
    *at++ = METHOD_NONE;
    if (destination->name_len) {
        size_t chosen = put_chosen(at, &destination->address);
        out[1] = (uint8_t)(out[1] + chosen);
        at += chosen;
    }
    *at++ = VERSION;
    *at++ = CMD_CONNECT;
    *at++ = 0;
    if (destination->name_len == 0)
        return (size_t)(at - out) + put_address(at, &destination->address);
    *at++ = ATYP_NAME;
    *at++ = destination->name_len;
    memcpy(at, destination->name, destination->name_len);
    at += destination->name_len;
    *at++ = (uint8_t)(destination->address.port >> 8);
    *at++ = (uint8_t)destination->address.port;
    return (size_t)(at - out);
}

enum { CLIENT_GREETING, CLIENT_REPLY, CLIENT_DONE, CLIENT_BROKEN };

void socks5_client_init(struct socks5_client *client) {
    memset(client, 0, sizeof *client);
    client->want = 2;
}

static void client_break(struct socks5_client *client, const char *why) {
    client->state = CLIENT_BROKEN;
    client->why = why;
}

/* The errnos, positive as on the wire, that a connect may fail with at the gateway. A server that
 * says EINPROGRESS is not believed. */
static bool is_connect_errno(int wire_errno) {
    static const int known[] = {
        EPERM,           EACCES,      EINVAL,    EADDRINUSE,   EADDRNOTAVAIL, EAFNOSUPPORT,
        EPROTONOSUPPORT, EPROTO,      ENETDOWN,  ENETUNREACH,  ENETRESET,     ECONNABORTED,
        ECONNRESET,      ENOBUFS,     ETIMEDOUT, ECONNREFUSED, EHOSTDOWN,     EHOSTUNREACH,
        EOPNOTSUPP,      ENOPROTOOPT, EIO,       ENODEV,       ENONET,        EREMOTEIO};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] == wire_errno)
            return true;
    return false;
}

/* 0 or a negative errno. */
static int error_from_reply(uint8_t reply, const struct socks5_destination *bound) {
    for (size_t i = 0; i < REPLY_CODES; i++)
        if (reply_codes[i].reply == reply)
            return reply_codes[i].error == SOCKS5_DENIED ? -EACCES : reply_codes[i].error;
    if (reply == SOCKS5_GENERAL_FAILURE && is_connect_errno(bound->address.port) &&
        endpoint_is_any(&bound->address))
        return -bound->address.port;
    return -ECONNREFUSED;
}

static void client_reply_part(struct socks5_client *client) {
    struct socks5_destination bound;
    uint16_t len = message_len(client->part, client->have);
    if (client->part[0] != VERSION) {
        client_break(client, "reply is not of SOCKS version 5");
    } else if (len == 0) {
        client_break(client, "reply has an unknown address type");
    } else if (client->have < len) {
        client->want = len;
    } else {
        get_destination(&bound, client->part, len, &(struct endpoint){0});
        client->reply = client->part[AT_CODE];
        client->error = error_from_reply(client->part[AT_CODE], &bound);
        client->bound = bound.address;
        client->state = CLIENT_DONE;
    }
}

static void client_part(struct socks5_client *client) {
    if (client->state == CLIENT_REPLY) {
        client_reply_part(client);
    } else if (client->part[0] != VERSION) {
        client_break(client, "far end does not speak SOCKS version 5");
    } else if (client->part[1] != METHOD_NONE) {
        client_break(client, "far end wants authentication");
    } else {
        client->state = CLIENT_REPLY;
        client->have = 0;
        client->want = HEADER_LEN;
    }
}

enum socks5_progress socks5_client_feed(struct socks5_client *client, const uint8_t *data,
                                        size_t len, size_t *taken) {
    const uint8_t *start = data;
    while (client->state < CLIENT_DONE &&
           fill(client->part, &client->have, client->want, &data, &len))
        client_part(client);
    *taken = (size_t)(data - start);
    if (client->state == CLIENT_BROKEN)
        return SOCKS5_BROKEN;
    return client->state == CLIENT_DONE ? SOCKS5_DONE : SOCKS5_MORE;
}
