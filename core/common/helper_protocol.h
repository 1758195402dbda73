/* SPDX-License-Identifier: MIT */
/*
 * helper_protocol.h - what the shim and the helper say to each other, and in which order.
 *
 * A is the application's end of a connection, B the helper's. Both are AF_UNIX SOCK_STREAM
 * sockets of one pair: A was connected to the helper's listening socket, accept(2) gave B. There
 * is no other channel. Requests travel from A to B once, as the first bytes; outcomes travel
 * back as the name of A, so that whoever holds A can read them, in any process, at any later
 * time. Numbers are in host byte order: both ends run on the same kernel.
 *
 * ## Opening a connection, step by step
 *
 *  shim    1. A = socket(AF_UNIX, SOCK_STREAM); SO_SNDBUF = HELPER_GATE_SNDBUF.
 *          2. connect(A) to the helper's path, or its abstract name (a chroot hides the path).
 *          3. One sendmsg: struct helper_request, the host name, and padding up to HELPER_GATE_LEN
 *             bytes in total, with SCM_RIGHTS holding exactly one descriptor: A itself.
 *          4. dup3(A) over the application's descriptor, close(A). The swap. From here on the
 *             application owns the connection, and the shim keeps nothing.
 *
 *          HELPER_GATE_LEN bytes are exactly two skbs, and two skbs always exceed
 *          HELPER_GATE_SNDBUF (see the asserts below), so A is unwritable as soon as step 3
 *          returns: poll does not give POLLOUT, write gives EAGAIN. This is the gate, and TCP's
 *          SYN_SENT.
 *
 *  helper  5. accept gives B. SO_PEERCRED of B says who asks. recvmsg(B) of exactly
 *             sizeof(struct helper_request) bytes, MSG_CMSG_CLOEXEC; check it with
 *             helper_request_check; then read name_len more bytes. THE REST OF THE GATE STAYS
 *             UNREAD until step 8: reading part of an skb does not free it, but reading all of it
 *             would open the gate early.
 *          6. The received descriptor must be one, AF_UNIX, SOCK_STREAM, unnamed. After the bind of
 *             step 8, getpeername(B) must give the name just bound: only then was it A.
 *          7. Find the route, open the stream, learn the outcome (route `connect = eager`:
 *          success). 8. Give the outcome, in this order:
 *             a. Wait until the whole gate has arrived: SIOCINQ(B) is at least HELPER_GATE_LEN -
 *                sizeof(struct helper_request) - name_len. (The two skbs are not queued atomically;
 *                the second one is an ordinary EPOLLIN edge.) Nothing may be drained before.
 *             b. bind(A) to helper_outcome_pack()'s name. EADDRINUSE: another random id, again.
 *             c. Success: read the gate except its LAST byte; then SO_SNDBUF of A =
 *                helper_request.sndbuf, at least HELPER_OPEN_SNDBUF (the kernel doubles it). This
 *                is what makes A writable: one wake-up, one EPOLLET edge. (The other way round
 *                there are two, and a blocking connect returns before the second.) Read SO_LINGER
 *                of A, which the application may have changed since its request. Close the copy of
 *                A. SO_SNDBUF waits for A's lock, which its user can hold for as long as he likes:
 *                a thread sets it for other users than the helper's own and root.
 *                Failure: close the copy of A, then close B with the gate unread: A gets
 *                POLLERR|POLLHUP|POLLIN|POLLOUT and a pending ECONNRESET, which the shim turns
 *                into the errno of the name.
 *
 *  shim    9. A blocking connect waits in send(fd, <unreadable page>, 1, 0): the kernel waits
 * for
 *             send buffer space first and copies second, so this sleeps as TCP's connect sleeps
 *             (SA_RESTART, SO_SNDTIMEO, cancellation), sends nothing and ends with EFAULT.
 *
 * What anybody who holds a descriptor can therefore conclude (state.h does):
 *     own name is an outcome                           -> ours; connected, or failed with its errno
 *     own name unset, peer's name is a helper's        -> ours; connecting ...
 *     ... and POLLHUP                                  -> ... or rather failed, ECONNREFUSED
 *
 * ## Who closes what The shim's temporary descriptor lives only between steps 1 and 4. The
 * helper's copy of A lives only from step 5 to step 8c: as long as it is open B cannot see the
 * application's close: the helper looks every quarter of a second whether any process still has A
 * open (holders.h), and the route's connect-timeout bounds it. B is the helper's alone. HUP on B
 * before step 8 is the application's shutdown or disconnect: the outcome is ECONNRESET.
 *
 * ## The residue After step 8c one byte of the gate stays unread in B. The helper forwards new
 * data but leaves at least its last byte unread in its place: small messages are peeked, behind
 * what is unread (SO_PEEK_OFF), and consumed a few at a time, or when nothing more comes (what is
 * unread is charged to the application's send buffer: helper/relay/relay_end.c). A close of B, for
 * whatever reason, is then ECONNRESET for the application, after the data already delivered.
 *     remote end of file   shutdown(B, SHUT_WR), drain the residue at once, drain fully from now on
 *     HUP on B             the application closed, or SHUT_RDWR: drain, then close
 *     EPIPE, no HUP        the application's SHUT_RD: discard inbound, keep the stream
 *     ECONNRESET on B      the application closed with data unread: reset the stream
 * Urgent data (MSG_OOB): the shim sends the urgent byte alone, with some descriptor attached to it
 * by SCM_RIGHTS; that is the mark. The kernel ends a read behind such a byte, so the reader knows
 * which it was. The helper writes what is urgent with MSG_OOB to B: the application sees the
 * kernel's own.
 *
 * SO_OOBINLINE on B, MSG_DONTWAIT on every call. The residue of a large skb pins that skb on A's
 * send buffer, hence HELPER_OPEN_SNDBUF.
 *
 * ## Failures, and what the application sees
 *     no helper (ENOENT, ECONNREFUSED at step 2)   ENETUNREACH, or a direct connect (on-failure)
 *     helper's socket not permitted                EACCES
 *     helper refuses by rule (route)               outcome EACCES; the reason in the helper's log
 *     user not admitted                            refusal EACCES (below)
 *     too many incomplete requests of the user     refusal EAGAIN
 *     other control version                        outcome EPROTO for 0.0.0.0:0, with the helper's
 *                                                  version as local port; one line of each side
 *                                                  names both
 *     malformed request, no or wrong descriptor    B closed without a name: ECONNREFUSED
 *     helper out of descriptors                    accepted with its reserve and closed:
 *     ECONNREFUSED helper dies while connecting                 ECONNREFUSED (own name unset,
 *     POLLHUP) helper dies later                            ECONNRESET (the residue)
 *     route's connect-timeout                      outcome ETIMEDOUT
 *     helper stopped, backlog full (EAGAIN)        non-blocking: EAGAIN; blocking: retried,
 *     ETIMEDOUT
 * A connection that is closed before any byte arrives is a probe ("does somebody listen?"), as
 * the launcher makes; the helper drops it in silence.
 *
 * ## Refusals
 * Who is not admitted (SO_PEERCRED, at accept) gets nothing read: descriptors may hide in a
 * request whose closing blocks, and closing what was received is the helper's. B sends one urgent
 * byte (MSG_OOB), which is the errno, and is closed, with whatever lies unread in it, where that
 * may block. An ordinary receive does not get the byte (it drops it); the shim looks at it
 * (MSG_PEEK) where A has hung up without a name. After such a receive, and on kernels without
 * urgent data for AF_UNIX, a refusal is ECONNREFUSED. The abstract name is there for every helper:
 * its own user's programs in a chroot, and whoever looks for a helper whose socket's file is gone,
 * find it there. Anybody may connect to it, as to a path with a mode for others, and admission at
 * accept is what keeps him out.
 *
 * ## Notices A request of kind HELPER_NOTICE_LINGER says that the connection `id` (the id of A's
 * outcome name) got SO_LINGER {on, 0} (flag HELPER_LINGER_RESET) or lost it: its close is to be a
 * RESET of the stream. It is exactly sizeof(struct helper_request) bytes, without a descriptor, on
 * a connection of its own; the helper applies it if SO_PEERCRED's uid is that of the stream's
 * owner (or 0) and then closes, which is the answer: the shim waits for it up to
 * HELPER_NOTICE_WAIT_MS, so that the close that follows cannot overtake it. A lingering set before
 * the outcome was given is not told: the helper reads it from A (step 8c), after the name is bound.
 * The flag of a request says what it was when connect was called.
 *
 * ## Names A request of kind HELPER_REQUEST_ADDRESS asks for the address that stands for a host
 * name (`name_len` bytes after the header; `dest.family` says of which family), HELPER_REQUEST_NAME
 * for the name behind the address `dest`. Neither brings a descriptor or padding. The helper
 * answers with struct helper_name_answer and, after it, the name; then it closes. What an address
 * stands for never changes, as long as the helper's runtime folder exists. A connect to such an
 * address need not name the host: the helper puts the name in the address's place, and one that
 * stands for nothing is EHOSTUNREACH. The shim waits HELPER_NAME_WAIT_MS for an answer: getaddrinfo
 * may block.
 *
 * ## Where the helper is One rule for all, and one look-up: helper_place.h. The last component of
 * the path is always smuxshim-helper.sock. The abstract name is derived from the path
 * (helper_abstract_name). Anyone may bind an abstract name, so a client that used it must check
 * SO_PEERCRED: uid 0 or its own.
 *
 * ## How the launcher starts a helper It runs `smux-helper --on-demand -c FILE` (FILE: the
 * configuration that was named to it) or, without a file, `smux-helper --on-demand` with
 * SMUXSHIM_ROUTES and SMUXSHIM_GATEWAY in the environment. SMUXSHIM_SOCKET is always set to the
 * path the launcher will wait for; LD_PRELOAD is removed and SMUXSHIM_DISABLE=1 set, so that the
 * helper's own connections are never routed. It runs in a new session (setsid) with stdin and
 * stdout on /dev/null; what it says on stderr until it detaches is shown if it fails. The helper
 * must exit non-zero when it cannot start (another instance already running and answering counts as
 * success: exit 0), and after the daemonizing fork its parent exits 0 only when the socket
 * accepts connections and stderr of the child is detached.
 *
 * ## How the library starts a helper Where nothing answers at step 2 and the configuration says
 * autostart = yes, the library runs `smux-helper --on-demand`, with what it captured of the
 * environment (environment.h), SMUXSHIM_SOCKET and SMUXSHIM_DISABLE=1, as a process that the
 * program cannot see (autostart.h). The same rules hold; the end of stderr tells that it has
 * detached or failed. The launcher exports SMUXSHIM_CONFIG or SMUXSHIM_GATEWAY for this case.
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
#ifndef HELPER_PROTOCOL_VERSION           /* tests build a library of another version */
#define HELPER_PROTOCOL_VERSION 1
#endif

