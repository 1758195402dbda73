/*
 * admission.h - who may use the helper.
 */
#ifndef HELPER_ADMISSION_H
#define HELPER_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/config.h"

/* The file mode for the path socket: with users or groups allowed by name the path must let them in,
 * and SO_PEERCRED decides. */
uint32_t admission_socket_mode(const struct config_helper *config);

/* True if the process at the other end of `fd`, with these credentials, may use the helper: the helper's own
 * user, root, `allow-users`, `allow-groups` (primary or supplementary), and whom `socket-mode` lets
 * in beyond the owner. */
bool admission_check(const struct config_helper *config, int fd, const struct ucred *cred);

/* Checks that every name in allow-users and allow-groups exists. NULL, or a static text; the name is
 * copied to `bad`. */
const char *admission_verify(const struct config_helper *config, char *bad, size_t size);

#endif
