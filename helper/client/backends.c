/* SPDX-License-Identifier: MIT */
/* backends.c - see backends.h. */
#include "helper/client/backends.h"

#include <stdlib.h>
#include <string.h>

/* ---- Life ---- */

void backends_init(struct backends *backends) {
    list_init(&backends->all);
    backends->listed = 0;
}

void backends_fini(struct backends *backends) {
    struct list_link *first;
    while ((first = list_first(&backends->all)))
        backend_free(backend_of(first));
    backends->listed = 0;
}

/* ---- What a source has ---- */

static bool is_same(const struct backend_place *a, const struct backend_place *b) {
    return a->source == b->source && config_addresses_equal(&a->address, 1, &b->address, 1) &&
           strcmp(a->name, b->name) == 0;
}

static struct backend *find(const struct backends *backends, const struct backend_place *place) {
    list_for_each(member, &backends->all)
        if (is_same(&backend_of(member)->place, place))
            return backend_of(member);
    return NULL;
}

/* Behind those that are tried before it. */
static void enter(struct backends *backends, struct backend *backend) {
    struct list_link *before = NULL;
    list_for_each(member, &backends->all) {
        const struct backend *other = backend_of(member);
        if (!backend_is_listed(other) || other->place.source > backend->place.source ||
            (other->place.source == backend->place.source &&
             other->place.priority > backend->place.priority)) {
            before = member;
            break;
        }
    }
    if (before)
        list_insert_before(before, &backend->member);
    else
        list_append(&backends->all, &backend->member);
}

static void take_one(struct backends *backends, const struct backend_place *place) {
    struct backend *backend = find(backends, place);
    if (backend && backend->seen)
        return; /* twice in one answer */
    bool is_new = !backend || !backend_is_listed(backend);
    if (is_new && backends->listed >= BACKENDS_MAX)
        return;
    if (!backend)
        backend = backend_new(place);
    if (!backend)
        return;
    if (backend->state == BACKEND_GONE) {
        backend_move(backend, BACKEND_UNTRIED);
        backend->pause_ms = 0;
    }
    backends->listed += is_new;
    backend->place = *place;
    backend->seen = true;
    list_remove(&backend->member);
    enter(backends, backend);
}

/* Returns true if it is gone now. */
static bool leave_if_unseen(struct backends *backends, struct backend *backend) {
    bool gone = !backend->seen && backend_is_listed(backend);
    backend->seen = false;
    if (!gone)
        return false;
    backends->listed--;
    backend_move(backend, BACKEND_GONE);
    list_remove(&backend->member);
    list_append(&backends->all, &backend->member);
    if (backend->users == 0)
        backend_free(backend);
    return true;
}

static void forget_seen(struct backends *backends) {
    list_for_each(member, &backends->all)
        backend_of(member)->seen = false;
}

/* Those that are gone make room before new ones are entered. */
static bool leave_unseen(struct backends *backends, uint8_t source,
                         const struct backend_place *places, int count) {
    bool gone = false;
    for (int i = 0; i < count; i++) {
        struct backend *known = find(backends, &places[i]);
        if (known)
            known->seen = true;
    }
    list_for_each(member, &backends->all)
        if (backend_of(member)->place.source == source)
            gone |= leave_if_unseen(backends, backend_of(member));
    forget_seen(backends);
    return gone;
}

bool backends_take(struct backends *backends, uint8_t source, const struct backend_place *places,
                   int count) {
    if (count > BACKENDS_OF_SOURCE_MAX)
        count = BACKENDS_OF_SOURCE_MAX;
    bool gone = leave_unseen(backends, source, places, count);
    for (int i = 0; i < count; i++)
        take_one(backends, &places[i]);
    forget_seen(backends);
    return gone;
}

/* ---- Which one next ---- */

/* The time at which the first one that is left out is tried again. */
static void note_due(const struct backend *backend, uint64_t *due_us) {
    if (backend->retry_us < *due_us)
        *due_us = backend->retry_us;
}

