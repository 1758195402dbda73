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
    DIAL_CONNECTING /* connects are under way */
};

#define TO(state) (1u << DIAL_##state)

static const struct state_table states = {
    .what = "carrier's dial",
    .state = {[DIAL_OVER] = {"over", TO(OVER) | TO(CONNECTING)},
              [DIAL_CONNECTING] = {"connecting", TO(OVER)}}};

static bool move(struct carrier_dial *dial, enum dial_state to) {
    return state_move(&states, &dial->state, to);
}

/* ---- The end ---- */

void carrier_dial_cancel(struct carrier_dial *dial) {
    if (dial->state == DIAL_OVER)
        return;
    dial_cancel(&dial->dial);
    loop_watch_close(&dial->watch);
    move(dial, DIAL_OVER);
}

/* Why an address was not tried at all, as errors that no connect has. */
#define NO_LAYER ENOPROTOOPT
#define TOO_LONG ENAMETOOLONG

static const char *text_of(int error) {
    switch (-error) {
    case NO_LAYER:
        return "no credentials for TLS";
    case TOO_LONG:
        return "path is longer than a socket address holds";
    default:
        return strerror(-error);
    }
}

const char *carrier_dial_why(const struct carrier_dial *dial, int place) {
    const struct dial *d = &dial->dial;
    if (d->addresses[place].error)
        return text_of(d->addresses[place].error);
    /* It had a head start, and still has not answered. */
    return place < dial->won ? "another address has answered before" : NULL;
}

static void failed(struct carrier_dial *dial, int error) {
    carrier_dial_cancel(dial);
    dial->won = -1;
    dial->done(dial, NULL, error);
}

static void connected(struct carrier_dial *dial, int fd) {
    const struct carrier_dial_options *options = &dial->options;
    const struct carrier_place *place = &dial->places[dial->dial.won];
    dial->won = dial->dial.won;
    struct carrier *carrier =
        carrier_scheme_make(place->address->scheme, options->loop, fd, place->text, options->layer,
                            place->server_name ? place->server_name : place->address->host);
    int error = carrier ? 0 : -errno;
    if (error) {
        dial->dial.addresses[dial->won].error = error;
        dial->won = -1;
    }
    move(dial, DIAL_OVER);
    dial->done(dial, carrier, error);
}

/* ---- Connects ---- */

static void on_fd(struct loop_watch *watch, uint32_t events) {
    dial_event(&container_of(watch, struct carrier_dial, watch)->dial, events);
}

static void on_dialled(struct dial *d, int error, uint32_t events) {
    struct carrier_dial *dial = container_of(d, struct carrier_dial, dial);
    (void)events; /* the carrier's own registration reports them again */
    if (!error && d->broken)
        d->addresses[d->won].error = error = d->broken;
    if (error)
        failed(dial, error);
    else
        connected(dial, loop_watch_release(dial->options.loop, &dial->watch));
}

static void set_address(struct carrier_dial *dial, int i) {
    const struct config_address *address = dial->places[i].address;
    struct dial_address *to = &dial->dial.addresses[i];
    to->error = 0;
    if (carrier_scheme_has_layer(address->scheme) && !dial->options.layer)
        to->error = -NO_LAYER;
    else if (!sockaddr_literal(address, &to->addr, &to->len))
        to->error = -TOO_LONG;
}

/* A scheme whose carriers are not connected sockets makes its carrier of the addresses here
 * instead. */
void carrier_dial_start(struct carrier_dial *dial, const struct carrier_dial_options *options,
                        void (*done)(struct carrier_dial *, struct carrier *, int)) {
    if (!move(dial, DIAL_CONNECTING))
        return;
    dial->options = *options;
    dial->options.places = dial->places;
    memcpy(dial->places, options->places, (size_t)options->count * sizeof *dial->places);
    dial->done = done;
    dial->dial.count = options->count;
    for (int i = 0; i < options->count; i++)
        set_address(dial, i);
    dial->dial.loop = options->loop;
    dial->dial.watch = &dial->watch;
    dial->dial.on_fd = on_fd;
    dial->dial.done = on_dialled;
    dial_start(&dial->dial, options->timeout_us);
}
