/* SPDX-License-Identifier: MIT */
/*
 * linger_close.h - closes a TCP connection whose peer has yet to read the last bytes.
 *
 * A kernel that gets bytes for a closed socket answers with a reset, which takes away what the peer
 * has not read yet. So the sending side is shut, and what still arrives is dropped until the peer
 * closes as well, for at most LINGER_CLOSE_US.
 */
#ifndef HELPER_NET_LINGER_CLOSE_H
#define HELPER_NET_LINGER_CLOSE_H

#include "helper/net/loop.h"

#define LINGER_CLOSE_US 2000000u

/* More of them in one process, or more bytes of one: closed at once. */
#define LINGER_CLOSE_MAX   256
#define LINGER_CLOSE_BYTES (64u * 1024u)

/* Takes over `fd`, which is non-blocking and in no watch. */
void linger_close(struct loop *loop, int fd);

/* Closes all at once, before the loop is freed. */
void linger_close_all(void);

#endif
