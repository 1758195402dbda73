/* SPDX-License-Identifier: MIT */
/*
 * admin.h - the control socket, for smuxctl: one JSON object per line, a request and its answer.
 *
 *     {"command": "status" | "names" | "reload" | "drain" | "upgrade" | "stop"}
 *     {"command": "routes", "host": HOST, "port": PORT}     both optional
 *     {"command": "connect", "host": HOST, "port": PORT}
 *     {"command": "probe", "gateway": NAME}      does it answer, and how fast
 *     {"command": "events"}                      one line for each event from now on
 *
 * Every answer has "ok": true, or false with "error": TEXT (and "errno" and "reason" for connect).
 * The answer to a successful connect carries the application's end of a socketpair as SCM_RIGHTS;
 * that to events has no end (admin_events.c). It is a
 * separate socket from that of the shim, with mode 0600; only the helper's own user and root are
 * served.
 */
#ifndef HELPER_CLIENT_ADMIN_H
#define HELPER_CLIENT_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

struct helper;
struct admin;

/* Writes the control socket's path, next to the helper's socket `path`. False if it does not fit.
 * */
bool admin_path(char *out, size_t size, const char *path);

/* Listens next to the helper's socket `path`. NULL after logging what failed. */
struct admin *admin_new(struct helper *helper, const char *path);
/* Releases the abstract name, so that another helper can start. (That one replaces the path by
 * itself.) */
void admin_give_way(struct admin *control);
/* Closes listener and clients. NULL is fine. */
void admin_free(struct admin *control);

#define ADMIN_SOCKET_FILE "smuxshim-control.sock"
/* The longest request. A longer one is answered with an error, and the connection is closed. */
#define ADMIN_LINE_MAX 4096

#endif
