/* SPDX-License-Identifier: MIT */
/* helper_upgrade.c - see helper_upgrade.h. */
#include "helper/client/helper_upgrade.h"

#include "helper/client/name_table.h"
#include "helper/net/acceptor.h"
#include "helper/net/passed_sockets.h"

static void tell(struct helper_upgrade *upgrade, const char *why) {
    void (*done)(struct helper_upgrade *, const char *) = upgrade->done;
    upgrade->done = NULL;
    if (done)
        done(upgrade, why);
}

/* The successor reads the file of names before it accepts, so this helper assigns none from here
 * on. */
static void give_way(struct helper_upgrade *upgrade) {
    struct helper *helper = upgrade->helper;
    name_table_hand_over(helper->conns.names);
    upgrade->giving_way(upgrade);
    passed_sockets_hand_over(true);
    successor_go(&upgrade->successor);
    tell(upgrade, NULL);
    helper_drain(helper);
}

static void look(struct loop_timer *timer) {
    struct helper_upgrade *upgrade = container_of(timer, struct helper_upgrade, look);
    struct loop *loop = upgrade->helper->reactor.loop;
    enum successor_news news = successor_look(&upgrade->successor);
    if (news == SUCCESSOR_IS_READY) {
        give_way(upgrade);
    } else if (news == SUCCESSOR_ENDS) {
        upgrade->helper->stop(upgrade->helper);
    } else if (upgrade->successor.pid == 0) {
        tell(upgrade, "the new helper has ended before it was ready, or was not in time: its log "
                      "says why, and this one goes on");
        return;
    }
    if (upgrade->successor.pid)
        loop_timer_set(loop, timer,
                       loop_now_us(loop) +
                           (upgrade->successor.ready ? SUCCESSOR_LOOK_LATER_US : SUCCESSOR_LOOK_US),
                       look);
}

const char *helper_upgrade_start(struct helper_upgrade *upgrade) {
    struct loop *loop = upgrade->helper->reactor.loop;
    int fds[PASSED_SOCKETS_MAX], count = acceptor_descriptors(fds, PASSED_SOCKETS_MAX - 1);
    if (upgrade->successor.pid)
        return "an upgrade is under way";
    if (upgrade->helper->draining)
        return "this helper drains";
    if (successor_program_is_same())
        return "nothing to upgrade: the helper that runs is the one that is installed";
    if (upgrade->metrics_fd >= 0)
        fds[count++] = upgrade->metrics_fd;
    const struct successor_gift gift = {.listeners = fds,
                                        .count = count,
                                        .lock = upgrade->lock_fd,
                                        .activated = upgrade->activated};
    const char *why = successor_start(&upgrade->successor, &gift);
    if (!why) /* not yet: whoever asked for it is noted after this has returned */
        loop_timer_set(loop, &upgrade->look, loop_now_us(loop), look);
    return why;
}

void helper_upgrade_on_signal(struct helper_upgrade *upgrade) {
    const char *why = helper_upgrade_start(upgrade);
    if (why)
        log_few(&successor_lines, LOG_ERR, NULL, "not replaced: %s", why);
}

void helper_upgrade_stop(struct helper_upgrade *upgrade) {
    successor_give_up(&upgrade->successor);
    if (upgrade->helper)
        loop_timer_clear(upgrade->helper->reactor.loop, &upgrade->look);
}
