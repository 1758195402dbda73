/* SPDX-License-Identifier: MIT */
/*
 * app_socket.h - questions about the application's end that do not block.
 *
 * A user who holds that socket can keep its lock for any time, and the passed descriptor may be any
 * file. The kernel answers these questions without taking the lock and without accessing the file.
 * Calls that need the lock are left to a thread (stranger_set_sndbuf), except for sockets of the
 * helper's own user and root.
 */
#ifndef HELPER_CLIENT_APP_SOCKET_H
#define HELPER_CLIENT_APP_SOCKET_H

#include <stdbool.h>

bool app_socket_is_unix_stream(int fd);

/* Must a close by the application reset the connection? Before the outcome's name is bound, the
 * program sends no notice when it sets SO_LINGER, so the option is read here afterwards. */
bool app_socket_resets(int fd);

#endif
