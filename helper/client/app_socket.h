/* SPDX-License-Identifier: MIT */
/*
 * app_socket.h - questions about the application's end that never block.
 *
 * Whoever has that socket can hold its lock for as long as he likes, and the descriptor passed may
 * be any file. The kernel answers these questions without the lock, and without a look into the
 * file. What needs the lock is left to a thread (stranger_set_sndbuf), except for the helper's own
 * user and root.
 */
#ifndef HELPER_CLIENT_APP_SOCKET_H
#define HELPER_CLIENT_APP_SOCKET_H

#include <stdbool.h>

bool app_socket_is_unix_stream(int fd);

/* Is the application's close to be a reset? It may have asked for that while it was connecting, and
 * then sends no notice: SO_LINGER that is set before the outcome's name is bound is found here.
 * */
bool app_socket_resets(int fd);

#endif
