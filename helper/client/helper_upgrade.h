/* SPDX-License-Identifier: MIT */
/*
 * helper_upgrade.h - `smuxctl upgrade`: the helper replaced by the one that is installed now, with
 * all its listening sockets (successor.h). The old one ends after its last connection.
 */
#ifndef HELPER_CLIENT_HELPER_UPGRADE_H
#define HELPER_CLIENT_HELPER_UPGRADE_H

#include "helper/client/helper.h"
#include "helper/net/successor.h"

struct helper_upgrade {
    struct helper *helper;
    struct successor successor;
    struct loop_timer look;
    int lock_fd;    /* of the instance */
    bool activated; /* the helper's socket is a service manager's */
    int metrics_fd; /* of the port of metrics; -1: none */
    /* The service manager is not to be told any more, and metrics have another publisher. */
    void (*giving_way)(struct helper_upgrade *upgrade);
    /* Called once for each helper_upgrade_start that has returned NULL: `why` NULL if the successor
     * has taken over, else a text (static). Or NULL. */
    void (*done)(struct helper_upgrade *upgrade, const char *why);
    void *user; /* of `done` */
};

/* Starts the successor. NULL, or a text (static) that says why not. */
const char *helper_upgrade_start(struct helper_upgrade *upgrade);

/* The same; why not is logged. */
void helper_upgrade_on_signal(struct helper_upgrade *upgrade);

/* Before the helper stops. */
void helper_upgrade_stop(struct helper_upgrade *upgrade);

#endif
