/* SPDX-License-Identifier: MIT */
/*
 * helper_socket.h - the connection to the helper, made inside the program without passing its
 * hooks.
 */
#ifndef SHIM_PROCESS_HELPER_SOCKET_H
#define SHIM_PROCESS_HELPER_SOCKET_H

/* Does what helper_place_connect (helper_place.h) does, with calls that are no cancellation points.
 * Returns 0 or an errno. */
int helper_socket_connect(int fd, const char *path);

/* The errno with which the helper has refused this connection without reading its request
 * (core/common/CONTROL.md, "Refusal"); 0 if it has not. 1 system call. */
int helper_socket_refusal(int fd);

#endif
