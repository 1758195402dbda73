/* upstream.c - see upstream.h. */
#include "helper/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "helper/dial.h"
#include "helper/log.h"
#include "helper/session_config.h"

/* While somebody waits, attempts come at least this often. */
#define EAGER_RETRY_MS 500u

enum link_state { LINK_IDLE, LINK_RESOLVING, LINK_DIALLING, LINK_UP, LINK_PAUSE };

static const char *const link_state_names[] = {"idle", "resolving", "connecting", "up",
                                               "reconnecting"};

struct upstream_session;

/* One of the connections kept up. */
struct link {
    struct upstream *upstream;
    uint8_t state;    /* enum link_state */
    uint16_t address; /* index of the one being tried */
    struct resolver_query query;
    struct dial dial;
    struct loop_watch watch;
    struct loop_timer timer; /* pause */
    uint32_t pause_ms;
    uint64_t reconnects;
    struct upstream_session *session; /* LINK_UP */
    char error[200];                  /* of the last attempt or session */
};

/* A session outlives its link's interest in it while it drains. */
struct upstream_session {
    struct upstream *upstream;
    struct link *link; /* NULL: draining */
    struct pump *pump;
    struct upstream_session *next, **at;
    struct loop_garbage garbage;
    time_t since;
};

struct upstream {
    struct reactor *reactor;
    struct resolver *resolver;
    struct config_gateway config;
    struct upstream_session *sessions;
    struct upstream_waiter *first_waiter, *last_waiter;
    uint64_t streams_past, bytes_in_past, bytes_out_past; /* of sessions that ended */
    bool retired;
    struct loop_garbage garbage;
    int link_count;
    struct link links[];
};

static void link_connect(struct link *link);
static void link_failed(struct link *link, const char *why);

/* ---- Waiters, in the order of their coming ---- */

static void waiter_add(struct upstream *upstream, struct upstream_waiter *waiter) {
    waiter->upstream = upstream;
    waiter->next = NULL;
    waiter->prev = upstream->last_waiter;
    if (waiter->prev)
        waiter->prev->next = waiter;
    else
        upstream->first_waiter = waiter;
    upstream->last_waiter = waiter;
}

void upstream_cancel(struct upstream_waiter *waiter) {
    struct upstream *upstream = waiter->upstream;
    if (!upstream)
        return;
    waiter->upstream = NULL;
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        upstream->first_waiter = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        upstream->last_waiter = waiter->prev;
}

static void fail_waiters(struct upstream *upstream, int error, bool impatient_only) {
    struct upstream_waiter *next;
    for (struct upstream_waiter *w = upstream->first_waiter; w; w = next) {
        next = w->next;
        if (impatient_only && !w->impatient)
            continue;
        upstream_cancel(w);
        w->ready(w, error, NULL, NULL);
    }
}

/* ---- Sessions ---- */

static void free_session(struct loop_garbage *garbage) {
    free(container_of(garbage, struct upstream_session, garbage));
}

static void free_upstream(struct loop_garbage *garbage) {
    free(container_of(garbage, struct upstream, garbage));
}

static void free_if_retired(struct upstream *upstream) {
    if (upstream->retired && !upstream->sessions)
        loop_discard(upstream->reactor->loop, &upstream->garbage, free_upstream);
}

/* The session gets no more streams; its link may connect anew. */
static void session_detach(struct upstream_session *session) {
    if (!session->link)
        return;
    session->link->session = NULL;
    session->link->state = LINK_IDLE;
    session->link = NULL;
}

static void on_goaway(struct pump *pump) {
    struct upstream_session *session = pump->user;
    struct link *link = session->link;
    log_info("gateway %s: %s drains", session->upstream->config.name, pump->carrier->peer);
    session_detach(session);
    if (link && !session->upstream->retired)
        link_connect(link);
}

static void on_closed(struct pump *pump, int error, const char *why) {
    struct upstream_session *session = pump->user;
    struct upstream *upstream = session->upstream;
    struct link *link = session->link;
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    upstream->streams_past += info.opened;
    upstream->bytes_in_past += info.bytes_in;
    upstream->bytes_out_past += info.bytes_out;
    *session->at = session->next;
    if (session->next)
        session->next->at = session->at;
    log_at(error == SMUX_ERR_CLOSED ? LOG_INFO : LOG_WARNING,
           "gateway %s: session with %s ended: %s", upstream->config.name, pump->carrier->peer,
           why);
    session_detach(session);
    loop_discard(upstream->reactor->loop, &session->garbage, free_session);
    if (link && !upstream->retired)
        link_failed(link, why);
    free_if_retired(upstream);
}

static const struct pump_ops session_ops = {.goaway = on_goaway, .closed = on_closed};

