/* SPDX-License-Identifier: MIT */
/* upstream_names.c - the addresses of a gateway's names (upstream.h).
 *
 * A name is looked up when the first stream is requested, and again when the answer's time to live
 * is over, within ttl-min and ttl-max. An answer replaces the one before it. No answer, or one
 * without an address, changes nothing: a name server that fails must not take gateways away that
 * work. SRV records (RFC 2782) name hosts, which are looked up one after the other; an order within
 * the same priority is drawn by their weights. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"

/* ---- States ---- */

#define TO(state) (1u << NAME_##state)

static const struct state_table states = {
    .what = "gateway's name",
    .state = {[NAME_IDLE] = {"idle", TO(SERVICE) | TO(HOST) | TO(STOPPED)},
              [NAME_SERVICE] = {"service", TO(HOST) | TO(FAILED) | TO(STOPPED)},
              [NAME_HOST] = {"host", TO(HOST) | TO(KNOWN) | TO(FAILED) | TO(STOPPED)},
              [NAME_KNOWN] = {"known", TO(SERVICE) | TO(HOST) | TO(STOPPED)},
              [NAME_FAILED] = {"failed", TO(SERVICE) | TO(HOST) | TO(STOPPED)},
              [NAME_STOPPED] = {"stopped", TO(STOPPED)}}};

static bool move(struct name_source *source, enum name_state to) {
    return state_move(&states, &source->state, to);
}

static bool is_asking(const struct name_source *source) {
    return source->state == NAME_SERVICE || source->state == NAME_HOST;
}

static struct loop *loop_of(const struct name_source *source) {
    return source->upstream->reactor->loop;
}

/* ---- The end of a look-up ---- */

static void on_due(struct loop_timer *timer);

static void ask_in(struct name_source *source, uint64_t ms) {
    loop_timer_set(loop_of(source), &source->timer, loop_now_us(loop_of(source)) + ms * 1000u,
                   on_due);
}

static void failed(struct name_source *source, const char *why) {
    const struct config_gateway *config = &source->upstream->config;
    char url[CONFIG_URL_MAX + 1], text[sizeof source->error];
    resolver_cancel(&source->query);
    if (!move(source, NAME_FAILED))
        return;
    config_address_text(source->address, url, sizeof url);
    snprintf(text, sizeof text, "%s: %s", url, why);
    log_about(strcmp(text, source->error) == 0 ? LOG_DEBUG : LOG_WARNING,
              ABOUT(.gateway = config->name, .peer = url), "%s", why);
    strcpy(source->error, text);
    uint64_t ms = source->pause_ms ? UINT64_C(2) * source->pause_ms : config->retry_min_ms;
    source->pause_ms = ms < config->retry_max_ms ? (uint32_t)ms : config->retry_max_ms;
    ask_in(source, backend_jittered(source->pause_ms));
    source->ops->answered(source->upstream);
}

static uint64_t bounded(const struct config_gateway *config, uint32_t ttl_s) {
    uint64_t ms = ttl_s * UINT64_C(1000);
    if (ms < config->ttl_min_ms)
        return config->ttl_min_ms;
    return ms < config->ttl_max_ms ? ms : config->ttl_max_ms;
}

static void answered(struct name_source *source) {
    struct upstream *upstream = source->upstream;
    if (!move(source, NAME_KNOWN))
        return;
    if (source->error[0])
        log_about(LOG_INFO, ABOUT(.gateway = upstream->config.name, .peer = source->address->host),
                  "name resolved again");
    source->error[0] = '\0';
    source->pause_ms = 0;
    source->answered = true;
    source->answered_us = loop_now_us(loop_of(source));
    ask_in(source, bounded(&upstream->config, source->ttl_s));
    if (backends_take(&upstream->backends, source->index, source->found, source->found_count))
        log_about(LOG_INFO, ABOUT(.gateway = upstream->config.name, .peer = source->address->host),
                  "name has lost addresses: their sessions drain");
    source->ops->answered(upstream);
}

/* ---- The addresses of a host ---- */

static void ask_host(struct name_source *source);

/* Whose name a certificate must have. Of a service it is its domain, which the administrator has
 * written: the host that a SRV record names is whatever the name server says (RFC 6125, 1.8). */
static const char *server_name(const struct name_source *source) {
    const char *name = source->upstream->config.server_name;
    if (name[0])
        return name;
    name = source->address->host;
    for (int label = 0; source->address->service && label < 2; label++)
        name = strchr(name, '.') + 1;
    return name;
}

