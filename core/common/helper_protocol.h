/* SPDX-License-Identifier: MIT */
/*
 * helper_protocol.h - the messages between the shim and the helper, and pure functions to check,
 * pack and unpack them.
 *
 * CONTROL.md beside this file specifies the protocol: the steps of a connect, the gate and the
 * residue, every message byte by byte, refusals, notices, names, versions, and what the application
 * sees of a failure. In short: a connection is one pair of AF_UNIX stream sockets, the
 * application's end and the helper's end. A request travels once, as the first bytes from the
 * application's end; the outcome travels back as the name that the helper binds the application's
 * end to. Numbers are in host byte order.
 *
 * All functions are thread-safe and may be called in signal handlers; none allocates or makes a
 * system call.
 */
#ifndef CORE_COMMON_HELPER_PROTOCOL_H
#define CORE_COMMON_HELPER_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/common/endpoint.h"
#include "core/common/helper_place.h"

#define HELPER_PROTOCOL_MAGIC 0x58554d53u /* "SMUX" in memory on a little-endian machine */
#ifndef HELPER_PROTOCOL_VERSION           /* tests build a library with another version */
#define HELPER_PROTOCOL_VERSION 1
#endif

/* How the gate works (CONTROL.md, "The gate"). The kernel cuts a stream write into skbs of at most
 * sk_sndbuf / 2 - 64 bytes, and charges each with its bytes plus its own structures (never less
 * than 300, on no kernel more than the size rounded up to a power of two plus 1 KiB). So two chunks
 * of HELPER_GATE_CHUNK are let in, and then the charge exceeds the limit. */
#define HELPER_GATE_SNDBUF 3000 /* the setsockopt value; the kernel doubles it */
#define HELPER_GATE_CHUNK  (HELPER_GATE_SNDBUF - 64)
#define HELPER_GATE_LEN    (2 * HELPER_GATE_CHUNK)

/* The smallest SO_SNDBUF (setsockopt value) of an open connection: four times the largest skb of a
 * stream socket, so that a pinned one does not keep a writer asleep. */
#define HELPER_OPEN_SNDBUF 212992

#define HELPER_NOTICE_WAIT_MS 10000
#define HELPER_NAME_WAIT_MS   5000
#define HELPER_HOST_NAME_MAX  255 /* bytes, without terminator (RFC 1035, section 2.3.4) */
#define HELPER_ID_TEXT_LEN    16

enum helper_request_kind {
    HELPER_REQUEST_CONNECT = 1,
    HELPER_NOTICE_LINGER = 2,
    HELPER_REQUEST_ADDRESS = 3, /* which address stands for this name? */
    HELPER_REQUEST_NAME = 4,    /* which name does this address stand for? */
};

enum helper_request_flag {
    HELPER_LOCAL_BOUND =
        1 << 0, /* `local` was bound explicitly and overrides what the target sees */
    HELPER_LINGER_RESET = 1 << 1, /* SO_LINGER {on, 0}: close is a reset */
};

/* The first bytes from the application's end. `magic`, `version` and `size` stay where they are in
 * every version, so that sides of different versions can tell. The host name follows, `name_len`
 * bytes without a terminator; then, for HELPER_REQUEST_CONNECT, zeros up to HELPER_GATE_LEN. */
struct helper_request {
    uint32_t magic;
    uint16_t version;
    uint16_t size; /* sizeof(struct helper_request) of the sender */
    uint64_t id;   /* random; the helper may replace it if its name is taken */
    uint16_t kind; /* enum helper_request_kind */
    uint16_t flags;
    uint16_t family;   /* of the application's socket, and so of outcome addresses */
    uint16_t name_len; /* 0: no host name known */
    uint32_t sndbuf;   /* SO_SNDBUF as a setsockopt value; 0: the application set none */
    uint32_t fd;       /* 1 + the application's descriptor, which the helper watches; 0: unknown */
    struct endpoint dest;
    struct endpoint local; /* family 0 unless HELPER_LOCAL_BOUND */
};

_Static_assert(sizeof(struct helper_request) == 80, "wire layout of the request");
_Static_assert(offsetof(struct helper_request, id) == 8, "wire layout of the request");
_Static_assert(offsetof(struct helper_request, dest) == 32, "wire layout of the request");
_Static_assert(sizeof(struct helper_request) + HELPER_HOST_NAME_MAX < HELPER_GATE_CHUNK,
               "what the helper reads early must not use up the first skb");
_Static_assert(HELPER_GATE_CHUNK + 1024 < 4096,
               "one chunk must fit a 4 KiB allocation and be let in");