static struct upstream_session *session_new(struct link *link, struct carrier *carrier) {
    struct upstream *upstream = link->upstream;
    const struct config_gateway *config = &upstream->config;
    struct upstream_session *session = calloc(1, sizeof *session);
    smux_config smux;
    if (!session)
        return NULL;
    session_config_fill(&smux, config->version, config->max_receive_buffer,
                        config->max_stream_buffer, config->max_frame_size,
                        config->keepalive ? config->keepalive_interval_ms : 0,
                        config->keepalive_timeout_ms);
    session->pump = pump_new(upstream->reactor, carrier, SMUX_CLIENT, &smux, &session_ops, session);
    if (!session->pump) {
        free(session);
        return NULL;
    }
    session->upstream = upstream;
    session->link = link;
    session->since = time(NULL);
    session->at = &upstream->sessions;
    session->next = upstream->sessions;
    if (session->next)
        session->next->at = &session->next;
    upstream->sessions = session;
    return session;
}

/* ---- Streams ---- */

static uint32_t load_of(const struct link *link) {
    return pump_streams(link->session->pump);
}

static struct link *least_loaded(struct upstream *upstream) {
    struct link *best = NULL;
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (link->state == LINK_UP && (!best || load_of(link) < load_of(best)))
            best = link;
    }
    return best;
}

static void start_idle_links(struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state == LINK_IDLE)
            link_connect(&upstream->links[i]);
}

static int errno_from_smux(int error) {
    switch (error) {
    case SMUX_ERR_NOMEM:
        return ENOMEM;
    case SMUX_ERR_STREAM_LIMIT:
        return EAGAIN;
    default:
        return ENETUNREACH;
    }
}

/* Opens a stream on a session that still gives any. 0, -EAGAIN if there is none. */
static int open_now(struct upstream *upstream, struct pump **pump, smux_stream **stream) {
    struct link *link;
    while ((link = least_loaded(upstream)) != NULL) {
        *pump = link->session->pump;
        int error = smux_open((*pump)->session, stream);
        if (error == 0) {
            pump_kick(*pump);
            return 0;
        }
        if (error != SMUX_ERR_EXHAUSTED && error != SMUX_ERR_GOAWAY &&
            smux_error_tier(error) != SMUX_TIER_SESSION)
            return -errno_from_smux(error);
        log_info("gateway %s: new session: %s", upstream->config.name, smux_strerror(error));
        session_detach(link->session);
    }
    return -EAGAIN;
}

static bool all_failed(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state != LINK_PAUSE)
            return false;
    return true;
}

static void hurry(struct upstream *upstream);

int upstream_open(struct upstream *upstream, struct upstream_waiter *waiter, struct pump **pump,
                  smux_stream **stream) {
    if (upstream->retired)
        return -ECANCELED;
    int error = open_now(upstream, pump, stream);
    start_idle_links(upstream);
    if (error != -EAGAIN)
        return error;
    hurry(upstream);
    if (waiter->impatient && all_failed(upstream))
        return -ENETUNREACH;
    waiter_add(upstream, waiter);
    return -EAGAIN;
}

static void serve_waiters(struct upstream *upstream) {
    while (upstream->first_waiter) {
        struct upstream_waiter *waiter = upstream->first_waiter;
        struct pump *pump = NULL;
        smux_stream *stream = NULL;
        int error = open_now(upstream, &pump, &stream);
        if (error == -EAGAIN)
            return;
        upstream_cancel(waiter);
        waiter->ready(waiter, -error, pump, stream);
    }
}

/* ---- Links ---- */

/* Somewhere in the upper half of the span, so that many helpers do not come back at once. */
static uint32_t jittered(uint32_t ms) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint32_t)time(NULL);
    return ms / 2 + (ms ? random % (ms / 2 + 1) : 0);
}

static void on_pause_over(struct loop_timer *timer) {
    link_connect(container_of(timer, struct link, timer));
}

static void pause_link(struct link *link, uint32_t ms) {
    struct loop *loop = link->upstream->reactor->loop;
    link->state = LINK_PAUSE;
    loop_timer_set(loop, &link->timer, loop_now_us(loop) + (uint64_t)ms * 1000u, on_pause_over);
}

/* Somebody waits now: long pauses end soon. */
static void hurry(struct upstream *upstream) {
    uint64_t soon_us = loop_now_us(upstream->reactor->loop) + EAGER_RETRY_MS * 1000u;
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (link->state == LINK_PAUSE && link->timer.due_us > soon_us)
            loop_timer_set(upstream->reactor->loop, &link->timer, soon_us, on_pause_over);
    }
}

