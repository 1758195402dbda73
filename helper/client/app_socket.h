/* SPDX-License-Identifier: MIT */
/*
 * app_socket.h - questions to A, the application's socket, that never wait.
 *
 * Whoever has A can hold its lock for as long as he likes, and what is passed as A may be any file.
 * Here is what the kernel answers without the lock, and without a look into the file. What needs
 * the lock is the closer's (stranger_set_sndbuf), but for the helper's own user and root.
 */
#ifndef HELPER_CLIENT_APP_SOCKET_H
#define HELPER_CLIENT_APP_SOCKET_H

#include <stdbool.h>

bool app_socket_is_unix_stream(int fd);

/* Is the application's close to be a reset? It may have said so while it was connecting, and then
 * sent no notice: whoever sets SO_LINGER before the outcome's name is bound leaves it to this look.
 * */
bool app_socket_resets(int fd);

#endif
