/* SPDX-License-Identifier: MIT */
/* kept.c - see kept.h. */
#include "helper/net/kept.h"

void kept_init(struct kept *kept, struct loop *loop) {
    *kept = (struct kept){.loop = loop};
    list_init(&kept->waiting);
}

static size_t left(const struct kept *kept) {
    return kept->bytes < kept->max ? kept->max - kept->bytes : 0;
}

bool kept_may_read(const struct kept *kept, const struct keeper *keeper) {
    return keeper->bytes <= KEPT_LITTLE || keeper->bytes <= left(kept);
}

bool kept_is_plentiful(const struct kept *kept, const struct keeper *keeper, size_t bytes) {
    return keeper && keeper->bytes + bytes <= left(kept) / 16;
}

void kept_charge(struct kept *kept, struct keeper *keeper, size_t bytes) {
    kept->bytes += bytes;
    if (keeper)
        keeper->bytes += bytes;
    else
        kept->orphaned += bytes;
}

static void look_at_waiting(struct loop_task *task) {
    struct kept *kept = container_of(task, struct kept, task);
    list_for_each(link, &kept->waiting) {
        struct keeper *keeper = container_of(link, struct keeper, waits);
        if (!kept_may_read(kept, keeper))
            continue;
        kept_wait_no_more(keeper);
        keeper->resume(keeper);
    }
}

/* Some of those who wait may go on. */
static void look_soon(struct kept *kept) {
    if (!list_is_empty(&kept->waiting))
        loop_task_post(kept->loop, &kept->task, look_at_waiting);
}

void kept_set_max(struct kept *kept, size_t max) {
    kept->max = max;
    look_soon(kept);
}

void kept_release(struct kept *kept, struct keeper *keeper, size_t bytes) {
    kept->bytes -= bytes;
    if (keeper)
        keeper->bytes -= bytes;
    else
        kept->orphaned -= bytes;
    look_soon(kept);
}

bool kept_orphan(struct kept *kept, struct keeper *keeper, size_t bytes) {
    if (kept->orphaned + bytes > kept->max / 2)
        return false;
    keeper->bytes -= bytes;
    kept->orphaned += bytes;
    return true;
}

void kept_wait(struct kept *kept, struct keeper *keeper) {
    if (!list_is_linked(&keeper->waits))
        list_prepend(&kept->waiting, &keeper->waits);
}

void kept_wait_no_more(struct keeper *keeper) {
    list_remove(&keeper->waits);
}