/* The whole list of addresses has failed, or the session was lost. */
static void link_failed(struct link *link, const char *why) {
    struct upstream *upstream = link->upstream;
    const struct config_gateway *config = &upstream->config;
    snprintf(link->error, sizeof link->error, "%s", why);
    uint32_t ms = link->pause_ms ? link->pause_ms * 2 : config->retry_min_ms;
    if (ms > config->retry_max_ms)
        ms = config->retry_max_ms;
    link->pause_ms = ms;
    if (upstream->first_waiter && ms > EAGER_RETRY_MS)
        ms = EAGER_RETRY_MS;
    link->address = 0;
    pause_link(link, jittered(ms));
    fail_waiters(upstream, ENETUNREACH, true);
}

static void address_failed(struct link *link, const char *why) {
    struct upstream *upstream = link->upstream;
    char url[CONFIG_URL_MAX + 1], text[CONFIG_URL_MAX + 100];
    config_address_text(&upstream->config.address[link->address], url, sizeof url);
    snprintf(text, sizeof text, "%s: %s", url, why);
    /* A gateway that stays away is told once, not at every attempt. */
    bool known = strncmp(link->error, text, sizeof link->error - 1) == 0;
    log_at(known ? LOG_DEBUG : LOG_WARNING, "gateway %s: %s", upstream->config.name, text);
    loop_watch_close(&link->watch);
    link->address++;
    link->state = LINK_IDLE;
    if (link->address < upstream->config.n_addresses)
        link_connect(link);
    else
        link_failed(link, text);
}

static void link_up(struct link *link, int fd) {
    struct upstream *upstream = link->upstream;
    const struct config_address *address = &upstream->config.address[link->address];
    char url[CONFIG_URL_MAX + 1];
    config_address_text(address, url, sizeof url);
    struct carrier *carrier = carrier_new_socket(fd, address->scheme != CONFIG_UNIX, url);
    struct upstream_session *session = carrier ? session_new(link, carrier) : NULL;
    if (!session) {
        if (carrier)
            carrier->ops->free(carrier);
        close(fd);
        address_failed(link, "out of memory");
        return;
    }
    link->session = session;
    link->state = LINK_UP;
    link->pause_ms = 0;
    link->address = 0;
    if (link->error[0])
        link->reconnects++;
    log_info("gateway %s: session with %s begins", upstream->config.name, url);
    serve_waiters(upstream);
}

static void on_link_fd(struct loop_watch *watch, uint32_t events) {
    dial_event(&container_of(watch, struct link, watch)->dial, events);
}

static void on_dialled(struct dial *dial, int error, bool readable) {
    struct link *link = container_of(dial, struct link, dial);
    (void)readable; /* the pump's own registration reports it again */
    if (error)
        address_failed(link, strerror(error));
    else
        link_up(link, loop_watch_release(link->upstream->reactor->loop, &link->watch));
}

static void start_dial(struct link *link) {
    link->state = LINK_DIALLING;
    link->dial.loop = link->upstream->reactor->loop;
    link->dial.watch = &link->watch;
    link->dial.on_fd = on_link_fd;
    link->dial.done = on_dialled;
    dial_start(&link->dial, (uint64_t)link->upstream->config.dial_timeout_ms * 1000u);
}

static void on_resolved(struct resolver_query *query, int error,
                        const struct shim_endpoint *addresses, int count) {
    struct link *link = container_of(query, struct link, query);
    if (error) {
        address_failed(link, error == ETIMEDOUT ? "name server does not answer"
                                                : "name cannot be resolved");
        return;
    }
    link->dial.count = 0;
    for (int i = 0; i < count && i < DIAL_ADDRESSES_MAX; i++) {
        struct dial_address *to = &link->dial.addresses[link->dial.count++];
        to->len = shim_endpoint_to_sockaddr(&addresses[i], &to->addr);
    }
    start_dial(link);
}

static void link_connect(struct link *link) {
    struct upstream *upstream = link->upstream;
    const struct config_address *address = &upstream->config.address[link->address];
    struct dial_address *to = &link->dial.addresses[0];
    loop_timer_clear(upstream->reactor->loop, &link->timer);
    if (upstream->config.n_addresses == 0)
        return; /* LINK_IDLE for good */
    if (address->scheme == CONFIG_TLS) {
        link->state = LINK_DIALLING;
        address_failed(link, "TLS is not supported by this build");
    } else if (carrier_literal(address, &to->addr, &to->len)) {
        link->dial.count = 1;
        start_dial(link);
    } else if (address->scheme == CONFIG_UNIX) {
        address_failed(link, "path is longer than a socket address holds");
    } else {
        link->state = LINK_RESOLVING;
        resolver_start(upstream->resolver, &link->query, address->host, address->port, on_resolved);
    }
}

