/* SPDX-License-Identifier: MIT */
/*
 * relay_internal.h - what relay.c and relay_out.c share. See relay.h.
 */
#ifndef HELPER_RELAY_RELAY_INTERNAL_H
#define HELPER_RELAY_RELAY_INTERNAL_H

#include "helper/relay/relay.h"

/* The one way to change its state; false for a move that is not in the table
 * (helper/net/state_table.h). */
bool relay_move(struct relay *relay, enum relay_state to);

/* Ends it: everything is closed and released, ops->ended is called. Harmless when it is over. */
void relay_finish(struct relay *relay, enum relay_reason reason, int error);
/* Writing to the socket failed; there may be bytes to read before reading fails as well. */
void relay_writing_failed(struct relay *relay, int error);
/* Ends it if both directions have ended. */
void relay_check_done(struct relay *relay);
/* Resets the stream and gives it up; the relay goes on without one, or ends. */
void relay_release_stream(struct relay *relay);
/* The stream's FIN has been passed on. Ends the relay if both directions have ended, or if its peer
 * has closed both. */
void relay_out_ended(struct relay *relay);

/* Frees what is kept for the socket. */
void relay_drop_kept(struct relay *relay);
/* Its session or stream ends: what is kept goes on its own account. False if there is no room for
 * that. */
bool relay_orphan_kept(struct relay *relay);
/* Writes what is kept. False if the socket is still blocked or the relay is over. */
bool relay_write_kept(struct relay *relay);
/* Everything before the stream's FIN has been written: passes it on. */
void relay_pass_fin(struct relay *relay);
/* What was kept has been written: what comes behind it, if that is known. */
void relay_pass_end(struct relay *relay);
/* The socket takes bytes again. */
void relay_socket_writable(struct relay *relay);

#endif