static enum backends_answer pick_in_order(const struct backends *backends, uint64_t now_us,
                                          bool eager, struct backend **picked, int max, int *count,
                                          uint64_t *due_us) {
    list_for_each(member, &backends->all) {
        struct backend *backend = backend_of(member);
        if (*count < max && backend_is_available(backend, now_us))
            picked[(*count)++] = backend;
    }
    list_for_each(member, &backends->all) {
        struct backend *backend = backend_of(member);
        if (*count == max || !backend_is_listed(backend) || backend_is_available(backend, now_us))
            continue;
        note_due(backend, due_us);
        if (eager)
            picked[(*count)++] = backend;
    }
    return *count > 0 ? BACKENDS_SOME : BACKENDS_LATER;
}

/* The highest priority number that sessions may have: the lowest one that works. */
static uint16_t working_priority(const struct backends *backends) {
    uint16_t priority = UINT16_MAX;
    list_for_each(member, &backends->all) {
        const struct backend *backend = backend_of(member);
        if (backend_is_listed(backend) && backend->state != BACKEND_FAILED &&
            backend->place.priority < priority)
            priority = backend->place.priority;
    }
    return priority;
}

/* One that should have more sessions; the one with the fewest. `left_out`: of those that are to be
 * tried later; the first of them. *missing: how many sessions all such are short of. */
static struct backend *pick_short_one(const struct backends *backends,
                                      const struct config_gateway *config, uint64_t now_us,
                                      bool left_out, unsigned *missing) {
    uint16_t priority = working_priority(backends);
    struct backend *best = NULL;
    *missing = 0;
    list_for_each(member, &backends->all) {
        struct backend *b = backend_of(member);
        if (!backend_is_listed(b) || b->place.priority > priority ||
            b->links >= config->connections || backend_is_available(b, now_us) == left_out)
            continue;
        *missing += config->connections - b->links;
        if (!best || (left_out ? b->retry_us < best->retry_us : b->links < best->links))
            best = b;
    }
    return best;
}

static enum backends_answer pick_for_balance(const struct backends *backends,
                                             const struct config_gateway *config, uint64_t now_us,
                                             unsigned paused, bool eager, struct backend **picked,
                                             int *count, uint64_t *due_us) {
    unsigned missing;
    struct backend *best = pick_short_one(backends, config, now_us, false, &missing);
    if (!best) {
        best = pick_short_one(backends, config, now_us, true, &missing);
        if (!best || missing <= paused)
            return BACKENDS_ENOUGH;
        note_due(best, due_us);
        if (!eager)
            return BACKENDS_LATER;
    }
    picked[(*count)++] = best;
    return BACKENDS_SOME;
}

enum backends_answer backends_pick(const struct backends *backends,
                                   const struct config_gateway *config, uint64_t now_us,
                                   unsigned paused, bool eager, struct backend **picked, int max,
                                   int *count, uint64_t *due_us) {
    *count = 0;
    *due_us = UINT64_MAX;
    if (config->balance == CONFIG_FIRST)
        return pick_in_order(backends, now_us, eager, picked, max, count, due_us);
    return pick_for_balance(backends, config, now_us, paused, eager, picked, count, due_us);
}

bool backends_any(const struct backends *backends, uint64_t now_us) {
    list_for_each(member, &backends->all)
        if (backend_is_available(backend_of(member), now_us))
            return true;
    return false;
}

bool backends_have_other(const struct backends *backends, const struct backend *but) {
    list_for_each(member, &backends->all) {
        const struct backend *backend = backend_of(member);
        if (backend != but && backend_is_listed(backend) && backend->state != BACKEND_FAILED)
            return true;
    }
    return false;
}

bool backends_outranked(const struct backends *backends, const struct config_gateway *config,
                        const struct backend *backend) {
    list_for_each(member, &backends->all) {
        const struct backend *other = backend_of(member);
        if (config->balance != CONFIG_FIRST && other->state == BACKEND_UP &&
            other->place.priority < backend->place.priority)
            return true;
    }
    return false;
}
