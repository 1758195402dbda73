/*
 * local_request.h - one accepted connection of the shim: request, gate, outcome, relay.
 */
#ifndef HELPER_LOCAL_REQUEST_H
#define HELPER_LOCAL_REQUEST_H

#include <stdbool.h>
#include <sys/socket.h>

struct account;
struct helper;

/* Serves B = fd, of which it takes over the ownership, for a user who is admitted; of `account` (NULL for
 * whom nothing limits) as well. False if memory is short; both then stay the caller's. */
bool local_request_new(struct helper *helper, int fd, const struct ucred *cred,
                       struct account *account);

#endif
