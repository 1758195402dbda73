/* SPDX-License-Identifier: MIT */
/* successor_starter.h - the child that starts a successor (successor.h), and what it is told. */
#ifndef HELPER_NET_SUCCESSOR_STARTER_H
#define HELPER_NET_SUCCESSOR_STARTER_H

#include <stdint.h>

/* A message each. With all but the first and the last two comes a descriptor. */
enum starter_order {
    STARTER_FORGET, /* all that was given so far */
    STARTER_INPUT,  /* its standard input */
    STARTER_OUTPUT,
    STARTER_ERROR,
    STARTER_LISTENER,
    STARTER_LOCK,
    STARTER_ELDER, /* the channel to a predecessor of the process that is replaced */
    STARTER_START, /* value: the listeners are a service manager's; answered */
    STARTER_END    /* the one that was started last */
};

struct starter_request {
    uint32_t order;
    int32_t value;
};

/* With the channel to the successor, unless there is an error, a negative errno. */
struct starter_answer {
    int32_t error;
    int32_t pid;
};

/* What the child does (subprocess.h). */
void successor_starter_run(int socket, void *unused);

#endif
