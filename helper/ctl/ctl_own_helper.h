/* SPDX-License-Identifier: MIT */
/*
 * ctl_own_helper.h - a helper inside smuxctl, in a child process, which serves nobody but smuxctl:
 * for `smuxctl doctor` where no helper runs. It reaches gateways by the same code as any other.
 */
#ifndef HELPER_CTL_CTL_OWN_HELPER_H
#define HELPER_CTL_CTL_OWN_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/common/config.h"

struct ctl_own_helper {
    pid_t pid;        /* 0: none */
    char socket[256]; /* of its control socket */
};

/* Starts it with this configuration, whose secrets are read. False with one line in *why. */
bool ctl_own_helper_start(struct ctl_own_helper *own, const struct config *config, char *why,
                          size_t size);
/* Harmless if there is none. */
void ctl_own_helper_stop(struct ctl_own_helper *own);

#endif
