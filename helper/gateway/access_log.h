/* SPDX-License-Identifier: MIT */
/*
 * access_log.h - a line of JSON for each connection that a client has asked for.
 *
 * Lines are gathered, and written together after a moment: one write, of whole lines, to a file
 * that is opened for appending, so that several processes can share it. What cannot be written is
 * kept for later as far as there is room for it; what there is no room for is lost and counted, and
 * the log says so, once a minute and when writing works again. Nothing here waits for a reader.
 *
 * The access log is the process's, as the log is (log.h). errno survives every call.
 */
#ifndef HELPER_GATEWAY_ACCESS_LOG_H
#define HELPER_GATEWAY_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/common/endpoint.h"
#include "helper/net/loop.h"

/* Texts may hold anything. */
struct access_entry {
    const char *client;   /* NULL: none in particular */
    const char *identity; /* that it has proved; empty: none */
    const char *source;   /* of the carrier; up to the first blank */
    uint32_t stream;
    const char *destination;        /* as asked for; NULL: never said */
    const struct endpoint *dialled; /* family 0: nothing was */
    const char *outcome;            /* a word */
    const char *reason;             /* of the end */
    uint64_t bytes_to_target, bytes_from_target;
    uint64_t duration_us;
};

/* `target` is the path of a file, opened for appending, or "syslog"; empty: no access log. To be
 * called once. 0 or a negative errno. */
int access_log_open(const char *ident, const char *target);
/* Is there one? */
bool access_log_is_open(void);
/* Lines are written from now on, by timers of this loop. 0 or a negative errno. */
int access_log_start(struct loop *loop);
/* Opens the file again, after it has been rotated away; what is gathered goes to the old one. */
void access_log_reopen(void);
/* Writes what is gathered, and stops. */
void access_log_stop(void);

void access_log_add(const struct access_entry *entry);
/* A line is lost: there was no memory to make it. */
void access_log_lose(void);

/* How many lines were lost since the start. */
uint64_t access_log_lost(void);

/* Lines wait for so long, */
#define ACCESS_LOG_PAUSE_US 100000u
/* or so much longer if they could not be written; the least time between complaints. */
#define ACCESS_LOG_RETRY_US 1000000u
#define ACCESS_LOG_TELL_US  60000000u
/* What is gathered at most, and from what on it is written at once. */
#define ACCESS_LOG_ROOM     (256u * 1024u)
#define ACCESS_LOG_BATCH    (64u * 1024u)
#define ACCESS_LOG_LINE_MAX 4096u

#endif
