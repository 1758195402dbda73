/* SPDX-License-Identifier: MIT
 * Stream id -> stream: open addressing, linear probing, deletion by shifting back. There are no
 * tombstones, so look-ups stay short however many streams have come and gone.
 */
#include "core/engine/engine.h"

/* 4 KiB: large enough that short streams which end together do not make it grow and shrink each
 * time. */
#define TABLE_MIN 256u

/* The high bits of the product with an odd number that the peer does not know. */
static uint32_t home(const struct table *t, uint32_t id) {
    return (uint32_t)(((uint64_t)id * t->multiplier) >> 32) & (t->size - 1);
}

static uint32_t find(const struct table *t, uint32_t id) {
    uint32_t i = home(t, id);
    while (t->slots[i].stream && t->slots[i].id != id)
        i = (i + 1) & (t->size - 1);
    return i;
}

smux_stream *table_get(const smux_session *s, uint32_t id) {
    return s->table.size ? s->table.slots[find(&s->table, id)].stream : NULL;
}

static int resize(smux_session *s, uint32_t size) {
    struct table *t = &s->table, old = *t;
    struct slot *slots = engine_alloc(s, size * sizeof *slots);
    if (!slots)
        return SMUX_ERR_NOMEM;
    for (uint32_t i = 0; i < size; i++)
        slots[i] = (struct slot){0, NULL};
    t->slots = slots;
    t->size = size;
    for (uint32_t i = 0; i < old.size; i++)
        if (old.slots[i].stream)
            t->slots[find(t, old.slots[i].id)] = old.slots[i];
    engine_free(s, old.slots);
    return 0;
}

int table_put(smux_session *s, smux_stream *st) {
    struct table *t = &s->table;
    if (t->used + 1 > t->size - t->size / 4) {
        int error = resize(s, t->size ? t->size * 2 : TABLE_MIN);
        if (error)
            return error;
    }
    t->slots[find(t, st->id)] = (struct slot){st->id, st};
    t->used++;
    return 0;
}

void table_remove(smux_session *s, uint32_t id) {
    struct table *t = &s->table;
    uint32_t mask = t->size - 1, hole = find(t, id), i = hole;
    if (!t->slots[hole].stream)
        return;
    for (;;) {
        i = (i + 1) & mask;
        if (!t->slots[i].stream)
            break;
        /* Move it back unless its home lies after the hole. */
        if (((i - home(t, t->slots[i].id)) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole].stream = NULL;
    t->used--;
    /* If shrinking fails, the table only stays large. */
    if (t->size > TABLE_MIN && t->used < t->size / 16 && !s->error)
        (void)resize(s, t->size / 2);
}

smux_stream *table_next(const smux_session *s, const smux_stream *previous) {
    const struct table *t = &s->table;
    if (!t->size)
        return NULL;
    uint32_t i = previous ? find(t, previous->id) + 1 : 0;
    for (; i < t->size; i++)
        if (t->slots[i].stream)
            return t->slots[i].stream;
    return NULL;
}
