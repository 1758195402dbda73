/* SPDX-License-Identifier: MIT */
/*
 * name_stub.h - name servers' answers for trapped programs.
 *
 * A program without libc asks name servers by itself, so no hook of ours sees which name it looks
 * up. The supervisor connects its UDP socket, which was on its way to port 53, to this stub
 * instead. The stub passes queries on to the server that the program has chosen, and answers back,
 * unchanged. From answers to names that a route has it learns which name the addresses belong to
 * (name_cache.h). Where the server knows no such name, or does not answer within
 * NAME_STUB_WAIT_MS, it asks the helper for an address that stands for the name (name_ask.h), as
 * getaddrinfo() does for preloaded programs.
 *
 * Each socket of a program has a conversation of its own: a socket on this machine that is
 * connected to the program's, so that the kernel drops what strangers send, and one that is
 * connected to the server. There are at most NAME_STUB_CONVERSATIONS, of which the one that has
 * been silent longest gives way; each has at most NAME_STUB_QUERIES under way, of which the oldest
 * gives way. A thread serves them.
 *
 * What differs from no stub: the program's getpeername() names the stub's address, which is the
 * server's if that is one of this machine, and else loopback, as getsockname() does; so resolvers
 * that look at where answers come from (c-ares) take none from the stub of a server elsewhere. EDNS
 * is absent from the answers that the stub gives itself; messages that are no queries (UPDATE) are
 * dropped. Queries by TCP, which follow answers that are too large, go to the server directly; so
 * do those of a socket that is never connected. A socket whose conversation gave way gets
 * ECONNREFUSED, or reaches whoever has taken the port since.
 */
#ifndef SHIM_TRAP_NAME_STUB_H
#define SHIM_TRAP_NAME_STUB_H

#include <sys/socket.h>

#define NAME_STUB_CONVERSATIONS 128
#define NAME_STUB_QUERIES       16
#define NAME_STUB_MESSAGE_MAX   4096  /* bytes of a query; longer ones are dropped */
#define NAME_STUB_WAIT_MS       2000  /* for a name of a route; resolvers ask again after 5 s */
#define NAME_STUB_FORGET_MS     30000 /* for any other name, which is then forgotten */
#define NAME_STUB_TTL           5     /* seconds, of the addresses that stand for names */

/*
 * Connects `socket`, a UDP socket of a program (a copy of its descriptor, which stays the
 * caller's), to the stub, which passes its queries on to `server`. The first call starts the
 * thread. Returns 0, or a negative errno, and then the socket is as it was or can be connected
 * anew. One thread at a time may call it.
 */
int name_stub_connect(int socket, const struct sockaddr *server, socklen_t len);

#endif
