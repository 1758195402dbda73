/* SPDX-License-Identifier: MIT */
/*
 * relay_internal.h - what the files of the relay (relay.h) share. relay.c hears what happens and
 * calls the others; none of them calls it:
 *
 *   relay_out.c      writes to the socket, and reports what became of the bytes
 *   relay_finish.c   decides what the end of a direction, of the stream or of the socket ends
 *   relay_state.c    changes the state
 */
#ifndef HELPER_RELAY_RELAY_INTERNAL_H
#define HELPER_RELAY_RELAY_INTERNAL_H

#include "helper/relay/relay.h"

/* ---- relay_state.c ---- */

/* The one way to change its state; false for a move that is not in the table
 * (helper/net/state_table.h). */
bool relay_move(struct relay *relay, enum relay_state to);

/* ---- relay_out.c ----
 *
 * Both functions return the outcome, and leave it to the caller to act on it:
 *
 *   0                the socket has taken all, or reads nothing any more and all was dropped
 *   -EAGAIN          the rest is kept until the socket takes it
 *   -ENOMEM          there is no memory to keep the rest (some of it may have been kept), or the
 *                    kernel has none to take it
 *   any other        the socket has failed with this negative errno, and the rest was dropped
 *
 * Bytes written or dropped have been consumed from the stream. */

/* Writes bytes of the stream behind those that are kept. The array may be changed. */
int relay_out_write(struct relay *relay, struct iovec *iov, int count, bool urgent);
/* Writes what is kept. */
int relay_out_write_kept(struct relay *relay);

/* Consumes n bytes from the stream, if there still is one. */
void relay_consume(struct relay *relay, size_t n);

/* ---- relay_finish.c ---- */

/* Ends it: everything is closed and released, ops->ended is called. Harmless when it is over. Here
 * and below, `error` is what relay_reason says of it. */
void relay_finish(struct relay *relay, enum relay_reason reason, int error);
/* The socket has no more to give and is closed at once. The stream is reset, and the relay ends,
 * when what came from the socket before is on the carrier. */
void relay_fail_behind_data(struct relay *relay, int error);
/* The socket's end of file: passed on to the stream. May end the relay. */
void relay_socket_ended(struct relay *relay);
/* The application has closed its end, from which all has been read. Ends the relay, or lets it
 * fail. */
void relay_application_gone(struct relay *relay);
/* Nothing is kept for the socket now: passes on the end of the stream if that is known. May end the
 * relay. */
void relay_kept_written(struct relay *relay);

#endif
