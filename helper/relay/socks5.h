/* SPDX-License-Identifier: MIT */
/*
 * socks5.h - SOCKS version 5 (RFC 1928), command CONNECT: both sides; without authentication or, at
 * the server, with name and password (RFC 1929).
 *
 * The parsers are incremental: they give the same result however the bytes are split, and never
 * look at a byte beyond the message. Nothing here does I/O or allocates memory.
 */
#ifndef HELPER_RELAY_SOCKS5_H
#define HELPER_RELAY_SOCKS5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/endpoint.h"

#define SOCKS5_NAME_MAX 255

/* The destination: an address, or, if name_len > 0, a name that the server resolves. With a name,
 * `address` is the one of its addresses that the program chose, which the server tries first;
 * family 0: the program chose none, and only the port of `address` counts. */
struct socks5_destination {
    struct endpoint address;
    uint8_t name_len;
    char name[SOCKS5_NAME_MAX + 1];
};

/* The longest message of either side. */
#define SOCKS5_MESSAGE_MAX (4 + 1 + SOCKS5_NAME_MAX + 2)

enum socks5_progress {
    SOCKS5_MORE,  /* all bytes taken, message incomplete */
    SOCKS5_DONE,  /* complete; bytes after it were not taken */
    SOCKS5_BROKEN /* not what RFC 1928 allows; see the parser's `why` */
};

/* ---- Server ---- */

/* Who may use a server that wants a name and a password. */
struct socks5_login {
    /* The texts are not terminated, and gone after the call. */
    bool (*admits)(const struct socks5_login *login, const char *name, size_t name_len,
                   const char *password, size_t password_len);
};

enum socks5_login_state { SOCKS5_LOGIN_NONE, SOCKS5_LOGIN_ADMITTED, SOCKS5_LOGIN_REFUSED };

struct socks5_server {
    uint8_t state;
    bool greeted;        /* the methods have been read and their answer is due */
    bool without_method; /* if broken: no method that was offered will do, which is the answer */
    uint8_t login_state; /* enum socks5_login_state: once it is not NONE, its answer is due */
    const struct socks5_login *login; /* NULL: anybody. To be set after socks5_server_init */
    uint8_t reply;       /* if broken: the code to answer with; 0: close without an answer */
    uint16_t have, want; /* bytes of `part` that are there, and that it takes */
    uint8_t part[SOCKS5_MESSAGE_MAX];
    struct socks5_destination destination; /* when DONE */
    struct endpoint chosen;                /* the address in the greeting; family 0: none */
    const char *why;
};

void socks5_server_init(struct socks5_server *server);
/* Takes bytes of greeting and request, and sets *taken to their number. When `greeted` becomes
 * true, the caller must send socks5_greeting_answer, before or together with the reply; with a
 * login socks5_login_question instead, and then socks5_login_answer. */
enum socks5_progress socks5_server_feed(struct socks5_server *server, const uint8_t *data,
                                        size_t len, size_t *taken);

#define SOCKS5_GREETING_ANSWER_LEN 2
extern const uint8_t socks5_greeting_answer[SOCKS5_GREETING_ANSWER_LEN];
extern const uint8_t socks5_login_question[SOCKS5_GREETING_ANSWER_LEN];
extern const uint8_t socks5_no_method[SOCKS5_GREETING_ANSWER_LEN];
#define SOCKS5_LOGIN_ANSWER_LEN 2
extern const uint8_t socks5_login_answer[2][SOCKS5_LOGIN_ANSWER_LEN]; /* [true]: admitted */

/* Reply codes, RFC 1928 section 6. */
enum socks5_reply {
    SOCKS5_SUCCEEDED = 0,
    SOCKS5_GENERAL_FAILURE = 1,
    SOCKS5_NOT_ALLOWED = 2,
    SOCKS5_NETWORK_UNREACHABLE = 3,
    SOCKS5_HOST_UNREACHABLE = 4,
    SOCKS5_REFUSED = 5,
    SOCKS5_TTL_EXPIRED = 6,
    SOCKS5_COMMAND_UNSUPPORTED = 7,
    SOCKS5_ADDRESS_UNSUPPORTED = 8
};

/* In place of a negative errno: a rule forbids the connection, which the client sees as -EACCES. No
 * errno is that low: Linux's end at 4095. */
#define SOCKS5_DENIED (-4096)

/* Writes the reply for `error`: 0 for success, with `bound` the connection's local address; else a
 * negative errno or SOCKS5_DENIED. RFC 1928 has codes for few errnos. For the others the code is
 * GENERAL_FAILURE, and BND.PORT, which has no meaning in a failure, holds Linux's errno (positive
 * on the wire), which our client understands. Returns the length, at most SOCKS5_REPLY_MAX. */
size_t socks5_reply_write(uint8_t *out, int error, const struct endpoint *bound);
#define SOCKS5_REPLY_MAX 22

/* ---- Client ---- */

/* Writes greeting and CONNECT in one piece: "no authentication" is the only known method that is
 * offered, so the server's answer is known, and waiting for it would cost a round trip. RFC 1928
 * has no place for an address beside a name. It is carried by methods of the private range, 0xE0
 * plus 4 bits of the address each, which other servers ignore. Returns the length. */
size_t socks5_request_write(uint8_t *out, const struct socks5_destination *destination);
#define SOCKS5_REQUEST_MAX (3 + 32 + SOCKS5_MESSAGE_MAX)

struct socks5_client {
    uint8_t state;
    uint16_t have, want;
    uint8_t part[SOCKS5_MESSAGE_MAX];
    uint8_t reply;         /* when DONE: the reply's code */
    int error;             /* when DONE: 0, or the negative errno that the reply stands for */
    struct endpoint bound; /* when DONE and error 0: BND.ADDR; family 0 if it was a name */
    const char *why;
};

void socks5_client_init(struct socks5_client *client);
enum socks5_progress socks5_client_feed(struct socks5_client *client, const uint8_t *data,
                                        size_t len, size_t *taken);

#endif