/* What the gate is made of. The kernel cuts a stream write into skbs of at most sk_sndbuf / 2 - 64
 * bytes, and charges each with its bytes plus its own structures (never less than 300, on no kernel
 * more than the size rounded to a power of two plus 1 KiB). So two chunks of HELPER_GATE_CHUNK are
 * let in, and afterwards the charge exceeds the limit. */
#define HELPER_GATE_SNDBUF 3000 /* the setsockopt value; the kernel doubles it */
#define HELPER_GATE_CHUNK  (HELPER_GATE_SNDBUF - 64)
#define HELPER_GATE_LEN    (2 * HELPER_GATE_CHUNK)

/* The least SO_SNDBUF (setsockopt value) of an open connection: four times the largest skb of a
 * stream socket, so that a pinned one does not keep a writer asleep. */
#define HELPER_OPEN_SNDBUF 212992

#define HELPER_NOTICE_WAIT_MS 1000
#define HELPER_NAME_WAIT_MS   5000
#define HELPER_HOST_NAME_MAX  255 /* bytes, without terminator (RFC 1035, section 2.3.4) */
#define HELPER_ID_TEXT_LEN    16

enum helper_request_kind {
    HELPER_REQUEST_CONNECT = 1,
    HELPER_NOTICE_LINGER = 2,
    HELPER_REQUEST_ADDRESS = 3, /* which address stands for this name? */
    HELPER_REQUEST_NAME = 4,    /* which name is behind this address? */
};

