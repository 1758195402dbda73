/* SPDX-License-Identifier: MIT */
/* metrics.c - see metrics.h. */
#include "helper/metrics/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "helper/net/loop.h"

const uint32_t metrics_bucket_us[METRICS_BUCKETS] = {250,    500,     1000,    2500,    5000,
                                                     10000,  25000,   50000,   100000,  250000,
                                                     500000, 1000000, 2500000, 10000000};

/* Where a process counts that has no segment. */
static struct metrics_slot unread;
static struct metrics_series nowhere;
static struct metrics_slot *own = &unread;
static struct metrics *segment;
static uint64_t inherited[WORKER_VALUES]; /* by this process, of those before it */

struct metrics_slot *metrics_slot(void) {
    return own;
}

struct metrics_series *metrics_nowhere(void) {
    return &nowhere;
}

/* ---- The segment ---- */

void metrics_group_init(struct metrics_group *group) {
    snprintf(group->series[0].name[0], sizeof group->series[0].name[0], "other");
    snprintf(group->series[0].name[1], sizeof group->series[0].name[1], "other");
    group->count = 1;
}

struct metrics *metrics_open(enum metrics_program program, uint32_t workers) {
    size_t size = sizeof(struct metrics) + workers * sizeof(struct metrics_slot);
    struct metrics *metrics =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (metrics == MAP_FAILED)
        return NULL;
    metrics->program = program;
    metrics->workers = workers;
    metrics->started_s = (uint64_t)time(NULL);
    for (uint32_t i = 0; i < workers; i++) {
        metrics_group_init(&metrics->slot[i].flows);
        metrics_group_init(&metrics->slot[i].peers);
    }
    segment = metrics;
    return metrics;
}

/* What was open when the slot's last user ended has ended, too. */
static void settle_flows(struct metrics_group *group) {
    for (uint32_t i = 0; i < group->count; i++) {
        uint64_t *value = group->series[i].value;
        metrics_add(&value[FLOW_REFUSED + REFUSED_ABANDONED], metrics_get(&value[FLOW_OPENING]));
        metrics_add(&value[FLOW_ENDED + ENDED_WITH_ITS_WORKER], metrics_get(&value[FLOW_ACTIVE]));
        metrics_set(&value[FLOW_OPENING], 0);
        metrics_set(&value[FLOW_ACTIVE], 0);
    }
}

static void settle_peers(struct metrics_group *group) {
    for (uint32_t i = 0; i < group->count; i++) {
        uint64_t *value = group->series[i].value;
        metrics_add(&value[PEER_ENDED], metrics_get(&value[PEER_SESSIONS]));
        metrics_set(&value[PEER_SESSIONS], 0);
    }
}

bool metrics_are_open(void) {
    return segment;
}

void metrics_use(uint32_t worker) {
    if (!segment)
        return;
    own = &segment->slot[worker];
    settle_flows(&own->flows);
    settle_peers(&own->peers);
    for (int i = 0; i < WORKER_VALUES; i++)
        inherited[i] = metrics_get(&own->value[i]);
    metrics_enter(METRICS_STARTING);
    metrics_beat(false);
}

void metrics_enter(enum metrics_state state) {
    __atomic_store_n(&own->state, state, __ATOMIC_RELAXED);
}

void metrics_beat(bool ready) {
    __atomic_store_n(&own->ready, ready, __ATOMIC_RELAXED);
    metrics_set(&own->beat_us, loop_clock_us());
}

void metrics_continue(enum metrics_worker_value counter, uint64_t now) {
    metrics_set(&own->value[counter], inherited[counter] + now);
}

void metrics_drain(void) {
    if (segment)
        __atomic_store_n(&segment->draining, 1, __ATOMIC_RELAXED);
}

void metrics_count_replaced(void) {
    if (segment)
        metrics_add(&segment->replaced, 1);
}

/* ---- Counting ---- */

void metrics_observe(struct metrics_histogram *histogram, uint64_t us) {
    int i = 0;
    while (i < METRICS_BUCKETS && us > metrics_bucket_us[i])
        i++;
    metrics_add(&histogram->bucket[i], 1);
    metrics_add(&histogram->sum_us, us);
}

struct metrics_series *metrics_series(struct metrics_group *group, const char *a, const char *b) {
    uint32_t count = group->count > 0 ? group->count : 1;
    for (uint32_t i = 1; i < count; i++)
        if (strcmp(group->series[i].name[0], a) == 0 &&
            strcmp(group->series[i].name[1], b ? b : "") == 0)
            return &group->series[i];
    if (count > METRICS_SERIES_MAX)
        return &group->series[0];
    struct metrics_series *fresh = &group->series[count];
    snprintf(fresh->name[0], sizeof fresh->name[0], "%s", a);
    snprintf(fresh->name[1], sizeof fresh->name[1], "%s", b ? b : "");
    __atomic_store_n(&group->count, count + 1, __ATOMIC_RELEASE);
    return fresh;
}

void metrics_zero(struct metrics_group *group, int value) {
    for (uint32_t i = 0; i < group->count; i++)
        metrics_set(&group->series[i].value[value], 0);
}

/* ---- Asking ---- */

static bool turns(const struct metrics_slot *slot, uint64_t now_us) {
    uint64_t beat_us = metrics_get(&slot->beat_us);
    return beat_us > 0 && now_us < beat_us + METRICS_STUCK_US;
}

bool metrics_is_healthy(const struct metrics *metrics, uint64_t now_us, char *why, size_t size) {
    for (uint32_t i = 0; i < metrics->workers; i++) {
        uint64_t beat_us = metrics_get(&metrics->slot[i].beat_us);
        if (turns(&metrics->slot[i], now_us))
            continue;
        if (beat_us == 0)
            snprintf(why, size, "worker %u has not started yet", i);
        else
            snprintf(why, size, "worker %u: its loop has not turned for %.1f s", i,
                     (double)(now_us - beat_us) / 1e6);
        return false;
    }
    return true;
}

static uint32_t state_of(const struct metrics_slot *slot) {
    return __atomic_load_n(&slot->state, __ATOMIC_RELAXED);
}

bool metrics_is_ready(const struct metrics *metrics, uint64_t now_us, char *why, size_t size) {
    bool all_drain = __atomic_load_n(&metrics->draining, __ATOMIC_RELAXED);
    bool drains = all_drain, serves = false;
    for (uint32_t i = 0; i < metrics->workers; i++) {
        const struct metrics_slot *slot = &metrics->slot[i];
        bool here = state_of(slot) == METRICS_SERVING && turns(slot, now_us);
        if (here && !all_drain && __atomic_load_n(&slot->ready, __ATOMIC_RELAXED))
            return true;
        drains |= state_of(slot) == METRICS_DRAINING;
        serves |= here;
    }
    snprintf(why, size, "%s",
             drains   ? "draining"
             : serves ? "no gateway can be reached"
                      : "nobody accepts connections");
    return false;
}
