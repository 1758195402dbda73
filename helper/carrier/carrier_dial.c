/* SPDX-License-Identifier: MIT */
/* carrier_dial.c - see carrier_dial.h. */
#include "helper/carrier/carrier_dial.h"

#include <errno.h>
#include <string.h>

#include "helper/net/sockaddr.h"
#include "helper/net/state_table.h"

/* ---- States ---- */

enum dial_state {
    DIAL_OVER,      /* or not begun */
    DIAL_UNUSABLE,  /* the address cannot be used, which is still to be reported */
    DIAL_RESOLVING, /* the name is being looked up */
    DIAL_CONNECTING /* connects are under way */
};

#define TO(state) (1u << DIAL_##state)

static const struct state_table states = {
    .what = "carrier's dial",
    .state = {[DIAL_OVER] = {"over", TO(OVER) | TO(UNUSABLE) | TO(RESOLVING) | TO(CONNECTING)},
              [DIAL_UNUSABLE] = {"unusable", TO(OVER)},
              [DIAL_RESOLVING] = {"resolving", TO(CONNECTING) | TO(OVER)},
              [DIAL_CONNECTING] = {"connecting", TO(OVER)}}};

static bool move(struct carrier_dial *dial, enum dial_state to) {
    return state_move(&states, &dial->state, to);
}

bool carrier_dial_is_resolving(const struct carrier_dial *dial) {
    return dial->state == DIAL_RESOLVING;
}

/* ---- The end ---- */

void carrier_dial_cancel(struct carrier_dial *dial) {
    struct loop *loop = dial->options.loop;
    if (dial->state == DIAL_OVER)
        return;
    loop_timer_clear(loop, &dial->timer);
    loop_task_cancel(loop, &dial->task);
    resolver_cancel(&dial->query);
    dial_cancel(&dial->dial);
    loop_watch_close(&dial->watch);
    move(dial, DIAL_OVER);
}

static void failed(struct carrier_dial *dial, int error, const char *why) {
    carrier_dial_cancel(dial);
    dial->done(dial, NULL, error, why);
}

static void tell_unusable(struct loop_task *task) {
    struct carrier_dial *dial = container_of(task, struct carrier_dial, task);
    failed(dial, dial->error, dial->why);
}

/* `why` is a static text. */
static void unusable(struct carrier_dial *dial, int error, const char *why) {
    dial->error = error;
    dial->why = why;
    if (move(dial, DIAL_UNUSABLE))
        loop_task_post(dial->options.loop, &dial->task, tell_unusable);
}

static void connected(struct carrier_dial *dial, int fd) {
    const struct carrier_dial_options *options = &dial->options;
    const struct config_address *address = options->address;
    char url[CONFIG_URL_MAX + 1];
    config_address_text(address, url, sizeof url);
    struct carrier *carrier =
        carrier_scheme_make(address->scheme, options->loop, fd, url, options->layer,
                            options->server_name ? options->server_name : address->host);
    int error = carrier ? 0 : -errno;
    move(dial, DIAL_OVER);
    dial->done(dial, carrier, error, carrier ? NULL : strerror(-error));
}

/* ---- Connects ---- */

static void on_fd(struct loop_watch *watch, uint32_t events) {
    dial_event(&container_of(watch, struct carrier_dial, watch)->dial, events);
}

static void on_dialled(struct dial *d, int error, uint32_t events) {
    struct carrier_dial *dial = container_of(d, struct carrier_dial, dial);
    (void)events; /* the carrier's own registration reports them again */
    if (!error)
        error = d->broken;
    if (error)
        failed(dial, error, strerror(-error));
    else
        connected(dial, loop_watch_release(dial->options.loop, &dial->watch));
}

/* Connects to one of the addresses in dial->dial. A scheme whose carriers are not connected sockets
 * makes its carrier from these addresses here instead. */
static void connect_to_one(struct carrier_dial *dial) {
    uint64_t now_us = loop_now_us(dial->options.loop);
    if (!move(dial, DIAL_CONNECTING))
        return;
    dial->dial.loop = dial->options.loop;
    dial->dial.watch = &dial->watch;
    dial->dial.on_fd = on_fd;
    dial->dial.done = on_dialled;
    dial_start(&dial->dial, dial->deadline_us > now_us ? dial->deadline_us - now_us : 0);
}

/* ---- The look-up ---- */

#define SILENT "name server does not answer"

static void on_resolved(struct resolver_query *query, int error, const struct endpoint *addresses,
                        int count) {
    struct carrier_dial *dial = container_of(query, struct carrier_dial, query);
    loop_timer_clear(dial->options.loop, &dial->timer);
    if (error) {
        failed(dial, error, error == -ETIMEDOUT ? SILENT : "name cannot be resolved");
        return;
    }
    dial->dial.count = 0;
    for (int i = 0; i < count && i < DIAL_ADDRESSES_MAX; i++) {
        struct dial_address *to = &dial->dial.addresses[dial->dial.count++];
        to->len = endpoint_to_sockaddr(&addresses[i], &to->addr);
    }
    dial_order(&dial->dial, NULL);
    connect_to_one(dial);
}

static void on_resolve_due(struct loop_timer *timer) {
    failed(container_of(timer, struct carrier_dial, timer), -ETIMEDOUT, SILENT);
}

static void resolve(struct carrier_dial *dial) {
    const struct carrier_dial_options *options = &dial->options;
    if (!move(dial, DIAL_RESOLVING))
        return;
    loop_timer_set(options->loop, &dial->timer, dial->deadline_us, on_resolve_due);
    resolver_start(options->names, &dial->query, options->address->host, options->address->port,
                   on_resolved);
}

/* ---- The beginning ---- */

void carrier_dial_start(struct carrier_dial *dial, const struct carrier_dial_options *options,
                        void (*done)(struct carrier_dial *, struct carrier *, int, const char *)) {
    const struct config_address *address = options->address;
    struct dial_address *to = &dial->dial.addresses[0];
    dial->options = *options;
    dial->done = done;
    dial->deadline_us = loop_now_us(options->loop) + options->timeout_us;
    if (carrier_scheme_has_layer(address->scheme) && !options->layer) {
        unusable(dial, -EPROTONOSUPPORT, "no credentials for TLS");
    } else if (sockaddr_literal(address, &to->addr, &to->len)) {
        dial->dial.count = 1;
        connect_to_one(dial);
    } else if (address->scheme == CONFIG_UNIX) {
        unusable(dial, -ENAMETOOLONG, "path is longer than a socket address holds");
    } else {
        resolve(dial);
    }
}
