/*
 * local_request.h - one accepted connection of the shim: request, gate, outcome, relay.
 */
#ifndef HELPER_LOCAL_REQUEST_H
#define HELPER_LOCAL_REQUEST_H

#include <stdbool.h>
#include <sys/socket.h>

struct helper;

/* Serves B = fd, of which it takes over the ownership. A peer that is not `allowed` is told so with
 * EACCES. False if memory is short; the fd then stays the caller's. */
bool local_request_new(struct helper *helper, int fd, const struct ucred *cred, bool allowed);

#endif