/* The answer to HELPER_REQUEST_ADDRESS and HELPER_REQUEST_NAME; `name_len` bytes of name follow. */
struct helper_name_answer {
    uint32_t magic;
    uint16_t version;
    uint16_t name_len; /* 0 unless err is 0 */
    int32_t err;       /* 0, or an errno, see below */
    uint32_t reserved; /* zero */
    struct endpoint address;
};

_Static_assert(sizeof(struct helper_name_answer) == 40, "wire layout of the answer");

/* Values of `err`: ENOENT (no route has this name, or the address stands for nothing), EACCES (the
 * user may not use the helper), ENOSPC (the range is used up), EDQUOT (this user has too many
 * names), EIO (the helper cannot store what it would have to remember), EAGAIN (the helper is
 * draining; the next one will answer). */

/* Checks an answer of `len` bytes in total, and copies its name with a terminator. False if it is
 * malformed, or if err is 0 and it lacks an address or a valid name. Pure. */
bool helper_name_answer_check(const void *bytes, size_t len, struct helper_name_answer *answer,
                              char name[HELPER_HOST_NAME_MAX + 1]);

/* Why a request is invalid; helper_request_problem_text gives the reason in words. */
enum helper_request_problem {
    HELPER_REQUEST_OK = 0,
    HELPER_REQUEST_SHORT,       /* fewer bytes than a header */
    HELPER_REQUEST_NOT_OURS,    /* wrong magic */
    HELPER_REQUEST_VERSION,     /* another version or size: answer EPROTO */
    HELPER_REQUEST_KIND,        /* unknown kind */
    HELPER_REQUEST_FAMILY,      /* family and addresses do not match */
    HELPER_REQUEST_NAME_LENGTH, /* name_len above HELPER_HOST_NAME_MAX */
    /* a question about a name without one, or about an address with one */
    HELPER_REQUEST_NAME_MISPLACED,
};

/* Checks the first `len` bytes received by the helper. Looks at the header only. Pure. */
enum helper_request_problem helper_request_check(const void *bytes, size_t len);

/* The application's descriptor named by a request; -1 if unknown or invalid. Pure. */
int helper_request_fd(const struct helper_request *req);

/* The local address of an outcome, derived from what the target sees (`seen`). A bound address or
 * port of the request overrides it, each independently, because a program may bind only one of
 * them. Pure. */
struct endpoint helper_request_local(const struct helper_request *req, const struct endpoint *seen);

/* A static English phrase, such as "control version is not 1". */
const char *helper_request_problem_text(enum helper_request_problem problem);

/* Whether this is a valid host name for a request: 1 to HELPER_HOST_NAME_MAX bytes of letters,
 * digits, '-', '_', '.' (RFC 1123, section 2.1, plus underscores, which are common in practice).
 * Pure. */
bool helper_host_name_valid(const char *name, size_t len);

/* The outcome of a connect, as encoded in the name of the application's end. */
struct helper_outcome {
    uint64_t id;
    int err; /* 0: connected; else the errno */
    struct endpoint dest;
    struct endpoint local; /* same family as dest; any:0 if unknown */
};

/* Writes the abstract name for `outcome` and returns its length for bind(2). `local` is converted
 * to dest's family (endpoint_as_family). Never fails: err is cut to 0..65535. */
socklen_t helper_outcome_pack(const struct helper_outcome *outcome, struct sockaddr_un *name);

/* Reads a name returned by getsockname(2). Returns false and leaves *outcome alone if it is not an
 * outcome. */
bool helper_outcome_unpack(struct helper_outcome *outcome, const struct sockaddr_un *name,
                           socklen_t len);

/* Whether this name, returned by getpeername(2), is that of a helper's listening socket. Pure. */
bool helper_name_is_valid(const struct sockaddr_un *name, socklen_t len);

/* Fill in the address of the helper's sockets and return its length. For helper_path_name, `path`
 * must end in "/smuxshim-helper.sock" and fit sun_path; otherwise it returns 0.
 * helper_abstract_name makes a name from any path. */
socklen_t helper_path_name(struct sockaddr_un *name, const char *path);
socklen_t helper_abstract_name(struct sockaddr_un *name, const char *path);

/* How these functions, and those of config.h, look variables up: getenv, unless the library has
 * replaced it to use its own copy of the environment. */
extern const char *(*shim_getenv)(const char *name);

#define HELPER_SOCKET_FILE     "smuxshim-helper.sock"
#define HELPER_ABSTRACT_PREFIX "smuxshim-helper/"

#endif
