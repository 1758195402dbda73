/* SPDX-License-Identifier: MIT */
/* gateway_place.c - see gateway_place.h. */
#include "helper/gateway/gateway_place.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "helper/net/log.h"

/* ---- Sources ---- */

struct gateway_source gateway_source_of(const struct carrier_peer *peer) {
    struct gateway_source source = {.kind = GATEWAY_SOURCE_USER, .since_us = peer->since_us};
    struct endpoint address;
    endpoint_from_sockaddr(&address, (const struct sockaddr *)&peer->addr, sizeof peer->addr);
    source.address = endpoint_unmapped(&address);
    if (source.address.family == AF_INET6) {
        source.kind = GATEWAY_SOURCE_V6;
        memcpy(source.id, source.address.addr, sizeof source.id);
    } else if (source.address.family == AF_INET) {
        source.kind = GATEWAY_SOURCE_V4;
        memcpy(source.id, source.address.addr, 4);
    } else {
        memcpy(source.id, &peer->uid, sizeof peer->uid);
    }
    return source;
}

static bool same_source(const struct gateway_source *a, const struct gateway_source *b) {
    return a->kind == b->kind && memcmp(a->id, b->id, sizeof a->id) == 0;
}

/* ---- Who gives way ---- */

/* How much a session has earned: one with less gives way first. */
enum merit { MERIT_SILENT, MERIT_NO_STREAM, MERIT_IDLE, MERIT_BUSY };

static enum merit merit_of(const struct gateway_session *session, bool *extensions) {
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    *extensions = info.peer_extensions;
    if (info.frames_in == 0)
        return MERIT_SILENT;
    if (info.accepted == 0)
        return MERIT_NO_STREAM;
    return info.streams == 0 ? MERIT_IDLE : MERIT_BUSY;
}

/* The one that has earned least, and of those the one that has been so for longest. */
struct least {
    struct gateway_session *session;
    enum merit merit;
    bool extensions;
};

static void consider(struct least *least, struct gateway_session *session, enum merit merit,
                     bool extensions) {
    if (merit == MERIT_BUSY)
        return;
    if (least->session && (merit > least->merit ||
                           (merit == least->merit && session->used_us >= least->session->used_us)))
        return;
    *least = (struct least){session, merit, extensions};
}

static struct log_kind dismissed = {.what = "carriers closed to make room for others"};

static void dismiss(struct least *least) {
    struct gateway_session *session = least->session;
    log_few(&dismissed, LOG_INFO, ABOUT(.peer = session->pump->carrier->peer),
            "carrier closed to make room for another: %s",
            least->merit == MERIT_SILENT      ? "it has sent nothing"
            : least->merit == MERIT_NO_STREAM ? "it has opened no stream"
                                              : "its streams have ended");
    gateway_session_dismiss(session, least->merit == MERIT_IDLE && least->extensions);
}

struct places {
    uint32_t all, own, leaving; /* those that leave are in none of the others */
};

static bool has_place(const struct gateway_session *session) {
    return !session->leaving && session->source.kind != GATEWAY_SOURCE_NONE;
}

static struct places count(struct gateway_sessions *sessions, const struct gateway_source *source) {
    struct places places = {0};
    list_for_each(link, &sessions->all) {
        struct gateway_session *s = container_of(link, struct gateway_session, link);
        places.leaving += s->leaving;
        places.all += has_place(s);
        places.own += has_place(s) && same_source(source, &s->source);
    }
    return places;
}

/* `source` NULL: of all. */
static struct least find_least(struct gateway_sessions *sessions,
                               const struct gateway_source *source) {
    struct least least = {0};
    list_for_each(link, &sessions->all) {
        struct gateway_session *s = container_of(link, struct gateway_session, link);
        if (has_place(s) && (!source || same_source(source, &s->source))) {
            bool extensions;
            enum merit merit = merit_of(s, &extensions);
            consider(&least, s, merit, extensions);
        }
    }
    return least;
}

int gateway_place_make(struct gateway_sessions *sessions, const struct gateway_source *source,
                       const char **why) {
    const struct gateway_config *config = sessions->config;
    struct places places = count(sessions, source);
    if (places.own >= config->max_sessions_per_source)
        *why = "too many sessions of one source (max-sessions-per-source)";
    else if (places.all >= config->max_sessions)
        *why = "too many sessions (max-sessions)";
    else
        return 0;
    bool of_source = places.own >= config->max_sessions_per_source;
    struct least least = find_least(sessions, of_source ? source : NULL);
    /* The number of those on their way out is limited, too. */
    if (!least.session || places.leaving > config->max_sessions / 4)
        return -EMFILE;
    dismiss(&least);
    return 0;
}
