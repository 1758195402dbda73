/* SPDX-License-Identifier: MIT */
/*
 * access_record.h - what the access log will say of one stream, gathered while it lives.
 */
#ifndef HELPER_GATEWAY_ACCESS_RECORD_H
#define HELPER_GATEWAY_ACCESS_RECORD_H

#include "helper/gateway/gateway_session.h"
#include "helper/net/dial.h"
#include "helper/relay/relay.h"

struct access_record;

/* NULL if there is no access log, or no memory (then a line is lost). All functions below take NULL
 * for none. */
struct access_record *access_record_begin(uint32_t stream, uint64_t now_us);

/* Where to, as the client has said. */
void access_record_destination(struct access_record *record, const char *text);
/* What is dialled first. */
void access_record_dialled(struct access_record *record, const struct dial_address *address);
/* The outcome: the socket is connected, or nothing has come of it. Of several the first counts. */
void access_record_connected(struct access_record *record, int fd);
void access_record_failed(struct access_record *record, const char *outcome, const char *why);

/* The relay has ended: writes the line, and frees the record. */
void access_record_end(struct access_record *record, const struct gateway_session *session,
                       const struct relay *relay, enum relay_reason reason, int error);

#endif