static void add_place(struct name_source *source, const struct endpoint *endpoint) {
    const struct dns_srv *record = source->address->service ? &source->records[source->at] : NULL;
    if (source->found_count == BACKENDS_OF_SOURCE_MAX)
        return;
    struct backend_place *place = &source->found[source->found_count];
    memset(place, 0, sizeof *place);
    if (!inet_ntop(endpoint->family, endpoint->addr, place->address.host,
                   sizeof place->address.host))
        return;
    place->address.scheme = source->address->scheme;
    place->address.port = record ? record->port : source->address->port;
    snprintf(place->name, sizeof place->name, "%s",
             record ? record->target : source->address->host);
    snprintf(place->server_name, sizeof place->server_name, "%s", server_name(source));
    place->source = source->index;
    place->priority = record ? record->priority : 0;
    place->weight = record ? record->weight : 1;
    source->found_count++;
}

/* The first that was not added and has another family than the one before; or the first at all. */
static int next_place(const struct endpoint *addresses, int count, const bool *added,
                      uint16_t family) {
    int next = -1;
    for (int i = count - 1; i >= 0; i--)
        if (!added[i] &&
            (next < 0 || addresses[i].family != family || addresses[next].family == family))
            next = i;
    return next;
}

/* Adds them so that the families alternate, beginning with that of the first (RFC 8305). */
static void add_places(struct name_source *source, const struct endpoint *addresses, int count) {
    bool added[RESOLVER_ADDRESSES_MAX] = {0};
    uint16_t family = 0;
    int next;
    while ((next = next_place(addresses, count, added, family)) >= 0) {
        added[next] = true;
        family = addresses[next].family;
        add_place(source, &addresses[next]);
    }
}

static void next_host(struct name_source *source) {
    source->at++;
    if (source->at < source->record_count && source->found_count < BACKENDS_OF_SOURCE_MAX)
        ask_host(source);
    else if (source->found_count > 0)
        answered(source);
    else
        failed(source, "name cannot be resolved");
}

#define SILENT "name server does not answer"

static void on_host(struct resolver_query *query, int error, const struct endpoint *addresses,
                    int count) {
    struct name_source *source = container_of(query, struct name_source, query);
    if (error && source->record_count <= 1) {
        failed(source, error == -ETIMEDOUT ? SILENT : "name cannot be resolved");
        return;
    }
    if (!error && query->ttl_s < source->ttl_s)
        source->ttl_s = query->ttl_s;
    if (error)
        source->ttl_s = 0; /* one of several hosts: it is asked for again soon */
    else
        add_places(source, addresses, count);
    next_host(source);
}

static void ask_host(struct name_source *source) {
    const struct config_address *address = source->address;
    const char *host = address->service ? source->records[source->at].target : address->host;
    if (move(source, NAME_HOST))
        resolver_start(source->upstream->names, &source->query, host, address->port, on_host);
}

/* ---- The records of a service ---- */

/* A random number from 0 to `most`. */
static uint32_t random_up_to(uint32_t most) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint32_t)loop_clock_us();
    return random % (most + 1);
}

/* RFC 2782: which of the `count` records of one priority comes first. One of weight 0 does if the
 * number is 0 and it stands before all others, where it is put. */
static int draw(const struct dns_srv *records, int count) {
    uint32_t sum = 0, running = 0;
    for (int i = 0; i < count; i++)
        sum += records[i].weight;
    uint32_t number = random_up_to(sum);
    for (int i = 0; i < count && number == 0; i++)
        if (records[i].weight == 0)
            return i;
    for (int i = 0; i < count; i++) {
        running += records[i].weight;
        if (records[i].weight && running >= number)
            return i;
    }
    return 0;
}

static void order(struct dns_srv *records, int count) {
    for (int i = 0; i < count; i++) {
        int same = 1;
        while (i + same < count && records[i + same].priority == records[i].priority)
            same++;
        int at = i + draw(&records[i], same);
        struct dns_srv drawn = records[at];
        memmove(&records[i + 1], &records[i], (size_t)(at - i) * sizeof *records);
        records[i] = drawn;
    }
}

static void on_service(struct resolver_query *query, int error, const struct dns_srv *records,
                       int count) {
    struct name_source *source = container_of(query, struct name_source, query);
    if (error) {
        failed(source, error == -ETIMEDOUT ? SILENT
                       : error == -EBADMSG ? "the name server's answer is broken"
                                           : "there are no SRV records");
        return;
    }
    memcpy(source->records, records, (size_t)count * sizeof *records);
    source->record_count = count;
    source->ttl_s = query->ttl_s;
    order(source->records, count);
    ask_host(source);
}

/* ---- Asking ---- */

