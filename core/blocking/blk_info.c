/* SPDX-License-Identifier: MIT
 * Queries about sessions and streams, and the texts of errors.
 */
#include "core/blocking/blk.h"

#include <string.h>

/* ---- Errors --------------------------------------------------------------------------------- */

static const struct error_info {
    int error;
    enum smux_tier tier;
    const char *name, *text;
} errors[] = {
#define X(name, value, tier, text) {value, SMUX_TIER_##tier, #name, text},
    SMUXB_ERRORS(X)
#undef X
};

/* NULL: the error is one of the engine's. */
static const struct error_info *find(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == error)
            return &errors[i];
    return NULL;
}

const char *smuxb_strerror(int error) {
    const struct error_info *info = find(error);
    return info ? info->text : smux_strerror(error);
}

const char *smuxb_error_name(int error) {
    const struct error_info *info = find(error);
    return info ? info->name : smux_error_name(error);
}

enum smux_tier smuxb_error_tier(int error) {
    const struct error_info *info = find(error);
    return info ? info->tier : smux_error_tier(error);
}

/* ---- Sessions ------------------------------------------------------------------------------- */

bool smuxb_session_is_closed(const smuxb_session *session) {
    smuxb_session *s = blk_mutable(session);
    blk_lock(s);
    bool closed = blk_session_error(s) != 0;
    blk_unlock(s);
    return closed;
}

int smuxb_session_errno(const smuxb_session *session) {
    smuxb_session *s = blk_mutable(session);
    blk_lock(s);
    int carrier_errno = s->error == SMUX_ERR_CARRIER ? s->carrier_errno : 0;
    blk_unlock(s);
    return carrier_errno;
}

/* The text is written once, before `error` is set. */
const char *smuxb_session_error_text(const smuxb_session *session) {
    smuxb_session *s = blk_mutable(session);
    blk_lock(s);
    const char *text = s->error ? s->error_text : smux_strerror(SMUX_OK);
    blk_unlock(s);
    return text;
}

void smuxb_session_get_info(const smuxb_session *session, smux_session_info *info) {
    smuxb_session *s = blk_mutable(session);
    blk_lock(s);
    smux_session_get_info(s->engine, info);
    blk_unlock(s);
}

uint32_t smuxb_session_num_streams(const smuxb_session *session) {
    smux_session_info info;
    smuxb_session_get_info(session, &info);
    return info.streams;
}

void smuxb_session_goaway(smuxb_session *s) {
    blk_lock(s);
    smux_session_goaway(s->engine);
    blk_flush_gathered(s);
    blk_unlock(s);
}

void smuxb_session_ping(smuxb_session *s) {
    blk_lock(s);
    smux_session_ping(s->engine);
    blk_flush_gathered(s);
    blk_unlock(s);
}

/* ---- Addresses ------------------------------------------------------------------------------ */

static int get_address(const smuxb_session *s, const struct sockaddr_storage *from,
                       socklen_t from_len, struct sockaddr *addr, socklen_t *len) {
    if (s->threaded)
        return SMUXB_ERR_DESCRIPTOR;
    memcpy(addr, from, *len < from_len ? *len : from_len);
    *len = from_len;
    return 0;
}

int smuxb_session_local_addr(const smuxb_session *s, struct sockaddr *addr, socklen_t *len) {
    return get_address(s, &s->local, s->local_len, addr, len);
}

int smuxb_session_remote_addr(const smuxb_session *s, struct sockaddr *addr, socklen_t *len) {
    return get_address(s, &s->remote, s->remote_len, addr, len);
}

/* ---- Streams -------------------------------------------------------------------------------- */

uint32_t smuxb_stream_id(const smuxb_stream *st) {
    return st->id;
}

smuxb_session *smuxb_stream_session(const smuxb_stream *st) {
    return st->session;
}

int smuxb_stream_get_info(const smuxb_stream *st, smux_stream_info *info) {
    smuxb_session *s = st->session;
    blk_lock(s);
    int error = st->engine ? 0 : st->closed ? SMUXB_ERR_STREAM_CLOSED : st->error;
    if (!error)
        smux_stream_get_info(st->engine, info);
    blk_unlock(s);
    return error;
}