static void stop_link(struct link *link) {
    loop_timer_clear(link->upstream->reactor->loop, &link->timer);
    resolver_cancel(&link->query);
    dial_cancel(&link->dial);
    loop_watch_close(&link->watch);
    if (link->session)
        session_detach(link->session);
    link->state = LINK_IDLE;
}

/* ---- Life ---- */

struct upstream *upstream_new(struct reactor *reactor, struct resolver *resolver,
                              const struct config_gateway *config) {
    struct upstream *upstream =
        calloc(1, sizeof *upstream + config->connections * sizeof *upstream->links);
    if (!upstream)
        return NULL;
    upstream->reactor = reactor;
    upstream->resolver = resolver;
    upstream->config = *config;
    upstream->link_count = config->connections;
    for (int i = 0; i < upstream->link_count; i++)
        upstream->links[i].upstream = upstream;
    return upstream;
}

struct upstream *upstream_new_connected(struct reactor *reactor, struct resolver *resolver,
                                        const struct config_gateway *config, int fd) {
    struct upstream *upstream = upstream_new(reactor, resolver, config);
    struct carrier *carrier = carrier_new_socket(fd, false, config->name);
    if (upstream && carrier) {
        struct link *link = &upstream->links[0];
        link->session = session_new(link, carrier);
        link->state = LINK_UP;
        if (link->session)
            return upstream;
    }
    if (carrier)
        carrier->ops->free(carrier);
    free(upstream);
    return NULL;
}

/* Sessions without streams end now, the others with their last stream (upstream_tidy). */
void upstream_retire(struct upstream *upstream) {
    if (upstream->retired)
        return;
    for (int i = 0; i < upstream->link_count; i++)
        stop_link(&upstream->links[i]);
    upstream->retired = true;
    fail_waiters(upstream, ECANCELED, false);
    if (upstream->sessions)
        upstream_tidy(upstream);
    else
        free_if_retired(upstream);
}

void upstream_tidy(struct upstream *upstream) {
    struct upstream_session *next;
    for (struct upstream_session *s = upstream->sessions; s; s = next) {
        next = s->next;
        if (!s->link && pump_streams(s->pump) == 0)
            pump_fail(s->pump, SMUX_ERR_CLOSED, "drained");
    }
}

void upstream_free(struct upstream *upstream) {
    struct upstream_session *next;
    for (int i = 0; i < upstream->link_count; i++)
        stop_link(&upstream->links[i]);
    fail_waiters(upstream, ECANCELED, false);
    for (struct upstream_session *s = upstream->sessions; s; s = next) {
        next = s->next;
        pump_end(s->pump, SMUX_ERR_CLOSED, "helper stops");
    }
    if (!upstream->retired)
        free(upstream);
}

const struct config_gateway *upstream_config(const struct upstream *upstream) {
    return &upstream->config;
}

const char *upstream_last_error(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].error[0])
            return upstream->links[i].error;
    return "not connected yet";
}

/* ---- Status ---- */

static json_t *session_status(const struct upstream_session *session) {
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "gateway",
                     session->upstream->config.name, "address", session->pump->carrier->peer,
                     "state", session->link ? "up" : "draining", "version", info.version, "rtt_us",
                     (json_int_t)info.rtt_us, "since", (json_int_t)session->since, "bytes_in",
                     (json_int_t)info.bytes_in, "bytes_out", (json_int_t)info.bytes_out, "streams",
                     (json_int_t)info.streams, "streams_total", (json_int_t)info.opened);
}

static json_t *link_status(const struct link *link) {
    return json_pack("{s:s, s:s}", "gateway", link->upstream->config.name, "state",
                     link_state_names[link->state]);
}

json_t *upstream_status(const struct upstream *upstream) {
    json_t *list = json_array();
    for (const struct upstream_session *s = upstream->sessions; s; s = s->next) {
        json_t *entry = session_status(s);
        uint64_t reconnects = s->link ? s->link->reconnects : 0;
        json_object_set_new(entry, "reconnects", json_integer((json_int_t)reconnects));
        json_object_set_new(entry, "last_error", json_string(s->link ? s->link->error : ""));
        json_array_append_new(list, entry);
    }
    for (int i = 0; i < upstream->link_count; i++) {
        const struct link *link = &upstream->links[i];
        if (link->state == LINK_UP)
            continue;
        json_t *entry = link_status(link);
        json_object_set_new(entry, "reconnects", json_integer((json_int_t)link->reconnects));
        json_object_set_new(entry, "last_error", json_string(link->error));
        json_array_append_new(list, entry);
    }
    return list;
}
