/* SPDX-License-Identifier: MIT */
/*
 * proxy_acceptor.h - accepts the connections of a listener (proxy_listener.h).
 *
 * Whoever connects by a unix socket is admitted as a program with the shim is (admission.h). So is
 * a program of this machine that connects by loopback, as the kernel says whose it is
 * (peer_user.h), unless a password or `insecure` decides. What is accepted is served by
 * proxy_client.c.
 */
#ifndef HELPER_CLIENT_PROXY_ACCEPTOR_H
#define HELPER_CLIENT_PROXY_ACCEPTOR_H

#include "helper/client/proxy_listener.h"

/* Accepts at the listening socket `fd`, which it takes over, and which is the `index`th address of
 * its section. 0, or a negative errno: `fd` then stays the caller's. */
int proxy_acceptor_start(struct proxy_listener *listener, unsigned index, int fd);

#endif