enum helper_request_flag {
    HELPER_LOCAL_BOUND =
        1 << 0, /* `local` was bound explicitly and wins over what the target sees */
    HELPER_LINGER_RESET = 1 << 1, /* SO_LINGER {on, 0}: close is a reset */
};

/* The first bytes on A. `magic`, `version` and `size` stay where they are in every version, so that
 * sides of different age can tell each other so. The host name follows, `name_len` bytes, without a
 * terminator; then, for HELPER_REQUEST_CONNECT, zeros up to HELPER_GATE_LEN. */
struct helper_request {
    uint32_t magic;
    uint16_t version;
    uint16_t size; /* sizeof(struct helper_request) of the sender */
    uint64_t id;   /* random; the helper may replace it if its name is taken */
    uint16_t kind; /* enum helper_request_kind */
    uint16_t flags;
    uint16_t family;   /* of the application's socket: outcome addresses are shown in it */
    uint16_t name_len; /* 0: no host name known */
    uint32_t sndbuf;   /* SO_SNDBUF as setsockopt value, 0: the application set none */
    uint32_t fd;       /* 1 + the application's descriptor, 0 if unknown: where the helper looks
                          whether it is still open */
    struct endpoint dest;
    struct endpoint local; /* family 0 unless HELPER_LOCAL_BOUND */
};

