/* SPDX-License-Identifier: MIT */
/* access_record.c - see access_record.h. */
#include "helper/gateway/access_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/gateway/access_log.h"

struct access_record {
    uint64_t begin_us;
    uint32_t stream;
    char *destination; /* NULL: never said */
    struct endpoint dialled;
    const char *outcome; /* NULL: none yet */
    char why[100];       /* nothing has come of it */
};

struct access_record *access_record_begin(uint32_t stream, uint64_t now_us) {
    if (!access_log_is_open())
        return NULL;
    struct access_record *record = calloc(1, sizeof *record);
    if (!record) {
        access_log_lose();
        return NULL;
    }
    record->stream = stream;
    record->begin_us = now_us;
    return record;
}

void access_record_destination(struct access_record *record, const char *text) {
    if (record)
        record->destination = strdup(text);
}

void access_record_dialled(struct access_record *record, const struct dial_address *address) {
    if (record)
        endpoint_from_sockaddr(&record->dialled, (const struct sockaddr *)&address->addr,
                               address->len);
}

void access_record_connected(struct access_record *record, int fd) {
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (!record || record->outcome)
        return;
    record->outcome = "connected";
    if (getpeername(fd, (struct sockaddr *)&addr, &len) == 0)
        endpoint_from_sockaddr(&record->dialled, (struct sockaddr *)&addr, len);
}

void access_record_failed(struct access_record *record, const char *outcome, const char *why) {
    if (!record || record->outcome)
        return;
    record->outcome = outcome;
    snprintf(record->why, sizeof record->why, "%s", why);
}

static const char *reason_text(enum relay_reason reason, int error) {
    switch (reason) {
    case RELAY_DONE:
        return "closed";
    case RELAY_STREAM_RESET:
        return error == SMUX_ERR_PEER_RESET ? "reset by the client" : smux_strerror(error);
    case RELAY_SOCKET_RESET:
        return error == -ECONNRESET ? "reset by the target" : strerror(-error);
    case RELAY_GIVEN_UP:
        break;
    }
    return strerror(-error);
}

void access_record_end(struct access_record *record, const struct gateway_session *session,
                       const struct relay *relay, enum relay_reason reason, int error) {
    const struct carrier *carrier = session->pump->carrier;
    if (!record)
        return;
    const struct access_entry entry = {
        .client = session->client ? session->client->name : NULL,
        .identity = carrier_identity(carrier),
        .source = carrier->peer,
        .stream = record->stream,
        .destination = record->destination,
        .dialled = &record->dialled,
        .outcome = record->outcome ? record->outcome : "abandoned",
        .reason = record->why[0] ? record->why : reason_text(reason, error),
        .bytes_to_target = relay->to_socket,
        .bytes_from_target = relay->from_socket,
        .duration_us = loop_now_us(relay->reactor->loop) - record->begin_us};
    access_log_add(&entry);
    free(record->destination);
    free(record);
}