static void ask(struct name_source *source) {
    source->ttl_s = UINT32_MAX;
    source->found_count = source->at = source->record_count = 0;
    ask_in(source, source->upstream->config.dial_timeout_ms);
    if (!source->address->service)
        ask_host(source);
    else if (move(source, NAME_SERVICE))
        resolver_start_service(source->upstream->names, &source->query, source->address->host,
                               on_service);
}

/* A look-up has taken too long, or the next one is due. */
static void on_due(struct loop_timer *timer) {
    struct name_source *source = container_of(timer, struct name_source, timer);
    if (!is_asking(source)) {
        ask(source);
    } else if (source->found_count > 0) {
        resolver_cancel(&source->query);
        source->ttl_s = 0;
        answered(source);
    } else {
        failed(source, SILENT);
    }
}

void upstream_names_ask(struct upstream *upstream, bool again) {
    for (int i = 0; i < upstream->source_count; i++) {
        struct name_source *source = &upstream->sources[i];
        if (source->state == NAME_IDLE || (again && source->state == NAME_FAILED))
            ask(source);
    }
}

void upstream_names_doubt(struct upstream *upstream) {
    for (int i = 0; i < upstream->source_count; i++) {
        struct name_source *source = &upstream->sources[i];
        uint64_t soon_us = source->answered_us + upstream->config.ttl_min_ms * UINT64_C(1000);
        if (source->state == NAME_KNOWN && soon_us < source->timer.due_us)
            loop_timer_set(loop_of(source), &source->timer, soon_us, on_due);
    }
}

/* ---- What others want to know ---- */

bool upstream_names_pending(const struct upstream *upstream) {
    for (int i = 0; i < upstream->source_count; i++)
        if (is_asking(&upstream->sources[i]) && !upstream->sources[i].answered)
            return true;
    return false;
}

const char *upstream_names_error(const struct upstream *upstream) {
    for (int i = 0; i < upstream->source_count; i++)
        if (upstream->sources[i].error[0])
            return upstream->sources[i].error;
    return NULL;
}

static const struct name_source *source_of(const struct upstream *upstream, int index) {
    for (int i = 0; i < upstream->source_count; i++)
        if (upstream->sources[i].index == index)
            return &upstream->sources[i];
    return NULL;
}

uint64_t upstream_names_due_us(const struct upstream *upstream) {
    uint64_t due_us = UINT64_MAX;
    for (int i = 0; i < upstream->source_count; i++)
        if (upstream->sources[i].timer.armed && upstream->sources[i].timer.due_us < due_us)
            due_us = upstream->sources[i].timer.due_us;
    return due_us;
}

uint64_t upstream_names_next_us(const struct upstream *upstream, int source) {
    const struct name_source *s = source_of(upstream, source);
    return s && s->timer.armed && !is_asking(s) ? s->timer.due_us : 0;
}

const char *upstream_names_last_error(const struct upstream *upstream, int source) {
    const struct name_source *s = source_of(upstream, source);
    return s ? s->error : "";
}

/* ---- Life ---- */

static void list_literal(struct upstream *upstream, int index) {
    struct backend_place place = {
        .address = upstream->config.address[index], .source = (uint8_t)index, .weight = 1};
    snprintf(place.server_name, sizeof place.server_name, "%s", upstream->config.server_name);
    backends_take(&upstream->backends, place.source, &place, 1);
}

bool upstream_names_init(struct upstream *upstream, const struct upstream_names_ops *ops) {
    const struct config_gateway *config = &upstream->config;
    int names = 0;
    backends_init(&upstream->backends);
    for (int i = 0; i < config->n_addresses; i++)
        names += config_address_is_name(&config->address[i]);
    upstream->sources = names ? calloc((size_t)names, sizeof *upstream->sources) : NULL;
    if (names && !upstream->sources)
        return false;
    for (int i = 0; i < config->n_addresses; i++) {
        if (!upstream->sources || !config_address_is_name(&config->address[i])) {
            list_literal(upstream, i);
            continue;
        }
        struct name_source *source = &upstream->sources[upstream->source_count++];
        source->upstream = upstream;
        source->ops = ops;
        source->address = &config->address[i];
        source->index = (uint8_t)i;
    }
    return true;
}

void upstream_names_stop(struct upstream *upstream) {
    for (int i = 0; i < upstream->source_count; i++) {
        struct name_source *source = &upstream->sources[i];
        resolver_cancel(&source->query);
        loop_timer_clear(loop_of(source), &source->timer);
        move(source, NAME_STOPPED);
    }
}

void upstream_names_fini(struct upstream *upstream) {
    upstream_names_stop(upstream);
    free(upstream->sources);
    upstream->sources = NULL;
    upstream->source_count = 0;
    backends_fini(&upstream->backends);
}