_Static_assert(sizeof(struct helper_request) == 80, "wire layout of the request");
_Static_assert(offsetof(struct helper_request, id) == 8, "wire layout of the request");
_Static_assert(offsetof(struct helper_request, dest) == 32, "wire layout of the request");
_Static_assert(sizeof(struct helper_request) + HELPER_HOST_NAME_MAX < HELPER_GATE_CHUNK,
               "what the helper reads early must leave the first skb alive");
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

/* What `err` says: ENOENT (no route has this name, or the address stands for nothing), EACCES (the
 * user may not use the helper), ENOSPC (the range is used up), EDQUOT (this user has too many
 * names), EIO (the helper cannot store what it would have to remember), EAGAIN (it drains; the
 * next helper will answer). */

/* Checks an answer of `len` bytes in total, and copies its name with a terminator. False if it is
 * not one, or does not answer with an address or a valid name where err is 0. Pure. */
bool helper_name_answer_check(const void *bytes, size_t len, struct helper_name_answer *answer,
                              char name[HELPER_HOST_NAME_MAX + 1]);

/* Why a request is no good; HELPER_REQUEST_OK is 0. helper_request_problem_text says it in words.
 * */
enum helper_request_problem {
    HELPER_REQUEST_OK = 0,
    HELPER_REQUEST_SHORT,       /* fewer bytes than a header */
    HELPER_REQUEST_NOT_OURS,    /* wrong magic */
    HELPER_REQUEST_VERSION,     /* another version or size: answer EPROTO */
    HELPER_REQUEST_KIND,        /* unknown kind */
    HELPER_REQUEST_FAMILY,      /* family or addresses do not fit together */
    HELPER_REQUEST_NAME_LENGTH, /* name_len above HELPER_HOST_NAME_MAX */
    /* a question about a name without one, or about an address with one */
    HELPER_REQUEST_NAME_MISPLACED,
};

/* Checks the first `len` bytes received on B. Looks at no more than the header. Pure. */
enum helper_request_problem helper_request_check(const void *bytes, size_t len);

/* The application's descriptor that a request names; -1 if unknown, or if it is none. Pure. */
int helper_request_fd(const struct helper_request *req);

/* The local address of an outcome, from what the target sees (`seen`): a bound address or port of
 * the request wins, each for itself, because a program may bind only one of them. Pure. */
struct endpoint helper_request_local(const struct helper_request *req, const struct endpoint *seen);

/* A static English phrase, such as "control version is not 1". */
const char *helper_request_problem_text(enum helper_request_problem problem);

/* A host name as it came in a request: 1 to HELPER_HOST_NAME_MAX bytes of letters, digits, '-',
 * '_', '.' (RFC 1123, section 2.1, and underscores as they are found in the wild). Pure. */
bool helper_host_name_valid(const char *name, size_t len);

/* The outcome of a connect, as A's name says it. */
struct helper_outcome {
    uint64_t id;
    int err; /* 0: connected; else the errno */
    struct endpoint dest;
    struct endpoint local; /* same family as dest; any:0 if unknown */
};

/* Writes the abstract name for `outcome` and returns its length for bind(2). `local` is converted
 * to dest's family (endpoint_as_family). Never fails: err is cut to 0..65535. */
socklen_t helper_outcome_pack(const struct helper_outcome *outcome, struct sockaddr_un *name);

/* Reads a name as getsockname(2) gave it. Returns false, *outcome untouched, if it is not one. */
bool helper_outcome_unpack(struct helper_outcome *outcome, const struct sockaddr_un *name,
                           socklen_t len);

/* Is this name, as getpeername(2) gave it, that of a helper's listening socket? Pure. */
bool helper_name_is_valid(const struct sockaddr_un *name, socklen_t len);

/* Fill the address of the helper's sockets. For helper_path_name `path` must end in
 * "/smuxshim-helper.sock" and fit sun_path: it returns 0 if not, else the address length.
 * helper_abstract_name makes a name of any path. */
socklen_t helper_path_name(struct sockaddr_un *name, const char *path);
socklen_t helper_abstract_name(struct sockaddr_un *name, const char *path);

/* Where these functions, and those of config.h, look variables up: getenv, unless the library has
 * put its copy of the environment in its place. */
extern const char *(*shim_getenv)(const char *name);

#define HELPER_SOCKET_FILE     "smuxshim-helper.sock"
#define HELPER_ABSTRACT_PREFIX "smuxshim-helper/"

#endif
